/*
 * Scores through one borrowed runner.
 */
#include "detect/score.h"

#include <stddef.h>

#include "base/memory.h"
#include "detect/blocks.h"

typedef struct request {
    const jem_model *model;
    const jemi_score_kind *kind;
    const jem_score_config *config;
    const float *x;
    float *moved; // of the same size; NULL unless the kind moves rows
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

static jem_status score_rows(void *context, jemi_chunk *chunk)
{
    const request *r = context;
    const int64_t at = chunk->first * jemi_model_input_size(r->model);
    float *scores = r->scores + chunk->first;
    const jemi_input_rows rows = {r->model, r->x + at, r->moved != NULL ? r->moved + at : NULL};
    return r->kind->source == JEM_SOURCE_GRADIENT
               ? r->kind->of_input(r->config, &rows, chunk, scores)
               : score_logits(r, chunk, rows.x, scores);
}

static jem_status run(const request *r, jemi_runner *runner, int64_t n)
{
    const uint32_t wants = r->kind->source == JEM_SOURCE_GRADIENT ? JEMI_WANT_DINPUT : 0;
    const jemi_pass pass = jemi_pass_scoring(r->model, runner, wants);
    return jemi_pass_run(&pass, runner, n,
                         &(jemi_rows_work){.compute = score_rows, .context = (void *)r});
}

// In blocks, as the moved rows take memory.
static jem_status run_moving(const request *all, jemi_runner *runner, int64_t n)
{
    const int64_t row_len = jemi_model_input_size(all->model);
    const int64_t capacity = jemi_block_rows(n, row_len);
    request r = *all;
    jem_status status = JEM_OK;
    r.moved = jemi_alloc((size_t)(capacity * row_len), sizeof *r.moved);
    if (r.moved == NULL)
        return jemi_fail_memory("rows of a score");
    for (int64_t first = 0; first < n && status == JEM_OK; first += capacity) {
        r.x = all->x + first * row_len;
        r.scores = all->scores + first;
        status = run(&r, runner, n - first < capacity ? n - first : capacity);
    }
    jemi_free(r.moved);
    return status;
}

jem_status jemi_score_by(jemi_runner *runner, const jem_model *model, const jemi_score_kind *kind,
                         const jem_score_config *config, int64_t n, const float *x, float *scores)
{
    const request r = {model, kind, config, x, NULL, scores};
    return kind->moves_rows ? run_moving(&r, runner, n) : run(&r, runner, n);
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
