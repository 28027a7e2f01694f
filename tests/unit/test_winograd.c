/*
 * The Winograd convolutions against nine multiplications per tap in double: shapes that fill tiles
 * and shapes that do not, every fused operation, both strides and directions; and their bits
 * against batch and threads.
 */
#include <string.h>

#include "base/parallel.h"
#include "convolution.h"
#include "kernels/winograd.h"

static const conv_case cases[] = {
    {"one tile", 1, 16, 16, 4, 4, 3, 1, 1, 0},
    {"one pixel", 2, 16, 16, 1, 1, 3, 1, 1, BIAS},
    {"5x7, tiles cut", 3, 16, 32, 5, 7, 3, 1, 1, BIAS},
    {"odd group of 16", 2, 32, 48, 9, 6, 3, 1, 1, BIAS},
    {"28x28", 2, 16, 64, 28, 28, 3, 1, 1, BIAS},
    {"many tiles", 5, 64, 32, 13, 13, 3, 1, 1, BIAS},
    {"last tiles of 2 and 3", 3, 32, 32, 14, 7, 3, 1, 1, BIAS},
    {"last tiles of 3 and 2", 3, 32, 32, 7, 10, 3, 1, 1, FUSED},
    {"mask", 2, 32, 16, 6, 5, 3, 1, 1, MASK},
    {"mask and add", 2, 32, 16, 6, 5, 3, 1, 1, MASK | ADD},
    {"add", 2, 32, 16, 7, 8, 3, 1, 1, ADD | BIAS},
    {"activation", 2, 16, 32, 7, 8, 3, 1, 1, ACT | BIAS},
    {"everything", 2, 32, 32, 9, 9, 3, 1, 1, FUSED},
    {"transposed", 2, 32, 48, 9, 6, 3, 1, 1, TRANSPOSED | MASK | ADD},
    {"stride 2", 2, 32, 48, 16, 16, 3, 2, 1, BIAS},
    {"stride 2, one pixel", 2, 16, 16, 1, 1, 3, 2, 1, BIAS},
    {"stride 2, 7x10", 3, 16, 32, 7, 10, 3, 2, 1, ACT | BIAS},
    {"stride 2, everything", 2, 48, 16, 9, 11, 3, 2, 1, FUSED},
    {"stride 2, last tiles of 2 and 3", 3, 32, 32, 12, 14, 3, 2, 1, BIAS},
    {"stride 2, last tiles of 3 and 2", 3, 32, 32, 13, 19, 3, 2, 1, FUSED},
    {"stride 2 transposed", 2, 32, 48, 16, 16, 3, 2, 1, TRANSPOSED},
    {"stride 2 transposed, one pixel", 2, 16, 16, 1, 1, 3, 2, 1, TRANSPOSED},
    {"stride 2 transposed, 7x10", 3, 16, 32, 7, 10, 3, 2, 1, TRANSPOSED | MASK},
    {"stride 2 transposed, last tiles of 2 and 3", 3, 32, 32, 12, 14, 3, 2, 1, TRANSPOSED},
    {"stride 2 transposed, last tiles of 3 and 2", 3, 32, 32, 13, 19, 3, 2, 1, TRANSPOSED | FUSED},
    {"stride 2 transposed, everything", 2, 48, 16, 9, 11, 3, 2, 1, TRANSPOSED | FUSED},
    {"kernels", 1, 416, 432, 5, 6, 3, 1, 1, FUSED},
    {"kernels transposed", 1, 432, 416, 5, 6, 3, 1, 1, TRANSPOSED | MASK | ADD},
    {"kernels, stride 2", 1, 272, 304, 9, 10, 3, 2, 1, FUSED},
    {"kernels, stride 2 transposed", 1, 304, 272, 9, 10, 3, 2, 1, TRANSPOSED | FUSED},
};

// What the cases named after kernels are there for, and the others not.
START_TEST(test_large_weights_stay_kernels)
{
    const conv_case *t = &cases[_i];
    const bool kernels = strncmp(t->name, "kernels", 7) == 0;
    ck_assert_int_eq(jemi_winograd_keeps_kernels(t->in, t->out, t->stride), kernels);
    ck_assert_int_eq(jemi_winograd_weights_count(t->in, t->out, t->stride),
                     (kernels          ? 9
                      : t->stride == 1 ? 36
                                       : 81) *
                         t->in * t->out);
}
END_TEST

static void run(const conv_case *t, const conv_operands *a, float *y)
{
    jemi_winograd conv = conv_winograd(t);
    float *packed = conv_alloc(jemi_winograd_weights_count(t->in, t->out, t->stride));
    jemi_winograd_pack(packed, a->weights, t->out, t->in, t->stride, conv.transposed);
    conv.weights = packed;
    conv.then = conv_then(t, a);
    float *workspace = conv_alloc(jemi_winograd_workspace(&conv, jemi_parallel_width()));
    jemi_winograd_run(&conv, a->x, y, workspace);
    free(packed);
    free(workspace);
}

// A plan is made for as many threads as a call may have, and run by as many as it gets.
START_TEST(test_workspace_is_enough_for_fewer_threads)
{
    const conv_case *t = &cases[_i];
    for (int64_t n = 1; n < 60; n++) {
        jemi_winograd conv = conv_winograd(t);
        conv.n = n;
        for (int threads = 2; threads <= 12; threads++)
            ck_assert_int_ge(jemi_winograd_workspace(&conv, threads),
                             jemi_winograd_workspace(&conv, threads - 1));
    }
}
END_TEST

// F(4x4) adds up to 10 x 10 times an input and takes it away again: some sixty roundings of 2^-24.
START_TEST(test_values)
{
    conv_check_values(&cases[_i], run, 4e-6);
}
END_TEST

START_TEST(test_add_in_place)
{
    conv_check_add_in_place(&(conv_case){"in place", 2, 16, 16, 6, 6, 3, 1, 1, ADD | BIAS}, run);
}
END_TEST

START_TEST(test_signs)
{
    conv_check_signs(&cases[_i], run);
}
END_TEST

// Few tiles or many: they are transformed in different ways.
static const conv_case bit_cases[] = {
    {"forward", 7, 48, 32, 11, 6, 3, 1, 1, ACT | BIAS},
    {"many tiles", 40, 16, 16, 11, 6, 3, 1, 1, ACT | BIAS},
    {"stride 2", 7, 48, 32, 11, 6, 3, 2, 1, ACT | BIAS},
    {"stride 2 transposed", 7, 48, 32, 11, 6, 3, 2, 1, TRANSPOSED},
    {"one block of a thread", 2, 32, 48, 20, 21, 3, 1, 1, BIAS},
    {"kernels, several blocks", 5, 272, 304, 18, 36, 3, 2, 1, ACT | BIAS},
    {"kernels, stride 2 transposed", 3, 304, 272, 9, 10, 3, 2, 1, TRANSPOSED},
};

START_TEST(test_bits)
{
    conv_check_bits(&bit_cases[_i], run);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_values, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_workspace_is_enough_for_fewer_threads, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_large_weights_stay_kernels, 0, COUNT(cases));
    tcase_add_test(tcase, test_add_in_place);
    tcase_add_loop_test(tcase, test_signs, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_bits, 0, COUNT(bit_cases));
}

int main(void)
{
    return conv_main("Winograd", add_tests);
}
