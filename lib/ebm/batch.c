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

static jem_status run_rows(void *context, jemi_runner *runner, bool caller, int64_t first,
                           int64_t n)
{
    (void)caller;
    const batch *b = context;
    const int64_t row_len = jemi_model_input_size(b->model);
    const int64_t n_classes = jemi_model_classes(b->model);
    const int32_t precision = b->model->exec.precision_scoring;
    const float *x = b->x + first * row_len;
    if (b->logits != NULL) {
        const float *logits;
        JEMI_TRY(jemi_runner_forward(runner, precision, 0, n, x, &logits));
        memcpy(b->logits + first * n_classes, logits, (size_t)(n * n_classes) * sizeof *logits);
        jemi_overflow_logits(n, n_classes, b->logits + first * n_classes);
        return JEM_OK;
    }
    float *energy = b->energy != NULL ? b->energy + first : NULL;
    float *grad = b->grad != NULL ? b->grad + first * row_len : NULL;
    JEMI_TRY(jemi_energy_grad_chunk(runner, precision, n_classes, n, x,
                                    b->labels != NULL ? b->labels + first : NULL, energy, grad));
    jemi_overflow_energy(n, n_classes, jemi_runner_logits(runner), energy, row_len, grad);
    return JEM_OK;
}

static jem_status run(batch *b, int64_t n)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(b->model->runners, &runner));
    const uint32_t wants = b->grad != NULL ? (uint32_t)JEMI_WANT_DINPUT : 0u;
    const jem_status status =
        jemi_runner_for_rows(runner, b->model->exec.precision_scoring, wants, n, run_rows, b);
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
