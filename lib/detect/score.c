/*
 * Scores of a batch through one borrowed runner.
 */
#include "detect/score.h"

#include <math.h>
#include <stddef.h>

#include "base/memory.h"
#include "ebm/density.h"
#include "ebm/overflow.h"
#include "kernels/vector.h"

static float max_softmax(const float *logits, int64_t n_classes)
{
    float most = logits[0];
    for (int64_t k = 1; k < n_classes; k++)
        most = logits[k] > most ? logits[k] : most;
    return (float)exp(most - jemi_logsumexp(logits, n_classes, NULL));
}

typedef struct request {
    const jem_model *model;
    int32_t kind;
    const float *x;
    float *scores;
} request;

static jem_status score_logits(const request *r, jemi_runner *runner, int64_t n, const float *x,
                               float *scores)
{
    const int64_t n_classes = jemi_model_classes(r->model);
    const float *logits;
    JEMI_TRY(jemi_runner_forward(runner, r->model->exec.precision_scoring, 0, n, x, &logits));
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * n_classes;
        if (!jemi_overflow_none(row, n_classes))
            scores[i] = INFINITY;
        else
            scores[i] = r->kind == JEM_SCORE_MAX_SOFTMAX
                            ? -max_softmax(row, n_classes)
                            : -(float)jemi_logsumexp(row, n_classes, NULL);
    }
    return JEM_OK;
}

static jem_status score_gradient(const request *r, jemi_runner *runner, int64_t n, const float *x,
                                 float *scores)
{
    const int64_t row_len = jemi_model_input_size(r->model);
    const int64_t n_classes = jemi_model_classes(r->model);
    float *grad = jemi_runner_input_scratch(runner);
    if (grad == NULL)
        return jemi_fail_memory("input gradients");
    JEMI_TRY(jemi_energy_grad_chunk(runner, r->model->exec.precision_scoring, n_classes, n, x, NULL,
                                    NULL, grad));
    const float *logits = jemi_runner_logits(runner);
    for (int64_t i = 0; i < n; i++) {
        const bool good = jemi_overflow_none(logits + i * n_classes, n_classes) &&
                          jemi_overflow_none(grad + i * row_len, row_len);
        scores[i] = good ? (float)sqrt(jemi_sum_squares(grad + i * row_len, row_len)) : INFINITY;
    }
    return JEM_OK;
}

static jem_status score_rows(void *context, jemi_runner *runner, bool caller, int64_t first,
                             int64_t n)
{
    (void)caller;
    const request *r = context;
    const float *x = r->x + first * jemi_model_input_size(r->model);
    return r->kind == JEM_SCORE_GRADIENT_NORM ? score_gradient(r, runner, n, x, r->scores + first)
                                              : score_logits(r, runner, n, x, r->scores + first);
}

jem_status jemi_score(const jem_model *model, int32_t kind, int64_t n, const float *x,
                      float *scores)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    request r = {model, kind, x, scores};
    const uint32_t wants = kind == JEM_SCORE_GRADIENT_NORM ? (uint32_t)JEMI_WANT_DINPUT : 0u;
    const jem_status status =
        jemi_runner_for_rows(runner, model->exec.precision_scoring, wants, n, score_rows, &r);
    jemi_runner_return(runner);
    return status;
}
