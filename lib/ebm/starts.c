/*
 * Fitting of the start Gaussians, and single starts.
 */
#include "ebm/starts.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/noise.h"

// Sums of one class or of everything, in double.
typedef struct moments {
    int64_t count;
    double *sum, *square; /* (row_len) */
} moments;

static void add_row(moments *m, int64_t row_len, const float *x)
{
    m->count++;
    for (int64_t i = 0; i < row_len; i++) {
        m->sum[i] += x[i];
        m->square[i] += (double)x[i] * x[i];
    }
}

static void finish(const moments *m, int64_t row_len, float *mean, float *std)
{
    for (int64_t i = 0; i < row_len; i++) {
        const double mu = m->sum[i] / (double)m->count;
        const double variance = m->square[i] / (double)m->count - mu * mu;
        mean[i] = (float)mu;
        std[i] = variance > 0.0 ? (float)sqrt(variance) : 0.0f;
    }
}

static void fit_one(jemi_gaussians *g, int64_t c, int64_t n, const float *x, const int64_t *labels,
                    moments *m)
{
    m->count = 0;
    memset(m->sum, 0, 2 * (size_t)g->row_len * sizeof *m->sum);
    for (int64_t i = 0; i < n; i++)
        if (labels == NULL || labels[i] == c)
            add_row(m, g->row_len, x + i * g->row_len);
    if (m->count == 0) // nothing known of this class: the whole data's figures
        for (int64_t i = 0; i < n; i++)
            add_row(m, g->row_len, x + i * g->row_len);
    finish(m, g->row_len, g->mean + c * g->row_len, g->std + c * g->row_len);
}

jem_status jemi_gaussians_fit(jemi_gaussians *gaussians, int64_t n_classes, int64_t row_len,
                              int64_t n, const float *x, const int64_t *labels)
{
    jemi_gaussians next = {.n_classes = labels != NULL ? n_classes : 1, .row_len = row_len};
    const size_t count = (size_t)(next.n_classes * row_len);
    next.mean = jemi_alloc(count, sizeof(float));
    next.std = jemi_alloc(count, sizeof(float));
    double *sums = jemi_alloc(2 * (size_t)row_len, sizeof *sums);
    if (next.mean == NULL || next.std == NULL || sums == NULL) {
        jemi_gaussians_fini(&next);
        jemi_free(sums);
        return jemi_fail_memory("Gaussian starts");
    }
    moments m = {0, sums, sums + row_len};
    for (int64_t c = 0; c < next.n_classes; c++)
        fit_one(&next, c, n, x, labels, &m);
    jemi_free(sums);
    jemi_gaussians_fini(gaussians);
    *gaussians = next;
    return JEM_OK;
}

void jemi_gaussians_fini(jemi_gaussians *gaussians)
{
    jemi_free(gaussians->mean);
    jemi_free(gaussians->std);
    *gaussians = (jemi_gaussians){0};
}

static bool starts_uniform(const jemi_start_config *config, uint32_t bits)
{
    return config->kind == JEM_START_UNIFORM ||
           (config->kind == JEM_START_MIXTURE &&
            jemi_unit_from_u32(bits) < config->uniform_fraction);
}

void jemi_start_row(const jemi_start_config *config, const jemi_gaussians *gaussians,
                    const jemi_start_keys *keys, uint32_t row, uint64_t step, int64_t label,
                    int64_t row_len, float *x)
{
    uint32_t choice[4];
    jemi_random_u32x4(keys->choice, 0, row, step, choice);
    if (starts_uniform(config, choice[0])) {
        jemi_fill_uniform(x, row_len, config->low, config->high, keys->values, row, step);
    } else {
        const int64_t any = jemi_below_from_u32(choice[1], (uint32_t)gaussians->n_classes);
        const int64_t c = label >= 0 && gaussians->n_classes > 1 ? label : any;
        const float *mean = gaussians->mean + c * row_len;
        const float *std = gaussians->std + c * row_len;
        jemi_fill_normal(x, row_len, keys->values, row, step);
        for (int64_t i = 0; i < row_len; i++)
            x[i] = mean[i] + std[i] * x[i];
    }
    for (int64_t i = 0; i < row_len; i++) {
        const float below = x[i] < config->x_high ? x[i] : config->x_high;
        x[i] = below > config->x_low ? below : config->x_low;
    }
}
