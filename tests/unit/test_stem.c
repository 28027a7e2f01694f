/*
 * The first convolution, forward, against double: all numbers of channels, lines that fill groups
 * of pixels and lines that do not, from one pixel to the widest; and its bits against batch and
 * threads. Backward is held against the reference in tests/conformance.
 */
#include "convolution.h"
#include "kernels/stem.h"

static const conv_case cases[] = {
    {"grey", 2, 1, 16, 5, 8, 3, 1, 1, BIAS},
    {"two channels", 2, 2, 16, 5, 8, 3, 1, 1, BIAS},
    {"colour", 2, 3, 16, 5, 8, 3, 1, 1, BIAS},
    {"four channels", 2, 4, 16, 5, 8, 3, 1, 1, BIAS},
    {"one pixel", 3, 3, 16, 1, 1, 3, 1, 1, BIAS},
    {"one column", 2, 3, 16, 6, 1, 3, 1, 1, BIAS},
    {"two columns", 2, 1, 16, 3, 2, 3, 1, 1, BIAS},
    {"three columns", 2, 4, 16, 3, 3, 3, 1, 1, BIAS},
    {"one line", 2, 3, 16, 1, 9, 3, 1, 1, BIAS},
    {"widest", 1, 3, 16, 2, 1024, 3, 1, 1, BIAS},
    {"widest, odd stride", 1, 4, 16, 2, 1024, 3, 3, 1, BIAS},
    {"stride 2, even", 2, 3, 16, 6, 8, 3, 2, 1, BIAS},
    {"stride 2, odd", 2, 1, 16, 7, 9, 3, 2, 1, BIAS},
    {"stride 2, without padding", 2, 3, 16, 7, 9, 3, 2, 0, BIAS},
    {"without padding", 2, 3, 16, 6, 11, 3, 1, 0, BIAS},
    {"1x1", 2, 3, 16, 5, 6, 1, 1, 0, BIAS},
    {"1x1, stride 2", 2, 1, 16, 5, 6, 1, 2, 0, BIAS},
    {"2x2", 2, 3, 16, 5, 6, 2, 1, 0, BIAS},
    {"2x2 with padding", 2, 2, 16, 5, 6, 2, 2, 1, BIAS},
    {"odd channels", 2, 3, 37, 5, 6, 3, 1, 1, BIAS},
    {"few channels", 2, 1, 5, 5, 6, 3, 1, 1, BIAS},
    {"without bias", 2, 3, 16, 5, 6, 3, 1, 1, 0},
    {"activation", 2, 3, 20, 5, 7, 3, 1, 1, BIAS | ACT},
    {"everything", 2, 3, 20, 5, 7, 3, 1, 1, FUSED},
};

enum { LANES = JEMI_STEM_BLOCK };

// [output channel block][kernel y][kernel x][c][16]
static float *pack(const conv_case *t, const float *weights)
{
    const int64_t taps = t->kernel * t->kernel;
    const int64_t blocks = (t->out + LANES - 1) / LANES;
    float *packed = calloc((size_t)(blocks * taps * t->in * LANES), sizeof *packed);
    for (int64_t o = 0; o < t->out; o++)
        for (int64_t c = 0; c < t->in; c++)
            for (int64_t k = 0; k < taps; k++)
                packed[((o / LANES * taps + k) * t->in + c) * LANES + o % LANES] =
                    weights[(o * t->in + c) * taps + k];
    return packed;
}

// So that padding which nobody cleared is seen.
static __attribute__((noinline)) void dirty_stack(void)
{
    volatile float garbage[32768];
    for (int i = 0; i < COUNT(garbage); i++)
        garbage[i] = 1e9f;
}

static void run(const conv_case *t, const conv_operands *a, float *y)
{
    const jemi_stem stem = {conv_destination(t), t->in, t->h, t->w, t->kernel, t->stride, t->pad};
    const jemi_epilogue then = conv_then(t, a);
    float *packed = pack(t, a->weights);
    dirty_stack();
    jemi_stem_forward(y, a->x, packed, &stem, &then);
    free(packed);
}

// Up to 36 products, each rounded to 2^-24: at most 2e-6, and most cancel.
START_TEST(test_values)
{
    conv_case t = cases[_i];
    t.with |= IMAGE;
    conv_check_values(&t, run, 5e-7);
}
END_TEST

START_TEST(test_signs)
{
    conv_case t = cases[_i];
    t.with |= IMAGE;
    conv_check_signs(&t, run);
}
END_TEST

START_TEST(test_bits)
{
    conv_case t = {"bits", 7, 1 + _i, 20, 6, 11, 3, 1 + _i % 2, 1, IMAGE | BIAS | ACT};
    conv_check_bits(&t, run);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_values, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_signs, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_bits, 0, JEMI_STEM_CHANNELS);
}

int main(void)
{
    return conv_main("the first convolution", add_tests);
}
