/*
 * Boundary attack (Brendel et al. 2018, arXiv 1712.04248): a walk along the boundary of what reaches
 * the goal, towards x, by decisions alone.
 *
 * With d the distance of the point from x, a step first goes aside by a size * d in a random direction,
 * at the same distance from x, then towards x by another size * d. Both follow how often such
 * moves succeed: the first those aside, which a smooth boundary lets succeed every other time; the
 * second whole steps. Moves aside are looked at on their own in every other step.
 */
#include <math.h>
#include <string.h>

#include "detect/attack_kind.h"
#include "detect/attack_look.h"
#include "detect/attack_start.h"
#include "kernels/noise.h"
#include "kernels/vector.h"

enum { POINT, ASIDE, CLOSER, N_PLANES, TRIES = 10 /* before a size is changed */ };

static const double first_size = 0.01, change = 1.5;
static const double aside_often = 0.5, aside_seldom = 0.2, closer_often = 0.25, closer_seldom = 0.1;

static void begin_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    front->rows[i]->boundary = (jemi_boundary_pace){.aside = first_size, .closer = first_size};
}

static jem_status start(jemi_front *front, int32_t restart, uint64_t moment)
{
    (void)restart;
    JEMI_TRY(jemi_attack_find_start(front, moment, POINT, ASIDE));
    JEMI_TRY(jemi_attack_halve_way(front, moment + JEMI_ATTACK_FIND_MOMENTS, POINT, ASIDE));
    jemi_front_each(front, begin_row, NULL);
    return JEM_OK;
}

// ---- the two moves -----------------------------------------------------------------------------

// A random vector at a right angle to the way to x, as long as that times the first size; then back to the
// distance d from x.
static void draw_aside(const jemi_attack *attack, const jemi_attacked *row, const float *point,
                       double d, uint64_t moment, float *aside)
{
    const int64_t count = attack->ball.row_len;
    double along = 0.0, squares = 0.0;
    jemi_fill_normal(aside, count, attack->key, row->row, moment);
    for (int64_t k = 0; k < count; k++)
        along += aside[k] * ((double)row->x[k] - point[k]) / d;
    for (int64_t k = 0; k < count; k++) {
        aside[k] = (float)(aside[k] - along * ((double)row->x[k] - point[k]) / d);
        squares += (double)aside[k] * aside[k];
    }
    const double scale = squares > 0.0 ? row->boundary.aside * d / sqrt(squares) : 0.0;
    const double back = 1.0 / sqrt(1.0 + row->boundary.aside * row->boundary.aside);
    for (int64_t k = 0; k < count; k++)
        aside[k] = (float)(row->x[k] + back * (scale * aside[k] + ((double)point[k] - row->x[k])));
    jemi_ball_clip(&attack->ball, row->x, aside);
}

// By the second size, and by what clipping left of the move aside.
static void draw_closer(const jemi_attack *attack, const jemi_attacked *row, const float *aside,
                        double d, float *closer)
{
    const double now = jemi_ball_distance(&attack->ball, row->x, aside);
    const double wanted = d - row->boundary.closer * d;
    const double part = now > 0.0 ? fmax(wanted, 0.0) / now : 0.0;
    for (int64_t k = 0; k < attack->ball.row_len; k++)
        closer[k] = (float)(row->x[k] + fmin(part, 1.0) * ((double)aside[k] - row->x[k]));
    jemi_ball_clip(&attack->ball, row->x, closer);
}

static void propose_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_attack *attack = front->attack;
    const jemi_attacked *row = front->rows[i];
    const float *point = jemi_front_row(front, POINT, i);
    float *aside = jemi_front_row(front, ASIDE, i), *closer = jemi_front_row(front, CLOSER, i);
    const double d = jemi_ball_distance(&attack->ball, row->x, point);
    if (d > 0.0)
        draw_aside(attack, row, point, d, *(const uint64_t *)args, aside);
    else
        memcpy(aside, point, (size_t)attack->ball.row_len * sizeof *aside);
    draw_closer(attack, row, aside, d, closer);
}

// ---- what comes of them ------------------------------------------------------------------------

static void adapt(double *size, double successes, double often, double seldom)
{
    if (successes > often)
        *size *= change;
    else if (successes < seldom)
        *size /= change;
}

static void count_aside_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    jemi_attacked *row = front->rows[i];
    jemi_boundary_pace *pace = &row->boundary;
    pace->aside_hits += row->reached;
    if (++pace->aside_tries < TRIES)
        return;
    adapt(&pace->aside, (double)pace->aside_hits / TRIES, aside_often, aside_seldom);
    pace->aside_tries = pace->aside_hits = 0;
}

static void count_closer(jemi_boundary_pace *pace, bool reached)
{
    pace->closer_hits += reached;
    if (++pace->closer_tries < TRIES)
        return;
    adapt(&pace->closer, (double)pace->closer_hits / TRIES, closer_often, closer_seldom);
    pace->closer_tries = pace->closer_hits = 0;
}

static void accept_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    const jemi_ball *ball = &front->attack->ball;
    jemi_attacked *row = front->rows[i];
    float *point = jemi_front_row(front, POINT, i);
    const float *closer = jemi_front_row(front, CLOSER, i);
    count_closer(&row->boundary, row->reached);
    if (row->reached &&
        jemi_ball_distance(ball, row->x, closer) < jemi_ball_distance(ball, row->x, point))
        memcpy(point, closer, (size_t)ball->row_len * sizeof *point);
}

static jem_status step(jemi_front *front, int32_t k, uint64_t moment)
{
    jemi_front_each(front, propose_row, &moment);
    if (k % 2 == 0) {
        JEMI_TRY(jemi_attack_look(front, ASIDE, moment, -1));
        jemi_front_each(front, count_aside_row, NULL);
    }
    JEMI_TRY(jemi_attack_look(front, CLOSER, moment + 1, -1));
    jemi_front_keep(front, CLOSER);
    jemi_front_each(front, accept_row, NULL);
    return JEM_OK;
}

const jemi_attack_kind jemi_attack_boundary = {
    .name = "BOUNDARY",
    .norm_names = "JEM_NORM_L2",
    .n_planes = N_PLANES,
    .minimizes = true,
    .norms = 1 << JEM_NORM_L2,
    .steps = 1000,
    .start = start,
    .step = step,
};
