/*
 * Projected gradient descent (Madry et al. 2018, arXiv 1706.06083): steepest descent of the cost in
 * the norm, each step followed by a projection.
 */
#include "detect/attack_kind.h"
#include "detect/attack_look.h"

enum { POINT, GRAD, N_PLANES };

// The last look needs no way to go on.
static jem_status look_and_keep(jemi_front *front, uint64_t moment, bool last)
{
    JEMI_TRY(jemi_attack_look(front, POINT, moment, last ? -1 : GRAD));
    jemi_front_keep(front, POINT);
    return JEM_OK;
}

static void draw_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_attack *attack = front->attack;
    const jemi_attacked *row = front->rows[i];
    jemi_ball_draw(&attack->ball, row->x, attack->key, row->row, *(const uint64_t *)args,
                   jemi_front_row(front, POINT, i));
}

static jem_status start(jemi_front *front, int32_t restart, uint64_t moment)
{
    if (front->attack->config->random_start || restart > 0)
        jemi_front_each(front, draw_row, &moment);
    return look_and_keep(front, moment, false);
}

static void move_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    float *point = jemi_front_row(front, POINT, i);
    jemi_ball_descend(&front->attack->ball, front->rows[i]->x, point,
                      jemi_front_row(front, GRAD, i), front->attack->config->step_size, point);
}

static jem_status step(jemi_front *front, int32_t k, uint64_t moment)
{
    jemi_front_each(front, move_row, NULL);
    return look_and_keep(front, moment, k + 1 == front->attack->config->steps);
}

const jemi_attack_kind jemi_attack_pgd = {
    .name = "PGD",
    .norm_names = "JEM_NORM_LINF or _L2",
    .n_planes = N_PLANES,
    .norms = 1 << JEM_NORM_LINF | 1 << JEM_NORM_L2,
    .steps = 40,
    .start = start,
    .step = step,
};
