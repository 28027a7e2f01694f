/*
 * Scores of a batch, chunk by chunk through one borrowed runner.
 */
#include "detect/score.h"

#include <math.h>
#include <stddef.h>

#include "base/memory.h"
#include "ebm/density.h"
#include "kernels/vector.h"

static float max_softmax(const float *logits, int64_t n_classes)
{
    float most = logits[0];
    for (int64_t k = 1; k < n_classes; k++)
        most = logits[k] > most ? logits[k] : most;
    return (float)exp(most - jemi_logsumexp(logits, n_classes, NULL));
}

static jem_status score_chunk_logits(const jem_model *model, jemi_runner *runner, int32_t kind,
                                     int64_t n, const float *x, float *scores)
{
    const int64_t n_classes = jemi_model_classes(model);
    const float *logits;
    JEMI_TRY(jemi_runner_forward(runner, model->exec.precision_scoring, 0, n, x, &logits));
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * n_classes;
        scores[i] = kind == JEM_SCORE_MAX_SOFTMAX ? -max_softmax(row, n_classes)
                                                  : -(float)jemi_logsumexp(row, n_classes, NULL);
    }
    return JEM_OK;
}

static jem_status score_chunk_gradient(const jem_model *model, jemi_runner *runner, int64_t n,
                                       const float *x, float *scores)
{
    const int64_t row_len = jemi_model_input_size(model);
    float *grad = jemi_runner_input_scratch(runner);
    if (grad == NULL)
        return jemi_fail_memory("input gradients");
    JEMI_TRY(jemi_energy_grad_chunk(runner, model->exec.precision_scoring,
                                    jemi_model_classes(model), n, x, NULL, NULL, grad));
    for (int64_t i = 0; i < n; i++)
        scores[i] = (float)sqrt(jemi_sum_squares(grad + i * row_len, row_len));
    return JEM_OK;
}

jem_status jemi_score(const jem_model *model, int32_t kind, int64_t n, const float *x,
                      float *scores)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    jem_status status = JEM_OK;
    for (int64_t first = 0; first < n && status == JEM_OK;) {
        const int64_t rows = jemi_runner_chunk(runner, n - first);
        const float *from = x + first * jemi_model_input_size(model);
        status = kind == JEM_SCORE_GRADIENT_NORM
                     ? score_chunk_gradient(model, runner, rows, from, scores + first)
                     : score_chunk_logits(model, runner, kind, rows, from, scores + first);
        first += rows;
    }
    jemi_runner_return(runner);
    return status;
}
