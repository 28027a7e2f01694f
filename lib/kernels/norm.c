/*
 * With r = 1 / sqrt(var + eps), and sums over the N values that share a mean and a variance:
 *
 *     dst = (src - mean) * r * weight + bias
 *     diff_src = diff * r * weight - r * A / N - (src - mean) * r^3 * B / N
 *         A = sum of weight * diff,  B = sum of weight * diff * (src - mean)
 *
 * so both ways an image is combined with few numbers per row and channel. Those of padded lanes are
 * 0, and so are the lanes that they give.
 */
#include "kernels/norm.h"

#include <math.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(norm_forward);
JEMI_KERNEL_DECLARE(norm_gradient);

#define INLINE static inline __attribute__((always_inline))

enum { LANES = JEMI_LANES }; // handled at once, in registers when the count is this constant

typedef struct tables {
    double *first, *second;              // sums per row and channel, padded channels included
    double *a, *b, *r;                   // per statistic
    float *mean, *scale, *slope, *shift; // coefficients per row and channel
} tables;

static int64_t padded_channels(const jemi_norm_pass *pass)
{
    return jemi_layout_blocks(&pass->layout) * pass->layout.block;
}

static tables tables_of(const jemi_norm_pass *pass, void *scratch)
{
    const int64_t places = pass->layout.n * padded_channels(pass);
    const int64_t statistics = jemi_norm_statistics(pass);
    double *sums = scratch, *shared = sums + 2 * places;
    float *floats = (float *)(shared + 3 * statistics);
    return (tables){.first = sums,
                    .second = sums + places,
                    .a = shared,
                    .b = shared + statistics,
                    .r = shared + 2 * statistics,
                    .mean = floats,
                    .scale = floats + places,
                    .slope = floats + 2 * places,
                    .shift = floats + 3 * places};
}

// Which mean and variance a channel of a row has.
static int64_t statistic_of(const jemi_norm_pass *pass, int64_t row, int64_t channel)
{
    if (pass->over != JEMI_OVER_GROUPS)
        return channel;
    return row * pass->groups + channel / (pass->layout.c / pass->groups);
}

// How many values share one.
static double values_of(const jemi_norm_pass *pass)
{
    const jemi_layout *layout = &pass->layout;
    return (double)(layout->n * layout->c * layout->h * layout->w) /
           (double)jemi_norm_statistics(pass);
}

// ---- passes over the images --------------------------------------------------------------------

// As many lanes as a register has doubles, as the caller's memory has them and in double.
typedef float narrow
    __attribute__((vector_size(V16_DOUBLES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef double wide
    __attribute__((vector_size(V16_DOUBLES * sizeof(double)), aligned(sizeof(double)), may_alias));

enum { PARTS = LANES / V16_DOUBLES };

// sum_lanes() with all lanes: GCC does not find the vectors in there by itself.
INLINE void sum_all_lanes(double *first, double *second, const float *x, const float *y,
                          int64_t pixels, int64_t block)
{
    wide sum[PARTS] = {{0}}, product[PARTS] = {{0}};
    for (int64_t p = 0; p < pixels; p++)
        for (int k = 0; k < PARTS; k++) {
            const int64_t at = p * block + k * V16_DOUBLES;
            const wide value = __builtin_convertvector(*(const narrow *)(x + at), wide);
            sum[k] += value;
            product[k] += value * __builtin_convertvector(*(const narrow *)(y + at), wide);
        }
    for (int k = 0; k < PARTS; k++) {
        *(wide *)(first + k * V16_DOUBLES) = sum[k];
        *(wide *)(second + k * V16_DOUBLES) = product[k];
    }
}

INLINE void sum_lanes(double *first, double *second, const float *x, const float *y, int64_t pixels,
                      int64_t block, int64_t count)
{
    double sum[LANES] = {0}, product[LANES] = {0};
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t lane = 0; lane < count; lane++) {
            const double value = (double)x[p * block + lane];
            sum[lane] += value;
            product[lane] += value * (double)y[p * block + lane];
        }
    for (int64_t lane = 0; lane < count; lane++) {
        first[lane] = sum[lane];
        second[lane] = product[lane];
    }
}

static void sum_block(double *first, double *second, const float *x, const float *y, int64_t pixels,
                      int64_t block)
{
    for (int64_t lane = 0; lane < block; lane += LANES) {
        if (block - lane >= LANES)
            sum_all_lanes(first + lane, second + lane, x + lane, y + lane, pixels, block);
        else
            sum_lanes(first + lane, second + lane, x + lane, y + lane, pixels, block, block - lane);
    }
}

// The coefficients of some lanes, copied so that nothing written can alias them.
typedef struct lane_table {
    float mean[LANES], scale[LANES], slope[LANES], shift[LANES];
} lane_table;

INLINE lane_table load_lanes(const tables *t, int64_t place, int64_t count)
{
    lane_table l;
    for (int64_t lane = 0; lane < count; lane++) {
        l.mean[lane] = t->mean[place + lane];
        l.scale[lane] = t->scale[place + lane];
        l.slope[lane] = t->slope[place + lane];
        l.shift[lane] = t->shift[place + lane];
    }
    return l;
}

INLINE void forward_lanes(float *dst, const float *src, const tables *t, int64_t place,
                          int64_t pixels, int64_t block, int64_t count)
{
    const lane_table l = load_lanes(t, place, count);
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t lane = 0; lane < count; lane++) {
            const int64_t i = p * block + lane;
            dst[i] = (src[i] - l.mean[lane]) * l.scale[lane] + l.shift[lane];
        }
}

static void forward_block(float *dst, const float *src, const tables *t, int64_t place,
                          int64_t pixels, int64_t block)
{
    for (int64_t lane = 0; lane < block; lane += LANES) {
        if (block - lane >= LANES)
            forward_lanes(dst + lane, src + lane, t, place + lane, pixels, block, LANES);
        else
            forward_lanes(dst + lane, src + lane, t, place + lane, pixels, block, block - lane);
    }
}

INLINE void gradient_lanes(float *dst, const float *diff, const float *src, const tables *t,
                           int64_t place, int64_t pixels, int64_t block, int64_t count)
{
    const lane_table l = load_lanes(t, place, count);
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t lane = 0; lane < count; lane++) {
            const int64_t i = p * block + lane;
            dst[i] =
                diff[i] * l.scale[lane] + (src[i] - l.mean[lane]) * l.slope[lane] + l.shift[lane];
        }
}

static void gradient_block(float *dst, const float *diff, const float *src, const tables *t,
                           int64_t place, int64_t pixels, int64_t block)
{
    for (int64_t lane = 0; lane < block; lane += LANES) {
        const float *d = diff + lane, *s = src + lane;
        if (block - lane >= LANES)
            gradient_lanes(dst + lane, d, s, t, place + lane, pixels, block, LANES);
        else
            gradient_lanes(dst + lane, d, s, t, place + lane, pixels, block, block - lane);
    }
}

// The images of a pass; each pass uses some of them.
typedef struct images {
    const tables *t;
    float *dst;
    const float *x, *y;
    int64_t pixels, block;
} images;

static void sum_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const images *a = context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * a->pixels * a->block, place = i * a->block;
        sum_block(a->t->first + place, a->t->second + place, a->x + at, a->y + at, a->pixels,
                  a->block);
    }
}

static void forward_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const images *a = context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * a->pixels * a->block;
        forward_block(a->dst + at, a->x + at, a->t, i * a->block, a->pixels, a->block);
    }
}

static void gradient_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const images *a = context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * a->pixels * a->block;
        gradient_block(a->dst + at, a->x + at, a->y + at, a->t, i * a->block, a->pixels, a->block);
    }
}

// Over the channel blocks of all rows.
static void share(jemi_task task, const jemi_norm_pass *pass, const tables *t, float *dst,
                  const float *x, const float *y)
{
    const jemi_layout *layout = &pass->layout;
    images a = {t, dst, x, y, layout->h * layout->w, layout->block};
    const int64_t blocks = layout->n * jemi_layout_blocks(layout);
    jemi_parallel(blocks, jemi_grain(blocks, a.pixels * a.block * JEMI_WORK_OF_FLOAT), task, &a);
}

// first = sum of x, second = sum of x * y, over the pixels of each channel of each row.
static void take_sums(const jemi_norm_pass *pass, const tables *t, const float *x, const float *y)
{
    share(sum_task, pass, t, NULL, x, y);
}

// ---- between the passes ------------------------------------------------------------------------

static void clear_shared(const jemi_norm_pass *pass, const tables *t)
{
    for (int64_t s = 0; s < jemi_norm_statistics(pass); s++)
        t->a[s] = t->b[s] = 0.0;
}

// Adds each channel's sums of each row, times its weight if there is one, to its statistic's.
static void gather(const jemi_norm_pass *pass, const tables *t, const float *weight)
{
    const int64_t channels = padded_channels(pass);
    clear_shared(pass, t);
    for (int64_t row = 0; row < pass->layout.n; row++)
        for (int64_t c = 0; c < pass->layout.c; c++) {
            const double w = weight != NULL ? (double)weight[c] : 1.0;
            const int64_t s = statistic_of(pass, row, c);
            t->a[s] += w * t->first[row * channels + c];
            t->b[s] += w * t->second[row * channels + c];
        }
}

static void set_place(const tables *t, int64_t place, double mean, double scale, double slope,
                      double shift)
{
    t->mean[place] = (float)mean;
    t->scale[place] = (float)scale;
    t->slope[place] = (float)slope;
    t->shift[place] = (float)shift;
}

static void set_deviations(const jemi_norm_pass *pass, const tables *t, const float *var)
{
    for (int64_t s = 0; s < jemi_norm_statistics(pass); s++)
        t->r[s] = 1.0 / sqrt((double)var[s] + pass->eps);
}

static void set_forward(const jemi_norm_pass *pass, const tables *t, const float *weight,
                        const float *bias, const float *mean)
{
    const int64_t channels = padded_channels(pass);
    for (int64_t row = 0; row < pass->layout.n; row++)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t place = row * channels + c;
            if (c >= pass->layout.c) {
                set_place(t, place, 0.0, 0.0, 0.0, 0.0);
                continue;
            }
            const int64_t s = statistic_of(pass, row, c);
            set_place(t, place, (double)mean[s], t->r[s] * (double)weight[c], 0.0, (double)bias[c]);
        }
}

static void set_gradient(const jemi_norm_pass *pass, const tables *t, const float *weight,
                         const float *mean)
{
    const int64_t channels = padded_channels(pass);
    const double share = 1.0 / values_of(pass);
    for (int64_t row = 0; row < pass->layout.n; row++)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t place = row * channels + c;
            if (c >= pass->layout.c) {
                set_place(t, place, 0.0, 0.0, 0.0, 0.0);
                continue;
            }
            const int64_t s = statistic_of(pass, row, c);
            const double r = t->r[s];
            set_place(t, place, (double)mean[s], r * (double)weight[c],
                      -r * r * r * share * t->b[s], -r * share * t->a[s]);
        }
}

// second = sum of diff * (src - mean): what the sums are for, at last.
static void center(const jemi_norm_pass *pass, const tables *t, const float *mean)
{
    const int64_t channels = padded_channels(pass);
    for (int64_t row = 0; row < pass->layout.n; row++)
        for (int64_t c = 0; c < pass->layout.c; c++)
            t->second[row * channels + c] -=
                (double)mean[statistic_of(pass, row, c)] * t->first[row * channels + c];
}

static void param_gradients(const jemi_norm_pass *pass, const tables *t, float *dweight,
                            float *dbias)
{
    const int64_t channels = padded_channels(pass);
    for (int64_t c = 0; c < pass->layout.c; c++) {
        double dw = 0.0, db = 0.0;
        for (int64_t row = 0; row < pass->layout.n; row++) {
            dw += t->r[statistic_of(pass, row, c)] * t->second[row * channels + c];
            db += t->first[row * channels + c];
        }
        if (dweight != NULL)
            dweight[c] = (float)dw;
        if (dbias != NULL)
            dbias[c] = (float)db;
    }
}

// ---- entries -----------------------------------------------------------------------------------

static void take_statistics(const jemi_norm_pass *pass, const tables *t, const float *src,
                            float *mean, float *var)
{
    take_sums(pass, t, src, src);
    gather(pass, t, NULL);
    const double count = values_of(pass);
    for (int64_t s = 0; s < jemi_norm_statistics(pass); s++) {
        const double m = t->a[s] / count;
        const double v = t->b[s] / count - m * m;
        mean[s] = (float)m;
        var[s] = v < 0.0 ? 0.0f : (float)v; // NaN stays
    }
}

void JEMI_KERNEL(norm_forward)(const jemi_norm_pass *pass, float *dst, const float *src,
                               const float *weight, const float *bias, float *mean, float *var,
                               void *scratch)
{
    const tables t = tables_of(pass, scratch);
    if (pass->over != JEMI_OVER_NONE)
        take_statistics(pass, &t, src, mean, var);
    set_deviations(pass, &t, var);
    set_forward(pass, &t, weight, bias, mean);
    share(forward_task, pass, &t, dst, src, NULL);
}

void JEMI_KERNEL(norm_gradient)(const jemi_norm_pass *pass, float *diff_src, const float *diff_dst,
                                const float *src, const float *weight, const float *mean,
                                const float *var, float *dweight, float *dbias, void *scratch)
{
    const tables t = tables_of(pass, scratch);
    const bool wants_params = dweight != NULL || dbias != NULL;
    const bool given = pass->over == JEMI_OVER_NONE;
    set_deviations(pass, &t, var);
    if (wants_params || !given) {
        take_sums(pass, &t, diff_dst, src);
        center(pass, &t, mean);
    }
    if (wants_params)
        param_gradients(pass, &t, dweight, dbias);
    if (given)
        clear_shared(pass, &t);
    else
        gather(pass, &t, weight);
    set_gradient(pass, &t, weight, mean);
    share(gradient_task, pass, &t, diff_src, diff_dst, src);
}
