/*
 * The driver: blocks of rows, one after the other, each through a look at the rows as they are, all
 * restarts, and the verdict. What a step is, the kinds know.
 */
#include "detect/attack.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "detect/attack_kind.h"
#include "detect/attack_look.h"
#include "detect/blocks.h"

static const jemi_attack_kind *const kinds[] = {
    [JEM_ATTACK_PGD] = &jemi_attack_pgd,
    [JEM_ATTACK_APGD] = &jemi_attack_apgd,
    [JEM_ATTACK_SQUARE] = &jemi_attack_square,
    [JEM_ATTACK_BOUNDARY] = &jemi_attack_boundary,
    [JEM_ATTACK_POINTWISE] = &jemi_attack_pointwise,
};

// ---- what is asked -----------------------------------------------------------------------------

static jem_status check_norm(const jem_attack_config *config, const jemi_attack_kind *kind)
{
    static const char *const names[] = {
        [JEM_NORM_LINF] = "LINF", [JEM_NORM_L2] = "L2", [JEM_NORM_L0] = "L0"};
    if ((kind->norms >> config->norm & 1) == 0)
        return jemi_fail(JEM_EUNSUPPORTED, "norm is JEM_NORM_%s; JEM_ATTACK_%s takes %s",
                         names[config->norm], kind->name, kind->norm_names);
    return JEM_OK;
}

// Only a walk from x with steps of its own needs no radius.
static jem_status check_radius(const jem_attack_config *config, const jemi_attack_kind *kind)
{
    const bool walks = config->kind == JEM_ATTACK_PGD && config->step_size > 0.0f &&
                       !config->random_start && config->restarts == 1;
    if (isinf(config->eps) && !kind->minimizes && !walks)
        return jemi_fail(JEM_EINVAL,
                         "eps is inf; expected a finite radius, or JEM_ATTACK_PGD with a "
                         "step_size, one restart and no random_start");
    return JEM_OK;
}

jem_status jemi_attack_complete(jem_attack_config *config)
{
    const jemi_attack_kind *kind = kinds[config->kind];
    const double eps = config->eps;
    JEMI_TRY(check_norm(config, kind));
    JEMI_TRY(check_radius(config, kind));
    if (config->steps == 0)
        config->steps = kind->steps;
    if (config->step_size == 0.0f)
        config->step_size =
            (float)(config->kind == JEM_ATTACK_APGD ? 2.0 * eps : 2.5 * eps / config->steps);
    return JEM_OK;
}

// ---- a block -----------------------------------------------------------------------------------

static size_t row_bytes(const jemi_front *front)
{
    return (size_t)front->attack->ball.row_len * sizeof(float);
}

// The first plane becomes the rows as they are, or the best points.
static void put_x(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    memcpy(jemi_front_row(front, 0, i), front->rows[i]->x, row_bytes(front));
}

static void put_best(jemi_front *front, int64_t i, const void *args)
{
    (void)args;
    memcpy(jemi_front_row(front, 0, i), front->rows[i]->best, row_bytes(front));
}

static void fill_block(jemi_front *front, const jemi_attack_rows *rows, int64_t first, int64_t n)
{
    const jemi_attack *attack = front->attack;
    const int64_t row_len = attack->ball.row_len;
    front->n_all = n;
    for (int64_t i = 0; i < n; i++)
        front->all[i] = (jemi_attacked){
            .row = (uint32_t)(attack->config->first_row + first + i),
            .label = rows->labels != NULL ? rows->labels[first + i] : -1,
            .x = rows->x + (first + i) * row_len,
            .best = rows->adversarial + (first + i) * row_len,
            .merit = attack->minimizes ? 0.0 : (double)INFINITY,
        };
}

// The rows as they are: those that are misclassified already are done with. But a row that moves by
// itself may be so by chance, and nothing is nearer to x than x.
static jem_status look_at_x(jemi_front *front)
{
    jemi_front_gather(front, true);
    jemi_front_each(front, put_x, NULL);
    for (int64_t i = 0; i < front->n; i++)
        memcpy(front->rows[i]->best, front->rows[i]->x, row_bytes(front));
    if (front->attack->minimizes && front->attack->noisy)
        return JEM_OK;
    JEMI_TRY(jemi_attack_look(front, 0, 0, -1));
    jemi_front_keep(front, 0);
    return JEM_OK;
}

// Looks at a row that moves by itself may differ: one that has reached the goal may lose it again.
static void settle(jemi_front *front, bool won_is_enough)
{
    for (int64_t i = 0; i < front->n; i++)
        front->rows[i]->settled = front->rows[i]->won && won_is_enough && !front->attack->noisy;
    jemi_front_retire(front);
}

static jem_status restart(jemi_front *front, const jemi_attack_kind *kind, int32_t number,
                          jemi_progress *progress)
{
    const uint64_t moment = (uint64_t)(number + 1) << 40;
    const int32_t steps = front->attack->config->steps;
    jemi_front_gather(front, false);
    jemi_front_each(front, put_x, NULL);
    JEMI_TRY(kind->start(front, number, moment));
    settle(front, !kind->minimizes);
    for (int32_t k = 0; k < steps; k++) {
        const uint64_t at = JEMI_ATTACK_START_MOMENTS + (uint64_t)k * JEMI_ATTACK_STEP_MOMENTS;
        if (front->n > 0)
            JEMI_TRY(kind->step(front, k, moment + at));
        settle(front, !kind->minimizes);
        const int64_t steps_done = front->n > 0 ? 1 : steps - k;
        JEMI_TRY(jemi_progress_add(progress, front->n_all * steps_done));
        if (front->n == 0)
            break;
    }
    return JEM_OK;
}

// Of rows that move by themselves, by numbers that the attack did not know.
static jem_status judge_best(jemi_front *front)
{
    if (!front->attack->noisy)
        return JEM_OK;
    jemi_front_gather(front, true);
    jemi_front_each(front, put_best, NULL);
    JEMI_TRY(jemi_attack_verdict(front, 0));
    for (int64_t i = 0; i < front->n; i++)
        front->rows[i]->won = front->rows[i]->reached;
    return JEM_OK;
}

static void tell_block(const jemi_front *front, const jemi_attack_rows *rows, int64_t first)
{
    const jemi_ball *ball = &front->attack->ball;
    for (int64_t i = 0; i < front->n_all; i++) {
        const jemi_attacked *row = &front->all[i];
        const double distance = jemi_ball_distance(ball, row->x, row->best);
        const bool success = row->won && distance <= (double)ball->eps;
        if (rows->success != NULL)
            rows->success[first + i] = success;
        if (rows->distance != NULL)
            rows->distance[first + i] = success ? (float)distance : INFINITY;
    }
}

static jem_status attack_block(jemi_front *front, const jemi_attack_kind *kind,
                               jemi_progress *progress)
{
    JEMI_TRY(look_at_x(front));
    settle(front, true);
    for (int32_t r = 0; r < front->attack->config->restarts; r++)
        JEMI_TRY(restart(front, kind, r, progress));
    return judge_best(front);
}

// ---- all rows ----------------------------------------------------------------------------------

static int64_t rows_of_block(const jemi_attack *attack, int64_t n)
{
    const int64_t row_len = attack->ball.row_len, classes = attack->classes;
    return jemi_block_rows(n, row_len > classes ? row_len : classes);
}

static jem_status attack_blocks(const jemi_attack *attack, const jemi_attack_rows *rows,
                                jemi_progress *progress)
{
    const jemi_attack_kind *kind = kinds[attack->config->kind];
    const int64_t capacity = rows_of_block(attack, rows->n);
    jemi_front front = {0};
    jem_status status = jemi_front_init(&front, attack, capacity, kind->n_planes);
    for (int64_t first = 0; status == JEM_OK && first < rows->n; first += capacity) {
        const int64_t left = rows->n - first;
        fill_block(&front, rows, first, left < capacity ? left : capacity);
        status = attack_block(&front, kind, progress);
        if (status == JEM_OK)
            tell_block(&front, rows, first);
    }
    jemi_front_fini(&front);
    return status;
}

// What is shared, but for the ranges: channel by channel the input range, and those that are clipped
// to, all of them (channels) long.
static jemi_attack attack_of(const jem_model *model, jemi_runner *runner,
                             const jem_attack_config *config, float *ranges)
{
    const jemi_shape shape = jemi_model_input(model);
    float *const low = ranges, *const high = low + shape.c;
    float *const least = high + shape.c, *const most = least + shape.c;
    jemi_model_channel_ranges(model, low, high);
    for (int64_t c = 0; c < shape.c; c++) {
        least[c] = config->clip ? low[c] : -INFINITY;
        most[c] = config->clip ? high[c] : INFINITY;
    }
    return (jemi_attack){
        .model = model,
        .runner = runner,
        .config = config,
        .ball = {.norm = config->norm,
                 .eps = config->eps,
                 .row_len = jemi_shape_size(shape),
                 .pixels = shape.h * shape.w,
                 .low = least,
                 .high = most},
        .low = low,
        .high = high,
        .classes = jemi_model_classes(model),
        .key = jemi_random_key_make(config->seed, JEMI_RANDOM_ATTACK, 0),
        .noisy = config->refine_steps > 0 && config->refine_noise_std > 0.0f,
        .minimizes = kinds[config->kind]->minimizes,
    };
}

static jem_status attack_by(const jem_model *model, jemi_runner *runner,
                            const jem_attack_config *config, const jemi_attack_rows *rows,
                            jemi_progress *progress)
{
    if (config->goal == JEM_GOAL_DETECTOR)
        JEMI_TRY(jemi_detector_check_model(config->detector, model, runner));
    float *ranges = jemi_alloc(4 * (size_t)jemi_model_input(model).c, sizeof *ranges);
    if (ranges == NULL)
        return jemi_fail_memory("input range");
    const jemi_attack attack = attack_of(model, runner, config, ranges);
    const jem_status status = attack_blocks(&attack, rows, progress);
    jemi_free(ranges);
    return status;
}

jem_status jemi_attack_run(const jem_model *model, const jem_attack_config *config,
                           const jemi_attack_rows *rows, jem_progress_fn progress, void *user)
{
    jemi_progress told = {progress, user, "steps of rows", 0,
                          rows->n * config->restarts * config->steps};
    JEMI_TRY(jemi_progress_add(&told, 0));
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    const jem_status status = attack_by(model, runner, config, rows, &told);
    jemi_runner_return(runner);
    return status;
}
