/*
 * Try t has blocks of side 2^(t mod 6): from noise of single pixels to large patches of colour,
 * which networks see as other classes than noise.
 */
#include "detect/attack_start.h"

#include <string.h>

#include "detect/attack_look.h"

enum { SCALES = 6, HALVINGS = 16 };

typedef struct search {
    int plane, spare;
    int64_t pixels_high, pixels_wide, side; // of the image, of a block
    uint64_t moment;
} search;

// Each channel of a block is drawn evenly from the channel's range.
static void draw_row(jemi_front *front, int64_t i, const void *args)
{
    const search *t = args;
    const jemi_attack *attack = front->attack;
    const jemi_ball *ball = &attack->ball;
    float *candidate = jemi_front_row(front, t->spare, i);
    const int64_t blocks_wide = (t->pixels_wide + t->side - 1) / t->side;
    const int64_t blocks_high = (t->pixels_high + t->side - 1) / t->side;
    for (int64_t k = 0; k < ball->row_len; k++) {
        const int64_t c = k / ball->pixels, p = k % ball->pixels;
        const int64_t block =
            p / t->pixels_wide / t->side * blocks_wide + p % t->pixels_wide / t->side;
        const uint32_t number = (uint32_t)(c * blocks_wide * blocks_high + block);
        const float u = jemi_unit_from_u32(
            jemi_random_u32(attack->key, number, front->rows[i]->row, t->moment));
        candidate[k] = attack->low[c] + u * (attack->high[c] - attack->low[c]);
    }
}

static void take_row(jemi_front *front, int64_t i, const void *args)
{
    const search *t = args;
    jemi_attacked *row = front->rows[i];
    if (row->start.found || !row->reached)
        return;
    memcpy(jemi_front_row(front, t->plane, i), jemi_front_row(front, t->spare, i),
           (size_t)front->attack->ball.row_len * sizeof(float));
    row->start.found = true;
}

static bool all_have_one(const jemi_front *front)
{
    for (int64_t i = 0; i < front->n; i++)
        if (!front->rows[i]->start.found)
            return false;
    return true;
}

// Rows that have their point go on being looked at with the others, as moments are the same for all.
jem_status jemi_attack_find_start(jemi_front *front, uint64_t moment, int plane, int spare)
{
    const jemi_shape shape = jemi_model_input(front->attack->model);
    search t = {.plane = plane, .spare = spare, .pixels_high = shape.h, .pixels_wide = shape.w};
    for (int64_t i = 0; i < front->n; i++)
        front->rows[i]->start.found = false;
    for (int k = 0; k < JEMI_ATTACK_FIND_MOMENTS && !all_have_one(front); k++) {
        t.moment = moment + (uint64_t)k;
        t.side = (int64_t)1 << k % SCALES;
        jemi_front_each(front, draw_row, &t);
        JEMI_TRY(jemi_attack_look(front, spare, t.moment, -1));
        jemi_front_keep(front, spare);
        jemi_front_each(front, take_row, &t);
    }
    for (int64_t i = 0; i < front->n; i++)
        front->rows[i]->idle = !front->rows[i]->start.found;
    jemi_front_retire(front);
    return JEM_OK;
}

// ---- the way back ------------------------------------------------------------------------------

// The point at this part of the way from x to where the row was found.
static void blend_row(const jemi_front *front, int64_t i, const search *t, double part, int to)
{
    const float *x = front->rows[i]->x, *far = jemi_front_row(front, t->plane, i);
    float *out = jemi_front_row(front, to, i);
    for (int64_t k = 0; k < front->attack->ball.row_len; k++)
        out[k] = (float)(x[k] + part * ((double)far[k] - x[k]));
}

static void begin_halving_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    front->rows[i]->start.reached = 1.0;
    front->rows[i]->start.missed = 0.0;
}

static void halve_row(jemi_front *front, int64_t i, const void *args)
{
    const search *t = args;
    const jemi_attacked *row = front->rows[i];
    blend_row(front, i, t, 0.5 * (row->start.reached + row->start.missed), t->spare);
}

static void narrow_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    jemi_start_search *way = &front->rows[i]->start;
    const double half = 0.5 * (way->reached + way->missed);
    *(front->rows[i]->reached ? &way->reached : &way->missed) = half;
}

static void end_halving_row(jemi_front *front, int64_t i, const void *args)
{
    const search *t = args;
    blend_row(front, i, t, front->rows[i]->start.reached, t->plane);
}

jem_status jemi_attack_halve_way(jemi_front *front, uint64_t moment, int plane, int spare)
{
    const search t = {.plane = plane, .spare = spare};
    jemi_front_each(front, begin_halving_row, NULL);
    for (int k = 0; k < HALVINGS; k++) {
        jemi_front_each(front, halve_row, &t);
        JEMI_TRY(jemi_attack_look(front, spare, moment + (uint64_t)k, -1));
        jemi_front_keep(front, spare);
        jemi_front_each(front, narrow_row, NULL);
    }
    jemi_front_each(front, end_halving_row, &t);
    return JEM_OK;
}
