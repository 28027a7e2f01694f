/*
 * Auto-PGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1): descent with momentum, whose step is
 * halved when too few steps help. It then goes on from the best point of the restart.
 */
#include <math.h>
#include <string.h>

#include "detect/attack_kind.h"
#include "detect/attack_look.h"

enum { POINT, GRAD, PREVIOUS, BEST, BEST_GRAD, N_PLANES };

static const double weight = 0.75;   // alpha, of a step against the momentum
static const double hits_min = 0.75; // rho, the part of steps that shall help

static size_t row_bytes(const jemi_front *front)
{
    return (size_t)front->attack->ball.row_len * sizeof(float);
}

// The point that was looked at may be the best of this restart.
static void note_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    jemi_attacked *row = front->rows[i];
    if (!(row->cost < row->apgd.best_cost))
        return;
    row->apgd.best_cost = row->cost;
    memcpy(jemi_front_row(front, BEST, i), jemi_front_row(front, POINT, i), row_bytes(front));
    memcpy(jemi_front_row(front, BEST_GRAD, i), jemi_front_row(front, GRAD, i), row_bytes(front));
}

static jem_status look_and_keep(jemi_front *front, uint64_t moment)
{
    JEMI_TRY(jemi_attack_look(front, POINT, moment, GRAD));
    jemi_front_keep(front, POINT);
    return JEM_OK;
}

// ---- the start ---------------------------------------------------------------------------------

static void start_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_attack *attack = front->attack;
    jemi_attacked *row = front->rows[i];
    const uint64_t *moment = args; // NULL = at x
    if (moment != NULL)
        jemi_ball_draw(&attack->ball, row->x, attack->key, row->row, *moment,
                       jemi_front_row(front, POINT, i));
    row->apgd = (jemi_apgd_pace){.size = attack->config->step_size, .best_cost = INFINITY};
}

static void begin_row(jemi_front *front, int64_t i, const void *args)
{
    note_row(front, i, args);
    jemi_attacked *row = front->rows[i];
    row->apgd.checkpoint_cost = row->apgd.best_cost;
    memcpy(jemi_front_row(front, PREVIOUS, i), jemi_front_row(front, POINT, i), row_bytes(front));
    memcpy(jemi_front_row(front, BEST, i), jemi_front_row(front, POINT, i), row_bytes(front));
    memcpy(jemi_front_row(front, BEST_GRAD, i), jemi_front_row(front, GRAD, i), row_bytes(front));
}

static jem_status start(jemi_front *front, int32_t restart, uint64_t moment)
{
    const bool draws = front->attack->config->random_start || restart > 0;
    jemi_front_each(front, start_row, draws ? &moment : NULL);
    JEMI_TRY(look_and_keep(front, moment));
    jemi_front_each(front, begin_row, NULL);
    return JEM_OK;
}

// ---- a step ------------------------------------------------------------------------------------

// z = P(x_k - size * g); x_{k+1} = P(x_k + a (z - x_k) + (1 - a) (x_k - x_{k-1})). z takes the
// gradient's place.
static void move_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_ball *ball = &front->attack->ball;
    jemi_attacked *row = front->rows[i];
    float *point = jemi_front_row(front, POINT, i), *previous = jemi_front_row(front, PREVIOUS, i);
    float *z = jemi_front_row(front, GRAD, i);
    const double a = *(const int32_t *)args == 0 ? 1.0 : weight;
    jemi_ball_descend(ball, row->x, point, z, row->apgd.size, z);
    for (int64_t j = 0; j < ball->row_len; j++) {
        const double here = point[j];
        point[j] = (float)(here + a * (z[j] - here) + (1.0 - a) * (here - previous[j]));
        previous[j] = (float)here;
    }
    jemi_ball_project(ball, row->x, point);
    row->apgd.last_cost = row->cost;
}

// The steps after which the size is looked at: ceil(p_j N), p_0 = 0, p_1 = 0.22,
// p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06).
static bool is_checkpoint(int32_t done, int32_t steps)
{
    double p = 0.22, gap = 0.22;
    while (p < 1.0 && ceil(p * steps) < done) {
        gap = gap - 0.03 > 0.06 ? gap - 0.03 : 0.06;
        p += gap;
    }
    return ceil(p * steps) == done;
}

// Few steps helped; or nothing was gained since the last checkpoint, with the same size.
static bool size_is_too_large(const jemi_apgd_pace *pace)
{
    return pace->hits < hits_min * pace->steps ||
           (!pace->halved && pace->best_cost == pace->checkpoint_cost);
}

static void check_row(jemi_front *front, int64_t i)
{
    jemi_attacked *row = front->rows[i];
    jemi_apgd_pace *pace = &row->apgd;
    pace->halved = size_is_too_large(pace);
    pace->checkpoint_cost = pace->best_cost;
    pace->steps = pace->hits = 0;
    if (!pace->halved)
        return;
    pace->size /= 2.0;
    row->cost = pace->best_cost;
    memcpy(jemi_front_row(front, POINT, i), jemi_front_row(front, BEST, i), row_bytes(front));
    memcpy(jemi_front_row(front, GRAD, i), jemi_front_row(front, BEST_GRAD, i), row_bytes(front));
}

static void count_row(jemi_front *front, int64_t i, const void *args)
{
    jemi_attacked *row = front->rows[i];
    row->apgd.steps++;
    row->apgd.hits += row->cost < row->apgd.last_cost;
    note_row(front, i, NULL);
    if (*(const bool *)args)
        check_row(front, i);
}

static jem_status step(jemi_front *front, int32_t k, uint64_t moment)
{
    const bool checks = is_checkpoint(k + 1, front->attack->config->steps);
    jemi_front_each(front, move_row, &k);
    JEMI_TRY(look_and_keep(front, moment));
    jemi_front_each(front, count_row, &checks);
    return JEM_OK;
}

const jemi_attack_kind jemi_attack_apgd = {
    .name = "APGD",
    .norm_names = "JEM_NORM_LINF or _L2",
    .n_planes = N_PLANES,
    .norms = 1 << JEM_NORM_LINF | 1 << JEM_NORM_L2,
    .steps = 100,
    .start = start,
    .step = step,
};
