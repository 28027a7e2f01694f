/*
 * Energies of a batch and their gradients with respect to the logits; with a runner, with respect
 * to the input.
 */
#include "ebm/density.h"

#include <stddef.h>
#include <string.h>

#include "base/elementary.h"

double jemi_logsumexp(const float *logits, int64_t n_classes, float *p)
{
    double most = logits[0];
    for (int64_t k = 1; k < n_classes; k++)
        if (logits[k] > most)
            most = logits[k];
    double sum = 0.0;
    for (int64_t k = 0; k < n_classes; k++)
        sum += jemi_exp(logits[k] - most);
    if (p != NULL)
        for (int64_t k = 0; k < n_classes; k++)
            p[k] = (float)(jemi_exp(logits[k] - most) / sum);
    return most + jemi_ln(sum);
}

static float marginal_row(const float *logits, int64_t n_classes, float *dlogits)
{
    const double f = jemi_logsumexp(logits, n_classes, dlogits);
    if (dlogits != NULL)
        for (int64_t k = 0; k < n_classes; k++)
            dlogits[k] = -dlogits[k];
    return (float)-f;
}

static float conditional_row(const float *logits, int64_t n_classes, int64_t label, float *dlogits)
{
    if (dlogits != NULL) {
        memset(dlogits, 0, (size_t)n_classes * sizeof *dlogits);
        dlogits[label] = -1.0f;
    }
    return -logits[label];
}

void jemi_density(int64_t n, int64_t n_classes, const float *logits, const int64_t *labels,
                  float *energy, float *dlogits)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * n_classes;
        float *drow = dlogits != NULL ? dlogits + i * n_classes : NULL;
        const float e = labels != NULL ? conditional_row(row, n_classes, labels[i], drow)
                                       : marginal_row(row, n_classes, drow);
        if (energy != NULL)
            energy[i] = e;
    }
}

jem_status jemi_energy_grad_chunk(jemi_chunk *chunk, const float *x, const int64_t *labels,
                                  float *energy, float *grad)
{
    const int64_t n_classes = jemi_graph_cut_size(chunk->program->graph, JEMI_CUT_OUTPUT);
    JEMI_TRY(jemi_chunk_forward(chunk, x));
    jemi_density(chunk->n, n_classes, chunk->out, labels, energy,
                 grad != NULL ? chunk->dout : NULL);
    return grad != NULL ? jemi_chunk_backward(chunk, grad) : JEM_OK;
}
