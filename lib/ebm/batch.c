/*
 * What values of a cut and energies share: rows through one borrowed runner.
 */
#include "ebm/batch.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ebm/density.h"
#include "ebm/overflow.h"

// What is asked for; inputs and outputs that are not are NULL.
typedef struct batch {
    const jem_model *model;
    jemi_cut cut;
    const float *x;
    const int64_t *labels;
    const float *cotangents; /* (n, width of the cut) */
    float *values;           /* out, (n, width of the cut) */
    float *energy;           /* out, (n) */
    float *grad;             /* out, (n, C, H, W) */
} batch;

// Values of the cut, and with cotangents their product with its Jacobian.
static jem_status run_values(const batch *b, jemi_chunk *chunk)
{
    const int64_t first = chunk->first, n = chunk->n;
    const int64_t row_len = jemi_model_input_size(b->model);
    const int64_t width = jemi_graph_cut_size(&b->model->graph, b->cut);
    float *values = b->values != NULL ? b->values + first * width : NULL;
    float *grad = b->grad != NULL ? b->grad + first * row_len : NULL;
    JEMI_TRY(jemi_chunk_forward(chunk, b->x + first * row_len));
    if (b->cotangents != NULL) {
        memcpy(chunk->dout, b->cotangents + first * width, (size_t)(n * width) * sizeof(float));
        JEMI_TRY(jemi_chunk_backward(chunk, grad));
        jemi_overflow_grad(n, width, chunk->out, row_len, grad);
    }
    if (values != NULL) {
        memcpy(values, chunk->out, (size_t)(n * width) * sizeof *values);
        jemi_overflow_values(n, width, b->cut == JEMI_CUT_OUTPUT ? -INFINITY : INFINITY, values);
    }
    return JEM_OK;
}

static jem_status run_energy(const batch *b, jemi_chunk *chunk)
{
    const int64_t first = chunk->first, n = chunk->n;
    const int64_t row_len = jemi_model_input_size(b->model);
    const int64_t n_classes = jemi_model_classes(b->model);
    float *energy = b->energy != NULL ? b->energy + first : NULL;
    float *grad = b->grad != NULL ? b->grad + first * row_len : NULL;
    JEMI_TRY(jemi_energy_grad_chunk(chunk, b->x + first * row_len,
                                    b->labels != NULL ? b->labels + first : NULL, energy, grad));
    if (energy != NULL)
        jemi_overflow_energy(n, n_classes, chunk->out, energy);
    if (grad != NULL)
        jemi_overflow_grad(n, n_classes, chunk->out, row_len, grad);
    return JEM_OK;
}

static jem_status run_rows(void *context, jemi_chunk *chunk)
{
    const batch *b = context;
    const bool of_energy = b->values == NULL && b->cotangents == NULL;
    return of_energy ? run_energy(b, chunk) : run_values(b, chunk);
}

static jem_status run_by(batch *b, jemi_runner *runner, int64_t n)
{
    jemi_pass pass = jemi_pass_scoring(b->model, runner, b->grad != NULL ? JEMI_WANT_DINPUT : 0);
    pass.cut = b->cut;
    return jemi_pass_run(&pass, runner, n, &(jemi_rows_work){.compute = run_rows, .context = b});
}

static jem_status run(batch *b, int64_t n)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(b->model->runners, &runner));
    const jem_status status = run_by(b, runner, n);
    jemi_runner_return(runner);
    return status;
}

jem_status jemi_batch_vjp_by(jemi_runner *runner, const jem_model *model, jemi_cut cut, int64_t n,
                             const float *x, const float *cotangents, float *grad)
{
    return run_by(
        &(batch){.model = model, .cut = cut, .x = x, .cotangents = cotangents, .grad = grad},
        runner, n);
}

jem_status jemi_batch_values(const jem_model *model, jemi_cut cut, int64_t n, const float *x,
                             float *values)
{
    return run(&(batch){.model = model, .cut = cut, .x = x, .values = values}, n);
}

jem_status jemi_batch_vjp(const jem_model *model, jemi_cut cut, int64_t n, const float *x,
                          const float *cotangents, float *values, float *grad)
{
    return run(&(batch){.model = model,
                        .cut = cut,
                        .x = x,
                        .cotangents = cotangents,
                        .values = values,
                        .grad = grad},
               n);
}

jem_status jemi_batch_energy(const jem_model *model, int64_t n, const float *x,
                             const int64_t *labels, float *energy, float *grad)
{
    return run(&(batch){.model = model, .x = x, .labels = labels, .energy = energy, .grad = grad},
               n);
}
