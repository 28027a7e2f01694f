/*
 * Sums are in one order, so the bits depend on the values alone; and double, but for v, which is an
 * estimate at any time. A matrix of zeros has sigma 0: it stays zero, and passes no gradient.
 */
#include "nn/spectral.h"

#include <math.h>
#include <string.h>

// A weight as a matrix, with its vectors; all of them in one flat vector.
typedef struct matrix {
    int64_t rows, columns;
    int64_t w, u, v; /* offsets */
} matrix;

static matrix matrix_of(const jemi_graph *graph, const jemi_param *weight)
{
    const jemi_param *u = &graph->states[weight->spectral - 1];
    return (matrix){u[0].count, u[1].count, weight->offset, u[0].offset, u[1].offset};
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

// PyTorch's functional.normalize: a vector shorter than 1e-12 is not blown up to length 1.
static void normalize(float *x, int64_t count)
{
    const double scale = 1.0 / fmax(sqrt(dot(x, x, count)), 1e-12);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(scale * (double)x[i]);
}

static void iterate(const matrix *m, float *params)
{
    const float *w = params + m->w;
    float *u = params + m->u, *v = params + m->v;
    memset(v, 0, (size_t)m->columns * sizeof *v);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->columns; j++)
            v[j] += w[i * m->columns + j] * u[i];
    normalize(v, m->columns);
    for (int64_t i = 0; i < m->rows; i++)
        u[i] = (float)dot(w + i * m->columns, v, m->columns);
    normalize(u, m->rows);
}

// 1 / sigma.
static double inverse_sigma(const matrix *m, const float *params)
{
    double sigma = 0.0;
    for (int64_t i = 0; i < m->rows; i++)
        sigma += (double)params[m->u + i] *
                 dot(params + m->w + i * m->columns, params + m->v, m->columns);
    return sigma != 0.0 ? 1.0 / sigma : 0.0;
}

// With N = W / sigma and G = dL/dN:  dL/dW = (G - <G, N> u v') / sigma.
static void gradient(const matrix *m, const float *params, float *grad)
{
    const float *w = params + m->w, *u = params + m->u, *v = params + m->v;
    float *g = grad + m->w;
    const double scale = inverse_sigma(m, params);
    const double along = scale * dot(g, w, m->rows * m->columns);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->columns; j++) {
            float *element = &g[i * m->columns + j];
            *element = (float)(scale * ((double)*element - along * (double)u[i] * (double)v[j]));
        }
}

bool jemi_spectral_any(const jemi_graph *graph)
{
    for (int32_t i = 0; i < graph->n_params; i++)
        if (graph->params[i].spectral != 0)
            return true;
    return false;
}

void jemi_spectral_iterate(const jemi_graph *graph, float *params)
{
    for (int32_t i = 0; i < graph->n_params; i++) {
        if (graph->params[i].spectral == 0)
            continue;
        const matrix m = matrix_of(graph, &graph->params[i]);
        iterate(&m, params);
    }
}

void jemi_spectral_normalize(const jemi_graph *graph, const float *params, float *normalized)
{
    memcpy(normalized, params, (size_t)jemi_graph_size(graph) * sizeof *params);
    for (int32_t i = 0; i < graph->n_params; i++) {
        if (graph->params[i].spectral == 0)
            continue;
        const matrix m = matrix_of(graph, &graph->params[i]);
        const double scale = inverse_sigma(&m, params);
        for (int64_t k = 0; k < m.rows * m.columns; k++)
            normalized[m.w + k] = (float)(scale * (double)params[m.w + k]);
    }
}

void jemi_spectral_gradient(const jemi_graph *graph, const float *params, float *grad)
{
    for (int32_t i = 0; i < graph->n_params; i++) {
        if (graph->params[i].spectral == 0)
            continue;
        const matrix m = matrix_of(graph, &graph->params[i]);
        gradient(&m, params, grad);
    }
}
