/*
 * Scores of a batch through one borrowed runner.
 */
#include "detect/score.h"

#include <math.h>
#include <stddef.h>

#include "base/elementary.h"
#include "ebm/density.h"
#include "ebm/overflow.h"
#include "kernels/vector.h"

static float max_softmax(const float *logits, int64_t n_classes)
{
    float most = logits[0];
    for (int64_t k = 1; k < n_classes; k++)
        most = logits[k] > most ? logits[k] : most;
    return (float)jemi_exp(most - jemi_logsumexp(logits, n_classes, NULL));
}

typedef struct request {
    const jem_model *model;
    int32_t kind;
    const float *x;
    float *scores;
} request;

static jem_status score_logits(const request *r, jemi_chunk *chunk, const float *x, float *scores)
{
    const int64_t n_classes = jemi_model_classes(r->model);
    JEMI_TRY(jemi_chunk_forward(chunk, x));
    for (int64_t i = 0; i < chunk->n; i++) {
        const float *row = chunk->out + i * n_classes;
        if (!jemi_all_finite(row, n_classes, NULL))
            scores[i] = INFINITY;
        else
            scores[i] = r->kind == JEM_SCORE_MAX_SOFTMAX
                            ? -max_softmax(row, n_classes)
                            : -(float)jemi_logsumexp(row, n_classes, NULL);
    }
    return JEM_OK;
}

static jem_status score_gradient(const request *r, jemi_chunk *chunk, const float *x, float *scores)
{
    const int64_t row_len = jemi_model_input_size(r->model);
    const int64_t n_classes = jemi_model_classes(r->model);
    float *grad = chunk->scratch;
    JEMI_TRY(jemi_energy_grad_chunk(chunk, x, NULL, NULL, grad));
    for (int64_t i = 0; i < chunk->n; i++) {
        const bool good = jemi_all_finite(chunk->out + i * n_classes, n_classes, NULL) &&
                          jemi_all_finite(grad + i * row_len, row_len, NULL);
        scores[i] = good ? (float)sqrt(jemi_sum_squares(grad + i * row_len, row_len)) : INFINITY;
    }
    return JEM_OK;
}

static jem_status score_rows(void *context, jemi_chunk *chunk)
{
    const request *r = context;
    const float *x = r->x + chunk->first * jemi_model_input_size(r->model);
    float *scores = r->scores + chunk->first;
    return r->kind == JEM_SCORE_GRADIENT_NORM ? score_gradient(r, chunk, x, scores)
                                              : score_logits(r, chunk, x, scores);
}

jem_status jemi_score(const jem_model *model, int32_t kind, int64_t n, const float *x,
                      float *scores)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    request r = {model, kind, x, scores};
    const jemi_pass pass =
        jemi_pass_scoring(model, runner, kind == JEM_SCORE_GRADIENT_NORM ? JEMI_WANT_DINPUT : 0);
    const jem_status status =
        jemi_pass_run(&pass, runner, n, &(jemi_rows_work){.compute = score_rows, .context = &r});
    jemi_runner_return(runner);
    return status;
}
