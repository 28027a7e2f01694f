/*
 * What the tests of our convolution kernels share: a convolution with what is fused to it, random
 * operands, each output in double, and the bits of a row against batch and threads.
 */
#ifndef JEM_TESTS_CONVOLUTION_H
#define JEM_TESTS_CONVOLUTION_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/epilogue.h"
#include "kernels/isa.h"
#include "kernels/layout.h"
#include "kernels/winograd.h"
#include "nearest_bf16.h"
#include "support.h"

enum {
    TRANSPOSED = 1,
    BIAS = 2,
    MASK = 4,
    ADD = 8,
    ACT = 16,
    FUSED = BIAS | MASK | ADD | ACT,
    BF16 = 32,   // factors are rounded
    IMAGE = 64,  // the source is canonical
    SIGNS = 128, // MASK reads signs, ACT writes them
};

typedef struct conv_case {
    const char *name;
    int64_t n, in, out, h, w; // channels of the forward convolution; h x w of its image
    int64_t kernel, stride, pad;
    unsigned with;
} conv_case;

typedef struct conv_operands {
    float *x, *weights, *bias, *mask, *add; // weights (out, in, kernel, kernel)
    uint16_t *mask_signs, *signs;
} conv_operands;

/** Computes y (conv_destination) of t->n rows with everything in t->with. */
typedef void (*conv_run)(const conv_case *t, const conv_operands *a, float *y);

static const float conv_slope = 0.2f;

// ---- shapes ------------------------------------------------------------------------------------

static inline int64_t conv_output(const conv_case *t, int64_t size)
{
    return (size + 2 * t->pad - t->kernel) / t->stride + 1;
}

/** What the run reads. */
static inline jemi_layout conv_source(const conv_case *t)
{
    if ((t->with & TRANSPOSED) != 0)
        return (jemi_layout){t->n, t->out, conv_output(t, t->h), conv_output(t, t->w), 16};
    return (jemi_layout){t->n, t->in, t->h, t->w, (t->with & IMAGE) != 0 ? 1 : 16};
}

/** What it writes. */
static inline jemi_layout conv_destination(const conv_case *t)
{
    conv_case turned = *t;
    turned.with = (t->with & TRANSPOSED) ^ TRANSPOSED;
    return conv_source(&turned);
}

/** As a kernel takes it, but for weights and what is fused to it. */
static inline jemi_winograd conv_winograd(const conv_case *t)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    return (jemi_winograd){
        .n = t->n,
        .in = src.c,
        .out = dst.c,
        .src_h = src.h,
        .src_w = src.w,
        .dst_h = dst.h,
        .dst_w = dst.w,
        .stride = t->stride,
        .transposed = (t->with & TRANSPOSED) != 0,
    };
}

static inline int64_t conv_at(const jemi_layout *l, int64_t n, int64_t c, int64_t i, int64_t j)
{
    const int64_t plane = (n * jemi_layout_blocks(l) + c / l->block) * l->h;
    return ((plane + i) * l->w + j) * l->block + c % l->block;
}

// ---- operands ----------------------------------------------------------------------------------

/** Aligned as the library's own memory; what nobody writes stays NaN. */
static inline float *conv_alloc(int64_t count)
{
    float *values = aligned_alloc(64, ((size_t)count * sizeof *values + 63) / 64 * 64);
    for (int64_t i = 0; i < count; i++)
        values[i] = NAN;
    return values;
}

static inline float *conv_random_tensor(const jemi_layout *layout, uint64_t seed)
{
    const int64_t count = jemi_layout_size(layout);
    float *random = support_uniform(count, seed), *values = conv_alloc(count);
    memcpy(values, random, (size_t)count * sizeof *values);
    free(random);
    jemi_layout_clear_padding(values, layout);
    return values;
}

static inline bool conv_sign(const uint16_t *signs, int64_t place)
{
    return (signs[place / 16] & 1u << place % 16) != 0;
}

/** Which values are <= 0. */
static inline uint16_t *conv_signs(const float *values, int64_t count)
{
    uint16_t *signs = calloc((size_t)count / 16, sizeof *signs);
    for (int64_t i = 0; i < count; i++)
        if (values[i] <= 0.0f)
            signs[i / 16] |= (uint16_t)(1u << i % 16);
    return signs;
}

static inline conv_operands conv_make(const conv_case *t)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    conv_operands a = {
        .x = conv_random_tensor(&src, 1),
        .weights = support_uniform(t->out * t->in * t->kernel * t->kernel, 2),
        .bias = support_uniform(dst.c, 3),
        .mask = conv_random_tensor(&dst, 4),
        .add = conv_random_tensor(&dst, 5),
        .signs = malloc((size_t)jemi_layout_size(&dst) / 8),
    };
    a.mask_signs = conv_signs(a.mask, jemi_layout_size(&dst));
    return a;
}

static inline void conv_free(conv_operands *a)
{
    free(a->x);
    free(a->weights);
    free(a->bias);
    free(a->mask);
    free(a->add);
    free(a->mask_signs);
    free(a->signs);
}

static inline jemi_epilogue conv_then(const conv_case *t, const conv_operands *a)
{
    const bool mask = (t->with & MASK) != 0, signs = (t->with & SIGNS) != 0;
    return (jemi_epilogue){
        .bias = (t->with & BIAS) != 0 ? a->bias : NULL,
        .channels = conv_destination(t).c,
        .mask = {.values = mask && !signs ? a->mask : NULL,
                 .signs = mask && signs ? a->mask_signs : NULL},
        .signs = signs ? a->signs : NULL,
        .add = (t->with & ADD) != 0 ? a->add : NULL,
        .act = (t->with & ACT) != 0,
        .slope = conv_slope,
    };
}

// ---- values ------------------------------------------------------------------------------------

// The source pixel that tap k of destination pixel i looks at, or -1.
static inline int64_t conv_look(const conv_case *t, int64_t i, int64_t k, int64_t size)
{
    const int64_t forward = i * t->stride + k - t->pad, back = i + t->pad - k;
    if ((t->with & TRANSPOSED) == 0)
        return forward >= 0 && forward < size ? forward : -1;
    return back >= 0 && back % t->stride == 0 && back / t->stride < size ? back / t->stride : -1;
}

static inline double conv_factor(const conv_case *t, float value)
{
    return (double)((t->with & BF16) != 0 ? nearest_bf16(value) : value);
}

static inline double conv_weight(const conv_case *t, const conv_operands *a, int64_t from,
                                 int64_t to, int64_t u, int64_t v)
{
    const bool transposed = (t->with & TRANSPOSED) != 0;
    const int64_t o = transposed ? from : to, i = transposed ? to : from;
    return conv_factor(t, a->weights[((o * t->in + i) * t->kernel + u) * t->kernel + v]);
}

static inline double conv_finish(const conv_case *t, const conv_operands *a, double sum,
                                 int64_t place)
{
    const double slope = (double)conv_slope;
    if ((t->with & MASK) != 0 && a->mask[place] <= 0.0f)
        sum *= slope;
    if ((t->with & ADD) != 0)
        sum += (double)a->add[place];
    return (t->with & ACT) != 0 && sum <= 0.0 ? slope * sum : sum;
}

/** @param size  Out. The sum of all absolute terms, which rounding errors are proportional to. */
static inline double conv_expected(const conv_case *t, const conv_operands *a, int64_t n, int64_t o,
                                   int64_t i, int64_t j, double *size)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    *size = 2.0; // bias, add
    double sum = (t->with & BIAS) != 0 ? (double)a->bias[o] : 0.0;
    for (int64_t c = 0; c < src.c; c++)
        for (int64_t u = 0; u < t->kernel; u++)
            for (int64_t v = 0; v < t->kernel; v++) {
                const int64_t y = conv_look(t, i, u, src.h), x = conv_look(t, j, v, src.w);
                if (y < 0 || x < 0)
                    continue;
                const double product =
                    conv_factor(t, a->x[conv_at(&src, n, c, y, x)]) * conv_weight(t, a, c, o, u, v);
                sum += product;
                *size += fabs(product);
            }
    return conv_finish(t, a, sum, conv_at(&dst, n, o, i, j));
}

static inline void conv_check_image(const conv_case *t, const conv_operands *a, int64_t n,
                                    const float *y, double tolerance)
{
    const jemi_layout dst = conv_destination(t);
    const int64_t lanes = jemi_layout_blocks(&dst) * dst.block;
    for (int64_t o = 0; o < lanes; o++)
        for (int64_t i = 0; i < dst.h; i++)
            for (int64_t j = 0; j < dst.w; j++) {
                double size = 0.0; // padded lanes are zero
                const double want = o < dst.c ? conv_expected(t, a, n, o, i, j, &size) : 0.0;
                const double have = (double)y[conv_at(&dst, n, o, i, j)];
                ck_assert_msg(fabs(have - want) <= tolerance * size,
                              "%s: row %d, channel %d, (%d, %d) is %g, expected %g", t->name,
                              (int)n, (int)o, (int)i, (int)j, have, want);
            }
}

/** Every output of the case, by one thread and by two. */
static inline void conv_check_values(const conv_case *t, conv_run run, double tolerance)
{
    conv_operands a = conv_make(t);
    const jemi_layout dst = conv_destination(t);
    for (int threads = 1; threads <= 2; threads++) {
        float *y = conv_alloc(jemi_layout_size(&dst));
        support_threads(threads);
        run(t, &a, y);
        for (int64_t n = 0; n < t->n; n++)
            conv_check_image(t, &a, n, y, tolerance);
        free(y);
    }
    conv_free(&a);
}

// ---- bits --------------------------------------------------------------------------------------

/** The sum is the same where the addend is the destination itself. */
static inline void conv_check_add_in_place(const conv_case *t, conv_run run)
{
    conv_operands a = conv_make(t);
    const jemi_layout dst = conv_destination(t);
    const size_t bytes = (size_t)jemi_layout_size(&dst) * sizeof(float);
    float *y = conv_alloc(jemi_layout_size(&dst));
    run(t, &a, y);
    run(t, &a, a.add);
    support_same_bits(y, a.add, bytes, t->name);
    free(y);
    conv_free(&a);
}

/** With signs for values, the same; and with ACT the signs are those of the outcome. */
static inline void conv_check_signs(const conv_case *t, conv_run run)
{
    conv_operands a = conv_make(t);
    const jemi_layout dst = conv_destination(t);
    const int64_t count = jemi_layout_size(&dst);
    conv_case with_signs = *t;
    with_signs.with |= SIGNS;
    float *y = conv_alloc(count), *other = conv_alloc(count);
    for (int threads = 1; threads <= 2; threads++) {
        support_threads(threads);
        memset(a.signs, threads == 1 ? 0xff : 0, (size_t)count / 8);
        run(t, &a, y);
        run(&with_signs, &a, other);
        support_same_bits(y, other, (size_t)count * sizeof *y, t->name);
        for (int64_t i = 0; i < count && (t->with & ACT) != 0; i++)
            ck_assert_msg(conv_sign(a.signs, i) == (y[i] <= 0.0f), "%s: sign %d of %g", t->name,
                          (int)i, (double)y[i]);
    }
    free(y);
    free(other);
    conv_free(&a);
}

static inline void conv_run_row(const conv_case *t, const conv_operands *a, int64_t n, conv_run run,
                                float *y)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    conv_case alone = *t;
    conv_operands row = *a;
    alone.n = 1;
    row.x += n * jemi_layout_row(&src);
    row.mask += n * jemi_layout_row(&dst);
    row.add += n * jemi_layout_row(&dst);
    run(&alone, &row, y + n * jemi_layout_row(&dst));
}

/** A row alone, in its batch, and with any number of threads: the same bits. */
static inline void conv_check_bits(const conv_case *t, conv_run run)
{
    conv_operands a = conv_make(t);
    const jemi_layout dst = conv_destination(t);
    const size_t bytes = (size_t)jemi_layout_size(&dst) * sizeof(float);
    float *y = conv_alloc(jemi_layout_size(&dst)), *other = conv_alloc(jemi_layout_size(&dst));
    support_threads(1);
    run(t, &a, y);
    for (int threads = 2; threads <= 3; threads++) {
        support_threads(threads);
        run(t, &a, other);
        support_same_bits(y, other, bytes, t->name);
    }
    for (int64_t n = 0; n < t->n; n++)
        conv_run_row(t, &a, n, run, other);
    support_same_bits(y, other, bytes, t->name);
    free(y);
    free(other);
    conv_free(&a);
}

/** support_main() for every instruction set that this processor has. */
static inline int conv_main(const char *name, void (*add)(TCase *tcase))
{
    int status = 0;
    for (int set = 0; set < jemi_isa_count(); set++) {
        char title[80];
        snprintf(title, sizeof title, "%s, %s", name, jemi_isa_name(set));
        jemi_isa_limit(jemi_isa_name(set));
        status |= support_main(title, add);
    }
    return status;
}

#endif
