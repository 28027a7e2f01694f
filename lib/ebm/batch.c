/*
 * What logits and energies share: rows through one borrowed runner.
 */
#include "ebm/batch.h"

#include <stddef.h>
#include <string.h>

#include "ebm/density.h"
#include "ebm/overflow.h"

typedef struct batch {
    const jem_model *model;
    const float *x;
    const int64_t *labels;
    float *logits; /* outputs; those not asked for are NULL */
    float *energy;
    float *grad;
} batch;

static jem_status run_rows(void *context, jemi_chunk *chunk)
{
    const batch *b = context;
    const int64_t first = chunk->first, n = chunk->n;
    const int64_t row_len = jemi_model_input_size(b->model);
    const int64_t n_classes = jemi_model_classes(b->model);
    const float *x = b->x + first * row_len;
    if (b->logits != NULL) {
        float *logits = b->logits + first * n_classes;
        JEMI_TRY(jemi_chunk_forward(chunk, x));
        memcpy(logits, chunk->out, (size_t)(n * n_classes) * sizeof *logits);
        jemi_overflow_logits(n, n_classes, logits);
        return JEM_OK;
    }
    float *energy = b->energy != NULL ? b->energy + first : NULL;
    float *grad = b->grad != NULL ? b->grad + first * row_len : NULL;
    JEMI_TRY(jemi_energy_grad_chunk(chunk, x, b->labels != NULL ? b->labels + first : NULL, energy,
                                    grad));
    jemi_overflow_energy(n, n_classes, chunk->out, energy, row_len, grad);
    return JEM_OK;
}

static jem_status run(batch *b, int64_t n)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(b->model->runners, &runner));
    const jemi_pass pass =
        jemi_pass_scoring(b->model, runner, b->grad != NULL ? JEMI_WANT_DINPUT : 0);
    const jem_status status =
        jemi_pass_run(&pass, runner, n, &(jemi_rows_work){.compute = run_rows, .context = b});
    jemi_runner_return(runner);
    return status;
}

jem_status jemi_batch_logits(const jem_model *model, int64_t n, const float *x, float *logits)
{
    return run(&(batch){.model = model, .x = x, .logits = logits}, n);
}

jem_status jemi_batch_energy(const jem_model *model, int64_t n, const float *x,
                             const int64_t *labels, float *energy, float *grad)
{
    return run(&(batch){.model = model, .x = x, .labels = labels, .energy = energy, .grad = grad},
               n);
}
