/*
 * Pointwise attack (Schott et al. 2018, arXiv 1805.09190; as in Foolbox): few values are
 * left changed, by decisions alone. From a point that reaches the goal values go back to what they
 * are in x, in random order, as long as the goal stays reached.
 *
 * To spare looks values go back in groups, of half of them at first. A step is one group; after all
 * groups of a size the size is halved, and the row is done when no single value can go back.
 */
#include <string.h>

#include "detect/attack_kind.h"
#include "detect/attack_look.h"
#include "detect/attack_start.h"

enum { POINT, CANDIDATE, N_PLANES };

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// All values of a row in an order that looks random: begin, begin + stride, .. modulo their number.
typedef struct order {
    int64_t begin, stride;
} order;

static order order_of(const jemi_attack *attack, const jemi_attacked *row)
{
    const int64_t count = attack->ball.row_len;
    uint32_t bits[4];
    jemi_random_u32x4(attack->key, UINT32_MAX, row->row, row->pointwise.pass, bits);
    order o = {.begin = jemi_below_from_u32(bits[0], (uint32_t)count),
               .stride = 1 + jemi_below_from_u32(bits[1], (uint32_t)count)};
    while (greatest_divisor(o.stride, count) != 1)
        o.stride++;
    return o;
}

// ---- passes ------------------------------------------------------------------------------------

static int64_t count_changed(const jemi_front *front, int64_t i)
{
    return (int64_t)jemi_ball_distance(&front->attack->ball, front->rows[i]->x,
                                       jemi_front_row(front, POINT, i));
}

static void begin_row(jemi_front *front, int64_t i, const void *args)
{
    const int64_t changed = count_changed(front, i);
    front->rows[i]->pointwise =
        (jemi_pointwise_pace){.pass = *(const uint64_t *)args, .size = (changed + 1) / 2};
}

static jem_status start(jemi_front *front, int32_t restart, uint64_t moment)
{
    (void)restart;
    JEMI_TRY(jemi_attack_find_start(front, moment, POINT, CANDIDATE));
    jemi_front_each(front, begin_row, &moment);
    return JEM_OK;
}

// Behind the last changed value a pass ends. The row is done when single values no longer go back.
static void end_pass(jemi_attacked *row, uint64_t moment)
{
    jemi_pointwise_pace *pace = &row->pointwise;
    row->idle = pace->size <= 1 && !pace->gained;
    *pace = (jemi_pointwise_pace){.pass = moment, .size = (pace->size + 1) / 2};
}

// ---- a step ------------------------------------------------------------------------------------

static void propose_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    const int64_t count = front->attack->ball.row_len;
    const jemi_attacked *row = front->rows[i];
    const jemi_pointwise_pace *pace = &row->pointwise;
    const float *point = jemi_front_row(front, POINT, i);
    float *candidate = jemi_front_row(front, CANDIDATE, i);
    const order o = order_of(front->attack, row);
    memcpy(candidate, point, (size_t)count * sizeof *point);
    int64_t number = 0; // of a changed value
    for (int64_t k = 0, at = o.begin; k < count; k++, at = (at + o.stride) % count) {
        if (point[at] == row->x[at])
            continue;
        if (number >= pace->next && number < pace->next + pace->size)
            candidate[at] = row->x[at];
        number++;
    }
}

// Values that went back are no longer counted, so the next ones have their numbers.
static void accept_row(jemi_front *front, int64_t i, const void *args)
{
    jemi_attacked *row = front->rows[i];
    jemi_pointwise_pace *pace = &row->pointwise;
    if (row->reached) {
        memcpy(jemi_front_row(front, POINT, i), jemi_front_row(front, CANDIDATE, i),
               (size_t)front->attack->ball.row_len * sizeof(float));
        pace->gained = true;
    } else {
        pace->next += pace->size;
    }
    if (pace->next >= count_changed(front, i))
        end_pass(row, *(const uint64_t *)args);
}

static jem_status step(jemi_front *front, int32_t k, uint64_t moment)
{
    (void)k;
    jemi_front_each(front, propose_row, NULL);
    JEMI_TRY(jemi_attack_look(front, CANDIDATE, moment, -1));
    jemi_front_keep(front, CANDIDATE);
    jemi_front_each(front, accept_row, &moment);
    return JEM_OK;
}

const jemi_attack_kind jemi_attack_pointwise = {
    .name = "POINTWISE",
    .norm_names = "JEM_NORM_L0",
    .n_planes = N_PLANES,
    .minimizes = true,
    .norms = 1 << JEM_NORM_L0,
    .steps = 1000,
    .start = start,
    .step = step,
};
