/*
 * The arithmetic of the activations.
 *
 * Everything rests on exp and expm1 of arguments <= 0 (so nothing overflows) and log1p on 0..1:
 *
 *     e^x - 1 = 2^n p + (2^n - 1),  x = n ln 2 + r,  |r| <= ln 2 / 2,  p = e^r - 1 by its series
 *     log1p u = 2 artanh(u / (2 + u))
 *
 * Loops are plain so that the compiler makes vector code of them, one clone per instruction set.
 */
#include "kernels/activation.h"

#include <stddef.h>
#include <string.h>

#include "kernels/epilogue_alone.h"
#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(act_forward);
JEMI_KERNEL_DECLARE(act_forward_signs);
JEMI_KERNEL_DECLARE(act_gradient);
JEMI_KERNEL_DECLARE(act_gradient_run);
JEMI_KERNEL_DECLARE(sum);
JEMI_KERNEL_DECLARE(epilogue_alone);

#define INLINE static inline __attribute__((always_inline))

typedef struct exp_parts {
    float scale; // 2^n
    float p;     // e^r - 1
} exp_parts;

// x <= 0, NaN passes through. Below -87 the result stays that of -87: a normal number near 0.
INLINE exp_parts exp_split(float x)
{
    const float shift = 0x1.8p23f;
    const uint32_t shift_bits = 0x4b400000u;
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504f + shift; // the integer n in the lowest bits
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const float n = shifted - shift;
    const float r = (x - n * 0.693145751953125f) - n * 1.42860682e-6f;
    float q = 1.98412698e-4f;
    q = q * r + 1.38888889e-3f;
    q = q * r + 8.33333333e-3f;
    q = q * r + 4.16666667e-2f;
    q = q * r + 1.66666667e-1f;
    q = q * r + 0.5f;
    exp_parts parts = {.p = r + r * r * q};
    bits = (bits - shift_bits + 127u) << 23;
    memcpy(&parts.scale, &bits, sizeof bits);
    return parts;
}

INLINE float exp_neg(float x)
{
    const exp_parts e = exp_split(x);
    return e.scale * e.p + e.scale;
}

INLINE float expm1_neg(float x)
{
    const exp_parts e = exp_split(x);
    return e.scale * e.p + (e.scale - 1.0f);
}

INLINE float log1p_unit(float u)
{
    const float s = u / (2.0f + u);
    const float z = s * s;
    float q = 6.66666667e-2f;
    q = q * z + 7.69230769e-2f;
    q = q * z + 9.09090909e-2f;
    q = q * z + 1.11111111e-1f;
    q = q * z + 1.42857143e-1f;
    q = q * z + 0.2f;
    q = q * z + 3.33333333e-1f;
    return 2.0f * s + 2.0f * s * z * q;
}

INLINE float minus_abs(float x)
{
    return x > 0.0f ? -x : x;
}

INLINE float lrelu(float x, float slope)
{
    return x > 0.0f ? x : slope * x;
}

INLINE float silu(float x)
{
    const float e = exp_neg(minus_abs(x));
    return x * ((x > 0.0f ? 1.0f : e) / (1.0f + e));
}

INLINE float elu(float x)
{
    const float e = expm1_neg(x > 0.0f ? 0.0f : x);
    return x > 0.0f ? x : e;
}

INLINE float softplus(float x)
{
    return (x < 0.0f ? 0.0f : x) + log1p_unit(exp_neg(minus_abs(x)));
}

INLINE float tanh_(float x)
{
    const float e = expm1_neg(2.0f * minus_abs(x));
    const float y = e / (e + 2.0f);
    return x > 0.0f ? -y : y;
}

// Derivatives: of silu from its argument, of the others from the value y.

INLINE float lrelu_grad(float y, float slope)
{
    return y > 0.0f ? 1.0f : slope;
}

INLINE float silu_grad(float x)
{
    const float e = exp_neg(minus_abs(x));
    const float larger = 1.0f / (1.0f + e);
    const float smaller = e / (1.0f + e);
    const float s = x > 0.0f ? larger : smaller;
    const float s_other = x > 0.0f ? smaller : larger;
    return s * (1.0f + x * s_other);
}

INLINE float elu_grad(float y)
{
    return y > 0.0f ? 1.0f : y + 1.0f;
}

INLINE float softplus_grad(float y)
{
    return -expm1_neg(-y);
}

INLINE float tanh_grad(float y)
{
    return (1.0f - y) * (1.0f + y);
}

#define FORWARD_LOOP(value)                                                                        \
    for (int64_t i = 0; i < count; i++) {                                                          \
        const float x = src[i];                                                                    \
        dst[i] = (value);                                                                          \
    }

static void forward_run(float *dst, const float *src, int64_t count, jemi_activation a)
{
    const float slope = a.slope;
    switch (a.curve) {
    case JEMI_CURVE_LRELU:
        FORWARD_LOOP(lrelu(x, slope));
        break;
    case JEMI_CURVE_SILU:
        FORWARD_LOOP(silu(x));
        break;
    case JEMI_CURVE_ELU:
        FORWARD_LOOP(elu(x));
        break;
    case JEMI_CURVE_SOFTPLUS:
        FORWARD_LOOP(softplus(x));
        break;
    case JEMI_CURVE_TANH:
        FORWARD_LOOP(tanh_(x));
        break;
    }
}

#define GRADIENT_LOOPS(derivative)                                                                 \
    if (add == NULL)                                                                               \
        for (int64_t i = 0; i < count; i++) {                                                      \
            const float k = kept[i];                                                               \
            dst[i] = diff[i] * (derivative);                                                       \
        }                                                                                          \
    else                                                                                           \
        for (int64_t i = 0; i < count; i++) {                                                      \
            const float k = kept[i];                                                               \
            dst[i] = diff[i] * (derivative) + add[i];                                              \
        }

static void gradient_values(float *dst, const float *diff, const float *kept, const float *add,
                            int64_t count, jemi_activation a)
{
    const float slope = a.slope;
    switch (a.curve) {
    case JEMI_CURVE_LRELU:
        GRADIENT_LOOPS(lrelu_grad(k, slope));
        break;
    case JEMI_CURVE_SILU:
        GRADIENT_LOOPS(silu_grad(k));
        break;
    case JEMI_CURVE_ELU:
        GRADIENT_LOOPS(elu_grad(k));
        break;
    case JEMI_CURVE_SOFTPLUS:
        GRADIENT_LOOPS(softplus_grad(k));
        break;
    case JEMI_CURVE_TANH:
        GRADIENT_LOOPS(tanh_grad(k));
        break;
    }
}

static void gradient_run(float *dst, const float *diff, const jemi_kept *kept, const float *add,
                         int64_t count, jemi_activation a)
{
    const jemi_epilogue then = {.mask = *kept, .add = add, .slope = a.slope};
    if (kept->signs != NULL)
        JEMI_KERNEL(epilogue_alone)(dst, diff, count, &then);
    else
        gradient_values(dst, diff, kept->values, add, count, a);
}

static void forward_signs_run(float *dst, uint16_t *signs, const float *src, int64_t count,
                              float slope)
{
    const jemi_epilogue then = {.act = true, .slope = slope, .signs = signs};
    JEMI_KERNEL(epilogue_alone)(dst, src, count, &then);
}

static void sum_run(float *dst, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dst[i] = a[i] + b[i];
}

// The arrays of a pass; each pass uses some of them.
typedef struct pass {
    float *dst;
    uint16_t *signs;
    const float *src, *other;
    jemi_kept kept;
    jemi_activation activation;
} pass;

static void forward_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pass *p = context;
    forward_run(p->dst + begin, p->src + begin, end - begin, p->activation);
}

static void forward_signs_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pass *p = context;
    forward_signs_run(p->dst + begin, p->signs + begin / JEMI_SIGNS, p->src + begin, end - begin,
                      p->activation.slope);
}

static void gradient_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pass *p = context;
    const jemi_kept here = jemi_kept_from(&p->kept, begin);
    gradient_run(p->dst + begin, p->src + begin, &here, p->other != NULL ? p->other + begin : NULL,
                 end - begin, p->activation);
}

static void sum_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pass *p = context;
    sum_run(p->dst + begin, p->src + begin, p->other + begin, end - begin);
}

static void share(jemi_task task, pass *p, int64_t count)
{
    jemi_parallel(count, jemi_grain_floats(count, JEMI_WORK_OF_FLOAT), task, p);
}

void JEMI_KERNEL(act_forward)(float *dst, const float *src, int64_t count,
                              jemi_activation activation)
{
    pass p = {.dst = dst, .src = src, .activation = activation};
    share(forward_task, &p, count);
}

void JEMI_KERNEL(act_forward_signs)(float *dst, uint16_t *signs, const float *src, int64_t count,
                                    jemi_activation activation)
{
    pass p = {.dst = dst, .signs = signs, .src = src, .activation = activation};
    share(forward_signs_task, &p, count);
}

void JEMI_KERNEL(act_gradient)(float *dst, const float *diff, jemi_kept kept, const float *add,
                               int64_t count, jemi_activation activation)
{
    pass p = {.dst = dst, .src = diff, .other = add, .kept = kept, .activation = activation};
    share(gradient_task, &p, count);
}

void JEMI_KERNEL(act_gradient_run)(float *dst, const float *diff, jemi_kept kept, int64_t count,
                                   jemi_activation activation)
{
    gradient_run(dst, diff, &kept, NULL, count, activation);
}

void JEMI_KERNEL(sum)(float *dst, const float *a, const float *b, int64_t count)
{
    pass p = {.dst = dst, .src = a, .other = b};
    share(sum_task, &p, count);
}
