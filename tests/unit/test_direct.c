/*
 * The direct convolutions, with float and with bfloat16 factors, against double: kernels, strides
 * and paddings, channels that are no multiple of a vector, strips of pixels that are full and that
 * are not, every fused operation, both directions; and their bits against batch and threads.
 */
#include "convolution.h"
#include "kernels/bf16.h"
#include "kernels/direct.h"
#include "kernels/isa.h"

static const conv_case cases[] = {
    {"linear, one row", 1, 10, 7, 1, 1, 1, 1, 0, BIAS},
    {"linear, one row, many channels", 1, 70, 300, 1, 1, 1, 1, 0, BIAS | ACT},
    {"linear, one row, whole groups", 1, 32, 256, 1, 1, 1, 1, 0, FUSED},
    {"linear, 15 rows", 15, 40, 10, 1, 1, 1, 1, 0, BIAS},
    {"1x1", 2, 16, 32, 7, 5, 1, 1, 0, BIAS},
    {"1x1, stride 2", 2, 33, 17, 7, 6, 1, 2, 0, BIAS | ACT},
    {"1x1 with padding", 2, 16, 16, 3, 4, 1, 1, 1, BIAS},
    {"2x2", 2, 16, 16, 6, 5, 2, 2, 0, BIAS},
    {"3x3", 2, 32, 48, 5, 9, 3, 1, 1, BIAS},
    {"3x3, one pixel", 3, 16, 16, 1, 1, 3, 1, 1, BIAS},
    {"3x3, a lone pixel", 1, 48, 160, 1, 1, 3, 1, 1, FUSED},
    {"3x3 without padding", 2, 16, 16, 6, 5, 3, 1, 0, BIAS},
    {"3x3 with padding 2", 2, 16, 16, 3, 4, 3, 1, 2, BIAS},
    {"odd channels", 3, 5, 19, 6, 7, 3, 1, 1, BIAS},
    {"three blocks of 16", 1, 48, 48, 4, 4, 3, 1, 1, 0},
    {"stride 2", 2, 16, 32, 8, 9, 3, 2, 1, BIAS},
    {"stride 2 without padding", 2, 16, 16, 7, 8, 3, 2, 0, BIAS},
    {"stride 3", 2, 16, 16, 8, 10, 3, 3, 1, BIAS},
    {"a strip of 14 pixels", 1, 16, 16, 2, 7, 3, 1, 1, BIAS},
    {"mask", 2, 16, 20, 5, 4, 3, 1, 1, MASK},
    {"add", 2, 16, 20, 5, 4, 3, 1, 1, ADD},
    {"activation", 2, 16, 20, 5, 4, 3, 1, 1, ACT},
    {"everything", 2, 20, 33, 5, 4, 3, 2, 1, FUSED},
};

static void run(const conv_case *t, const conv_operands *a, float *y)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    const bool transposed = (t->with & TRANSPOSED) != 0, bf16 = (t->with & BF16) != 0;
    float *packed = conv_alloc(jemi_direct_weights_count(t->in, t->out, t->kernel));
    uint16_t *rounded = (uint16_t *)conv_alloc(jemi_layout_size(&src));
    if (bf16) {
        jemi_direct_pack_bf16((uint16_t *)packed, a->weights, t->out, t->in, t->kernel, transposed);
        jemi_bf16_from_floats(rounded, a->x, jemi_layout_size(&src));
    } else {
        jemi_direct_pack(packed, a->weights, t->out, t->in, t->kernel, transposed);
    }
    const jemi_direct conv = {
        .n = t->n,
        .in = src.c,
        .out = dst.c,
        .src_h = src.h,
        .src_w = src.w,
        .dst_h = dst.h,
        .dst_w = dst.w,
        .kernel = t->kernel,
        .stride = t->stride,
        .pad = t->pad,
        .transposed = transposed,
        .bf16 = bf16,
        .weights = packed,
        .then = conv_then(t, a),
    };
    jemi_direct_run(&conv, bf16 ? (const void *)rounded : a->x, y);
    free(packed);
    free(rounded);
}

static const unsigned kinds[] = {0, TRANSPOSED, BF16, TRANSPOSED | BF16};

static conv_case of_kind(const conv_case *t, int kind)
{
    conv_case changed = *t;
    changed.with |= kinds[kind];
    return changed;
}

static bool offered(int kind)
{
    // Without AVX-512 the factors are widened, which every processor can.
    return (kinds[kind] & BF16) == 0 || !jemi_avx512_available() || jemi_bf16_available();
}

// Products of bfloat16 are exact in a float, so both kinds round once per product, to 2^-24. Of up
// to 576 such roundings most cancel; sixteen that do not are allowed.
START_TEST(test_values)
{
    for (int kind = 0; kind < COUNT(kinds); kind++) {
        const conv_case t = of_kind(&cases[_i], kind);
        if (offered(kind))
            conv_check_values(&t, run, 1e-6);
    }
}
END_TEST

START_TEST(test_add_in_place)
{
    const conv_case in_place = {"in place", 2, 16, 16, 6, 6, 3, 1, 1, ADD | BIAS};
    const conv_case t = of_kind(&in_place, _i);
    if (offered(_i))
        conv_check_add_in_place(&t, run);
}
END_TEST

START_TEST(test_signs)
{
    for (int kind = 0; kind < COUNT(kinds); kind++) {
        const conv_case t = of_kind(&cases[_i], kind);
        if (offered(kind))
            conv_check_signs(&t, run);
    }
}
END_TEST

// 30 and 15 pixels a row: strips that reach over several rows.
static const conv_case bit_cases[] = {
    {"3x3", 7, 20, 40, 5, 6, 3, 1, 1, BIAS | ACT},
    {"stride 2", 7, 20, 40, 5, 6, 3, 2, 1, BIAS | MASK | ADD},
    {"1x1", 7, 40, 20, 5, 3, 1, 1, 0, BIAS},
    {"linear", 33, 40, 20, 1, 1, 1, 1, 0, BIAS},
    {"linear, many channels", 3, 40, 300, 1, 1, 1, 1, 0, BIAS | ACT},
};

START_TEST(test_bits)
{
    for (int kind = 0; kind < COUNT(kinds); kind++) {
        const conv_case t = of_kind(&bit_cases[_i], kind);
        if (offered(kind))
            conv_check_bits(&t, run);
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_values, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_add_in_place, 0, COUNT(kinds));
    tcase_add_loop_test(tcase, test_signs, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_bits, 0, COUNT(bit_cases));
}

int main(void)
{
    return conv_main("direct convolution", add_tests);
}
