/*
 * Square attack (Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2): random search by
 * scores alone. All values of a square move to the edge of the cube, on the same side in each
 * channel; what lowers the cost stays. Squares shrink with time.
 */
#include <math.h>
#include <string.h>

#include "detect/attack_kind.h"
#include "detect/attack_look.h"

enum { POINT, CANDIDATE, N_PLANES };

// Where squares lie. A table, which has no neighbours, is taken for one line of its features.
typedef struct grid {
    int64_t channels, height, width;
} grid;

static grid grid_of(const jemi_attack *attack)
{
    const jemi_shape shape = jemi_model_input(attack->model);
    if (shape.h * shape.w == 1)
        return (grid){1, 1, shape.c};
    return (grid){shape.c, shape.h, shape.w};
}

typedef struct proposal {
    grid grid;
    int64_t height, width; // of the window
    uint64_t moment;
} proposal;

static void set_edge(const jemi_attack *attack, const jemi_attacked *row, uint32_t bits, int64_t at,
                     float *point)
{
    const float eps = attack->ball.eps;
    point[at] = row->x[at] + ((bits & 1u << 31) != 0 ? eps : -eps);
}

// ---- the start: vertical stripes, each channel of a column on a side of its own ------------------

static void start_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_attack *attack = front->attack;
    const proposal *p = args;
    jemi_attacked *row = front->rows[i];
    float *point = jemi_front_row(front, POINT, i);
    for (int64_t c = 0; c < p->grid.channels; c++)
        for (int64_t w = 0; w < p->grid.width; w++) {
            const uint32_t column = (uint32_t)(c * p->grid.width + w);
            const uint32_t bits = jemi_random_u32(attack->key, column, row->row, p->moment);
            for (int64_t h = 0; h < p->grid.height; h++)
                set_edge(attack, row, bits, (c * p->grid.height + h) * p->grid.width + w, point);
        }
    jemi_ball_project(&attack->ball, row->x, point);
}

static void note_start(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    front->rows[i]->square_cost = front->rows[i]->cost;
}

static jem_status start(jemi_front *front, int32_t restart, uint64_t moment)
{
    (void)restart;
    const proposal p = {.grid = grid_of(front->attack), .moment = moment};
    jemi_front_each(front, start_row, &p);
    JEMI_TRY(jemi_attack_look(front, POINT, moment, -1));
    jemi_front_each(front, note_start, NULL);
    jemi_front_keep(front, POINT);
    return JEM_OK;
}

// ---- a step ------------------------------------------------------------------------------------

// The part of the image that a square covers: 0.8 at first, halved at these of 10000 steps.
static double part_of_image(int32_t k, int32_t steps)
{
    static const int64_t halvings[] = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};
    const int64_t at = (int64_t)k * 10000 / steps;
    double part = 0.8;
    for (size_t i = 0; i < sizeof halvings / sizeof halvings[0] && at > halvings[i]; i++)
        part /= 2.0;
    return part;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

// A square of that part, or a window as long as it must be where the image is too flat for one.
static proposal proposal_of(const jemi_attack *attack, int32_t k, uint64_t moment)
{
    proposal p = {.grid = grid_of(attack), .moment = moment};
    const double area =
        part_of_image(k, attack->config->steps) * (double)p.grid.height * (double)p.grid.width;
    const int64_t side = (int64_t)(sqrt(area) + 0.5);
    p.height = at_most(side > 1 ? side : 1, p.grid.height);
    const int64_t width = p.height < side ? (int64_t)(area / (double)p.height + 0.5) : side;
    p.width = at_most(width > 1 ? width : 1, p.grid.width);
    return p;
}

static void propose_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_attack *attack = front->attack;
    const proposal *p = args;
    const jemi_attacked *row = front->rows[i];
    float *candidate = jemi_front_row(front, CANDIDATE, i);
    uint32_t place[4];
    jemi_random_u32x4(attack->key, UINT32_MAX, row->row, p->moment, place);
    const int64_t top = jemi_below_from_u32(place[0], (uint32_t)(p->grid.height - p->height + 1));
    const int64_t left = jemi_below_from_u32(place[1], (uint32_t)(p->grid.width - p->width + 1));
    memcpy(candidate, jemi_front_row(front, POINT, i),
           (size_t)attack->ball.row_len * sizeof *candidate);
    for (int64_t c = 0; c < p->grid.channels; c++) {
        const uint32_t bits = jemi_random_u32(attack->key, (uint32_t)c, row->row, p->moment);
        for (int64_t h = top; h < top + p->height; h++)
            for (int64_t w = left; w < left + p->width; w++)
                set_edge(attack, row, bits, (c * p->grid.height + h) * p->grid.width + w,
                         candidate);
    }
    jemi_ball_project(&attack->ball, row->x, candidate);
}

static void accept_row(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    jemi_attacked *row = front->rows[i];
    if (!(row->cost < row->square_cost))
        return;
    row->square_cost = row->cost;
    memcpy(jemi_front_row(front, POINT, i), jemi_front_row(front, CANDIDATE, i),
           (size_t)front->attack->ball.row_len * sizeof(float));
}

static jem_status step(jemi_front *front, int32_t k, uint64_t moment)
{
    const proposal p = proposal_of(front->attack, k, moment);
    jemi_front_each(front, propose_row, &p);
    JEMI_TRY(jemi_attack_look(front, CANDIDATE, moment, -1));
    jemi_front_keep(front, CANDIDATE);
    jemi_front_each(front, accept_row, NULL);
    return JEM_OK;
}

const jemi_attack_kind jemi_attack_square = {
    .name = "SQUARE",
    .norm_names = "JEM_NORM_LINF",
    .n_planes = N_PLANES,
    .norms = 1 << JEM_NORM_LINF,
    .steps = 1000,
    .start = start,
    .step = step,
};
