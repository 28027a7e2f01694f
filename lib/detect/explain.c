/*
 * Blocks of rows, one after the other: the gradient where they are, then all steps of their paths.
 * A row whose path has ended leaves, and those behind it move up.
 */
#include "detect/explain.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "detect/blocks.h"
#include "detect/detector_gradient.h"
#include "kernels/vector.h"

// A call. Points are dense: point j is of row places[j] of the block.
typedef struct call {
    const jem_detector *detector;
    const jem_model *model;
    jemi_runner *runner;
    int32_t only;
    int32_t steps;
    double step_size;
    int64_t row_len, pixels; // values of a row, of a channel
    jemi_detector_work work;
    jemi_detector_gradient gradient;
    float *low, *high; // (C), the input range
    float *points, *grads;
    int64_t places[JEMI_DETECTOR_ROWS];
    float best[JEMI_DETECTOR_ROWS]; // lowest score of each row's path
} call;

// ---- scores ------------------------------------------------------------------------------------

static const jemi_calibration *calibration_of(const call *c)
{
    return &jemi_detector_learnt(c->detector)->calibration;
}

static jem_status score_points(call *c, int64_t n)
{
    return jemi_detector_score_rows(c->detector, c->model, c->runner, c->only, n, c->points,
                                    &c->work);
}

static jem_status find_gradients(const call *c, int64_t n, float *grads)
{
    return jemi_detector_gradient_rows(&c->gradient, c->detector, c->model, c->runner, c->only, n,
                                       c->points, &c->work, grads);
}

static float score_of(const call *c, int64_t j)
{
    const float *scores = c->work.scores + j * c->detector->n_kinds;
    return c->only >= 0
               ? scores[c->only]
               : jemi_calibration_combine(calibration_of(c), scores, c->work.rejected[j], NULL);
}

// Half of the held-out rows score as high; never where none were scored.
static bool is_usual(const call *c, int64_t j, float score)
{
    const jemi_calibration *calibration = calibration_of(c);
    if (calibration->n == 0)
        return false;
    jemi_conformal held_out = jemi_calibration_group(calibration, c->work.labels[j]);
    if (c->only >= 0 && calibration->combine != 0)
        held_out =
            (jemi_conformal){calibration->tails[c->only].n, calibration->tails[c->only].sorted};
    return jemi_conformal_p_value(&held_out, score) >= 0.5;
}

// ---- the map -----------------------------------------------------------------------------------

// Values that are no numbers become the middle of their channel's range, infinite ones its ends.
static void make_finite(const call *c, float *point)
{
    for (int64_t k = 0; k < c->row_len; k++) {
        const float low = c->low[k / c->pixels], high = c->high[k / c->pixels];
        if (isnan(point[k]))
            point[k] = low + 0.5f * (high - low);
        else if (isinf(point[k]))
            point[k] = point[k] < 0.0f ? low : high;
    }
}

static jem_status explain_block(call *c, const jemi_explained *block, float *before)
{
    const int64_t row_len = c->row_len;
    memcpy(c->points, block->x, (size_t)(block->n * row_len) * sizeof(float));
    for (int64_t i = 0; i < block->n; i++)
        make_finite(c, c->points + i * row_len);
    JEMI_TRY(score_points(c, block->n));
    JEMI_TRY(find_gradients(c, block->n, block->map));
    for (int64_t i = 0; i < block->n; i++) {
        before[i] = score_of(c, i);
        if (jemi_all_finite(block->x + i * row_len, row_len, NULL))
            continue;
        before[i] = INFINITY;
        memset(block->map + i * row_len, 0, (size_t)row_len * sizeof(float));
    }
    return JEM_OK;
}

// ---- paths -------------------------------------------------------------------------------------

static void clip(const call *c, float *point)
{
    for (int64_t k = 0; k < c->row_len; k++) {
        const float low = c->low[k / c->pixels], high = c->high[k / c->pixels];
        point[k] = point[k] < low ? low : point[k] > high ? high : point[k];
    }
}

// Keeps the points that are the best of their paths. @return how many paths go on.
static int64_t keep_points(call *c, int64_t n, float *usual)
{
    const int64_t row_len = c->row_len;
    const size_t bytes = (size_t)row_len * sizeof(float);
    int64_t left = 0;
    for (int64_t j = 0; j < n; j++) {
        const int64_t place = c->places[j];
        const float score = score_of(c, j);
        if (score < c->best[place]) {
            c->best[place] = score;
            memcpy(usual + place * row_len, c->points + j * row_len, bytes);
        }
        if (is_usual(c, j, score))
            continue;
        memmove(c->points + left * row_len, c->points + j * row_len, bytes);
        memmove(c->grads + left * row_len, c->grads + j * row_len, bytes);
        c->places[left++] = place;
    }
    return left;
}

// A step down the gradient, of the given length in the Euclidean norm, then back into the range.
static void move_point(const call *c, const float *grad, float *point)
{
    const double length = sqrt(jemi_sum_squares(grad, c->row_len));
    const double scale = length > 0.0 ? c->step_size / length : 0.0;
    for (int64_t k = 0; k < c->row_len; k++)
        point[k] = (float)((double)point[k] - scale * (double)grad[k]);
    clip(c, point);
}

static jem_status walk_block(call *c, int64_t n, float *usual)
{
    for (int64_t i = 0; i < n; i++) {
        clip(c, c->points + i * c->row_len);
        c->places[i] = i;
        c->best[i] = INFINITY;
    }
    memcpy(usual, c->points, (size_t)(n * c->row_len) * sizeof *usual);
    for (int32_t k = 0;; k++) {
        JEMI_TRY(score_points(c, n));
        if (k < c->steps)
            JEMI_TRY(find_gradients(c, n, c->grads));
        n = keep_points(c, n, usual);
        if (k == c->steps || n == 0)
            return JEM_OK;
        for (int64_t j = 0; j < n; j++)
            move_point(c, c->grads + j * c->row_len, c->points + j * c->row_len);
    }
}

// ---- all rows ----------------------------------------------------------------------------------

static jem_status run_block(call *c, const jemi_explained *block)
{
    float before[JEMI_DETECTOR_ROWS];
    JEMI_TRY(explain_block(c, block, before));
    if (block->usual != NULL)
        JEMI_TRY(walk_block(c, block->n, block->usual));
    for (int64_t i = 0; i < block->n && block->scores != NULL; i++) {
        block->scores[2 * i] = before[i];
        block->scores[2 * i + 1] = block->usual != NULL ? c->best[i] : before[i];
    }
    return JEM_OK;
}

static jem_status call_create(call *c, int64_t rows, int64_t channels)
{
    const size_t count = (size_t)(rows * c->row_len);
    c->low = jemi_alloc((size_t)channels, sizeof *c->low);
    c->high = jemi_alloc((size_t)channels, sizeof *c->high);
    c->points = jemi_alloc(count, sizeof *c->points);
    c->grads = jemi_alloc(count, sizeof *c->grads);
    if (c->low == NULL || c->high == NULL || c->points == NULL || c->grads == NULL)
        return jemi_fail_memory("rows of an explanation");
    jemi_model_channel_ranges(c->model, c->low, c->high);
    JEMI_TRY(jemi_detector_work_create(&c->work, c->detector, rows));
    return jemi_detector_gradient_create(&c->gradient, c->detector, c->model, rows);
}

static void call_fini(call *c)
{
    jemi_free(c->low);
    jemi_free(c->high);
    jemi_free(c->points);
    jemi_free(c->grads);
    jemi_detector_work_fini(&c->work);
    jemi_detector_gradient_fini(&c->gradient);
}

static jem_status run_blocks(call *c, const jemi_explained *rows)
{
    const int64_t capacity = jemi_block_rows(rows->n, c->row_len);
    JEMI_TRY(jemi_detector_check_model(c->detector, c->model, c->runner));
    JEMI_TRY(call_create(c, capacity, jemi_model_input(c->model).c));
    for (int64_t first = 0; first < rows->n; first += capacity) {
        const int64_t left = rows->n - first, at = first * c->row_len;
        const jemi_explained block = {
            .n = left < capacity ? left : capacity,
            .x = rows->x + at,
            .map = rows->map + at,
            .usual = rows->usual != NULL ? rows->usual + at : NULL,
            .scores = rows->scores != NULL ? rows->scores + 2 * first : NULL,
        };
        JEMI_TRY(run_block(c, &block));
    }
    return JEM_OK;
}

// A tenth of the range in each value, if all moved alike, in as many steps as there are.
static double default_step_size(const call *c)
{
    float low, high;
    jemi_model_input_range(c->model, &low, &high);
    return 0.01 * ((double)high - (double)low) * sqrt((double)c->row_len);
}

jem_status jemi_explain(const jem_detector *detector, const jem_model *model, int32_t only,
                        const jem_explain_config *config, const jemi_explained *rows)
{
    const jemi_shape shape = jemi_model_input(model);
    call *c = jemi_calloc(1, sizeof *c);
    if (c == NULL)
        return jemi_fail_memory("explanation");
    *c = (call){.detector = detector,
                .model = model,
                .only = only,
                .steps = config->steps,
                .row_len = jemi_shape_size(shape),
                .pixels = shape.h * shape.w};
    c->step_size = config->step_size > 0.0f ? (double)config->step_size : default_step_size(c);
    jem_status status = jemi_runner_borrow(model->runners, &c->runner);
    if (status == JEM_OK) {
        status = run_blocks(c, rows);
        jemi_runner_return(c->runner);
    }
    call_fini(c);
    jemi_free(c);
    return status;
}
