/*
 * Moments in two passes of doubles, then the leading directions; what these leave of each element's
 * variance stays independent, so that the variances come out exact.
 */
#include "ebm/gaussians.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "ebm/low_rank.h"
#include "kernels/noise.h"

enum { QUIET_FLOATS = 1 << 22 }; // that are read between two words to the host

// One class in the making.
typedef struct fitting {
    const jemi_table *data;
    int64_t n;     /* rows of the class */
    int64_t *rows; /* (data->n), of which these are used */
    double *sum;   /* (row_len), scratch */
    bool own;      /* the rows are the class's, not all for want of those */
    jemi_progress *progress;
} fitting;

// Rows of class c, or all of them where there are none: nothing is known of it.
static void choose_rows(fitting *f, int64_t c)
{
    const int64_t *labels = f->data->labels;
    f->n = 0;
    for (int64_t i = 0; i < f->data->n; i++)
        if (labels == NULL || labels[i] == c)
            f->rows[f->n++] = i;
    f->own = f->n > 0;
    if (f->own)
        return;
    for (; f->n < f->data->n; f->n++)
        f->rows[f->n] = f->n;
}

static void add_values(const fitting *f, int64_t begin, int64_t end, const float *unused)
{
    (void)unused;
    const int64_t row_len = f->data->row_len;
    for (int64_t i = begin; i < end; i++)
        for (int64_t e = 0; e < row_len; e++)
            f->sum[e] += (double)f->data->x[f->rows[i] * row_len + e];
}

static void add_squares(const fitting *f, int64_t begin, int64_t end, const float *mean)
{
    const int64_t row_len = f->data->row_len;
    for (int64_t i = begin; i < end; i++)
        for (int64_t e = 0; e < row_len; e++) {
            const double d = (double)f->data->x[f->rows[i] * row_len + e] - (double)mean[e];
            f->sum[e] += d * d;
        }
}

// One pass over the rows of the class.
static jem_status sum_rows(const fitting *f, const float *mean,
                           void (*add)(const fitting *, int64_t, int64_t, const float *))
{
    const int64_t most = QUIET_FLOATS / f->data->row_len + 1;
    memset(f->sum, 0, (size_t)f->data->row_len * sizeof *f->sum);
    for (int64_t begin = 0; begin < f->n; begin += most) {
        const int64_t end = f->n - begin < most ? f->n : begin + most;
        add(f, begin, end, mean);
        JEMI_TRY(jemi_progress_add(f->progress, f->own ? end - begin : 0));
    }
    return JEM_OK;
}

static jem_status fit_mean(const fitting *f, float *mean)
{
    JEMI_TRY(sum_rows(f, NULL, add_values));
    for (int64_t e = 0; e < f->data->row_len; e++)
        mean[e] = (float)(f->sum[e] / (double)f->n);
    return JEM_OK;
}

// The deviations that the factors leave of each element.
static jem_status fit_rest(const fitting *f, const float *mean, int32_t rank, const float *factors,
                           float *rest)
{
    const int64_t row_len = f->data->row_len;
    JEMI_TRY(sum_rows(f, mean, add_squares));
    for (int64_t e = 0; e < row_len; e++) {
        double variance = f->sum[e] / (double)f->n;
        for (int32_t k = 0; k < rank; k++)
            variance -= (double)factors[k * row_len + e] * (double)factors[k * row_len + e];
        rest[e] = variance > 0.0 ? (float)sqrt(variance) : 0.0f;
    }
    return JEM_OK;
}

static jem_status fit_class(const jemi_gaussians *g, int64_t c, uint64_t seed, fitting *f)
{
    const int64_t row_len = g->row_len;
    float *mean = g->mean + c * row_len;
    float *factors = g->rank > 0 ? g->factors + c * g->rank * row_len : NULL;
    choose_rows(f, c);
    JEMI_TRY(fit_mean(f, mean));
    if (g->rank > 0) {
        const jemi_covariance covariance = {f->n, row_len, f->data->x, f->rows, mean};
        const jemi_random_key key = jemi_random_key_make(seed, JEMI_RANDOM_FIT, 0);
        JEMI_TRY(jemi_low_rank_fit(&covariance, g->rank, key, (uint32_t)c, f->own, f->progress,
                                   factors));
    }
    return fit_rest(f, mean, g->rank, factors, g->rest + c * row_len);
}

bool jemi_gaussians_allocate(jemi_gaussians *g)
{
    const size_t per_class = (size_t)g->row_len * sizeof(float);
    const size_t n_factors = (size_t)g->n_classes * (size_t)g->rank;
    g->mean = jemi_alloc((size_t)g->n_classes, per_class);
    g->rest = jemi_alloc((size_t)g->n_classes, per_class);
    g->factors = g->rank > 0 ? jemi_alloc(n_factors, per_class) : NULL;
    return g->mean != NULL && g->rest != NULL && (g->rank == 0 || g->factors != NULL);
}

static jem_status allocate(jemi_gaussians *g, fitting *f)
{
    const bool complete = jemi_gaussians_allocate(g);
    f->rows = jemi_alloc((size_t)f->data->n, sizeof *f->rows);
    f->sum = jemi_alloc((size_t)g->row_len, sizeof *f->sum);
    if (!complete || f->rows == NULL || f->sum == NULL)
        return jemi_fail_memory("Gaussian starts");
    return JEM_OK;
}

int64_t jemi_gaussians_visits(int64_t n, int32_t rank)
{
    return n * (rank > 0 ? 2 + JEMI_LOW_RANK_PASSES : 2);
}

jem_status jemi_gaussians_fit(jemi_gaussians *next, int64_t n_classes, int32_t rank, uint64_t seed,
                              const jemi_table *data, jemi_progress *progress)
{
    *next = (jemi_gaussians){
        .n_classes = data->labels != NULL ? n_classes : 1, .row_len = data->row_len, .rank = rank};
    fitting f = {.data = data, .progress = progress};
    jem_status status = allocate(next, &f);
    for (int64_t c = 0; c < next->n_classes && status == JEM_OK; c++)
        status = fit_class(next, c, seed, &f);
    jemi_free(f.rows);
    jemi_free(f.sum);
    if (status != JEM_OK)
        jemi_gaussians_fini(next);
    return status;
}

void jemi_gaussians_fini(jemi_gaussians *gaussians)
{
    jemi_free(gaussians->mean);
    jemi_free(gaussians->rest);
    jemi_free(gaussians->factors);
    *gaussians = (jemi_gaussians){0};
}

void jemi_gaussians_draw(const jemi_gaussians *gaussians, int64_t c, jemi_random_key elements,
                         jemi_random_key directions, uint32_t row, uint64_t step, float *x)
{
    const int64_t row_len = gaussians->row_len;
    const float *mean = gaussians->mean + c * row_len, *rest = gaussians->rest + c * row_len;
    jemi_fill_normal(x, row_len, elements, row, step);
    for (int64_t e = 0; e < row_len; e++)
        x[e] = mean[e] + rest[e] * x[e];
    if (gaussians->rank == 0)
        return;
    float along[JEMI_RANK_MAX];
    jemi_fill_normal(along, gaussians->rank, directions, row, step);
    for (int32_t k = 0; k < gaussians->rank; k++) {
        const float *factor = gaussians->factors + (c * gaussians->rank + k) * row_len;
        for (int64_t e = 0; e < row_len; e++)
            x[e] += along[k] * factor[e];
    }
}
