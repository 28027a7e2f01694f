/*
 * The formulas stand at JEM_SCORE_* in jem.h. Gradients lie in the chunk's scratch memory.
 */
#include "detect/input_scores.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/elementary.h"
#include "detect/largest.h"
#include "detect/logit_scores.h"
#include "ebm/density.h"
#include "kernels/vector.h"

static bool is_good(const jemi_chunk *chunk, int64_t i, int64_t n_classes, const float *values,
                    int64_t row_len)
{
    return jemi_all_finite(chunk->out + i * n_classes, n_classes, NULL) &&
           jemi_all_finite(values + i * row_len, row_len, NULL);
}

jem_status jemi_score_gradient_norm(const jem_score_config *config, const jemi_input_rows *rows,
                                    jemi_chunk *chunk, float *scores)
{
    (void)config;
    const int64_t row_len = jemi_model_input_size(rows->model);
    const int64_t n_classes = jemi_model_classes(rows->model);
    const float *grad = chunk->scratch;
    JEMI_TRY(jemi_energy_grad_chunk(chunk, rows->x, NULL, NULL, chunk->scratch));
    for (int64_t i = 0; i < chunk->n; i++)
        scores[i] = is_good(chunk, i, n_classes, grad, row_len)
                        ? (float)sqrt(jemi_sum_squares(grad + i * row_len, row_len))
                        : INFINITY;
    return JEM_OK;
}

// ---- ODIN --------------------------------------------------------------------------------------

// d log p[top] / df = ((k = top) - p[k]) / T; 1 - p[top] is summed from the others. What counts is
// the sign of what it gives, so T, which divides, is left out.
static void put_cotangents(const jem_score_config *config, int64_t n_classes, const float *logits,
                           float *dlogits)
{
    const double temperature = (double)config->temperature;
    const int64_t top = jemi_find_top(n_classes, logits);
    double rest = 0.0;
    const double p_top = -jemi_score_max_softmax(config, n_classes, logits);
    for (int64_t k = 0; k < n_classes; k++) {
        const double p = p_top * jemi_exp(((double)logits[k] - (double)logits[top]) / temperature);
        dlogits[k] = (float)-p;
        rest += k != top ? p : 0.0;
    }
    dlogits[top] = (float)rest;
}

static float sign_of(float value)
{
    return (float)((value > 0.0f) - (value < 0.0f));
}

// The point takes the gradient's place.
jem_status jemi_score_odin(const jem_score_config *config, const jemi_input_rows *rows,
                           jemi_chunk *chunk, float *scores)
{
    const int64_t row_len = jemi_model_input_size(rows->model);
    const int64_t n_classes = jemi_model_classes(rows->model);
    float *points = chunk->scratch;
    JEMI_TRY(jemi_chunk_forward(chunk, rows->x));
    for (int64_t i = 0; i < chunk->n; i++)
        put_cotangents(config, n_classes, chunk->out + i * n_classes, chunk->dout + i * n_classes);
    JEMI_TRY(jemi_chunk_backward(chunk, points));
    for (int64_t i = 0; i < chunk->n; i++)
        scores[i] = is_good(chunk, i, n_classes, points, row_len) ? 0.0f : INFINITY;
    for (int64_t k = 0; k < chunk->n * row_len; k++)
        points[k] = rows->x[k] + config->odin_epsilon * sign_of(points[k]);
    JEMI_TRY(jemi_chunk_forward(chunk, points));
    for (int64_t i = 0; i < chunk->n; i++)
        if (scores[i] == 0.0f && is_good(chunk, i, n_classes, points, row_len))
            scores[i] =
                (float)jemi_score_max_softmax(config, n_classes, chunk->out + i * n_classes);
        else
            scores[i] = INFINITY;
    return JEM_OK;
}

// ---- refinement --------------------------------------------------------------------------------

// Steps down E(x), into rows->moved. A row whose logits or gradient overflow is not finite
// afterwards.
static jem_status refine(const jem_score_config *config, const jemi_input_rows *rows,
                         jemi_chunk *chunk)
{
    const int64_t count = chunk->n * jemi_model_input_size(rows->model);
    memcpy(rows->moved, rows->x, (size_t)count * sizeof *rows->moved);
    for (int32_t k = 0; k < config->refine_steps; k++) {
        JEMI_TRY(jemi_energy_grad_chunk(chunk, rows->moved, NULL, NULL, chunk->scratch));
        jemi_add_scaled(rows->moved, rows->moved, chunk->scratch, -config->refine_step_size, count);
    }
    return JEM_OK;
}

jem_status jemi_score_refine(const jem_score_config *config, const jemi_input_rows *rows,
                             jemi_chunk *chunk, float *scores)
{
    const int64_t row_len = jemi_model_input_size(rows->model);
    const int64_t n_classes = jemi_model_classes(rows->model);
    JEMI_TRY(jemi_chunk_forward(chunk, rows->x));
    for (int64_t i = 0; i < chunk->n; i++)
        scores[i] = is_good(chunk, i, n_classes, rows->x, row_len)
                        ? -(float)jemi_logsumexp(chunk->out + i * n_classes, n_classes, NULL)
                        : INFINITY;
    JEMI_TRY(refine(config, rows, chunk));
    JEMI_TRY(jemi_chunk_forward(chunk, rows->moved));
    for (int64_t i = 0; i < chunk->n; i++)
        if (is_good(chunk, i, n_classes, rows->moved, row_len))
            scores[i] += (float)jemi_logsumexp(chunk->out + i * n_classes, n_classes, NULL);
        else
            scores[i] = INFINITY;
    return JEM_OK;
}

jem_status jemi_score_refine_distance(const jem_score_config *config, const jemi_input_rows *rows,
                                      jemi_chunk *chunk, float *scores)
{
    const int64_t row_len = jemi_model_input_size(rows->model);
    const int64_t n_classes = jemi_model_classes(rows->model);
    JEMI_TRY(refine(config, rows, chunk));
    JEMI_TRY(jemi_chunk_forward(chunk, rows->moved));
    for (int64_t i = 0; i < chunk->n; i++) {
        const float *moved = rows->moved + i * row_len;
        scores[i] =
            is_good(chunk, i, n_classes, rows->moved, row_len)
                ? (float)sqrt(jemi_sum_squares_difference(moved, rows->x + i * row_len, row_len))
                : INFINITY;
    }
    return JEM_OK;
}
