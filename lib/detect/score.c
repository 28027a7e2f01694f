/*
 * Scores through one borrowed runner.
 */
#include "detect/score.h"

#include <math.h>
#include <stddef.h>

#include "ebm/density.h"
#include "kernels/vector.h"

typedef struct request {
    const jem_model *model;
    const jemi_score_kind *kind;
    const jem_score_config *config;
    const float *x;
    float *scores;
} request;

static jem_status score_logits(const request *r, jemi_chunk *chunk, const float *x, float *scores)
{
    const int64_t n_classes = jemi_model_classes(r->model);
    JEMI_TRY(jemi_chunk_forward(chunk, x));
    for (int64_t i = 0; i < chunk->n; i++)
        scores[i] = jemi_score_of_logits(r->kind, r->config, n_classes, chunk->out + i * n_classes);
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
    return r->kind->source == JEM_SOURCE_GRADIENT ? score_gradient(r, chunk, x, scores)
                                                  : score_logits(r, chunk, x, scores);
}

jem_status jemi_score_by(jemi_runner *runner, const jem_model *model, const jemi_score_kind *kind,
                         const jem_score_config *config, int64_t n, const float *x, float *scores)
{
    request r = {model, kind, config, x, scores};
    const jemi_pass pass = jemi_pass_scoring(
        model, runner, kind->source == JEM_SOURCE_GRADIENT ? JEMI_WANT_DINPUT : 0);
    return jemi_pass_run(&pass, runner, n, &(jemi_rows_work){.compute = score_rows, .context = &r});
}

jem_status jemi_score(const jem_model *model, const jemi_score_kind *kind,
                      const jem_score_config *config, int64_t n, const float *x, float *scores)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    const jem_status status = jemi_score_by(runner, model, kind, config, n, x, scores);
    jemi_runner_return(runner);
    return status;
}
