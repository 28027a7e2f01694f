/*
 * Every kernel gives the same bits on every instruction set that this processor has, on shapes that
 * fill vectors, register tiles and blocks of channels, and on shapes that do not. Whether the bits
 * are right is seen by the tests of each kernel, which also run on every set.
 */
#include "base/parallel.h"
#include "convolution.h"
#include "kernels/activation.h"
#include "kernels/direct.h"
#include "kernels/direct_weights.h"
#include "kernels/dropout.h"
#include "kernels/noise.h"
#include "kernels/norm.h"
#include "kernels/panels.h"
#include "kernels/pooling.h"
#include "kernels/stem.h"
#include "kernels/vector.h"

// What a run has computed: digests, each with the name of what it is of.
typedef struct outcome {
    struct {
        char name[64];
        uint64_t digest;
    } each[128];
    int count;
} outcome;

static void note(outcome *o, const char *name, const void *data, size_t bytes)
{
    ck_assert_int_lt(o->count, COUNT(o->each));
    snprintf(o->each[o->count].name, sizeof o->each[0].name, "%s", name);
    o->each[o->count++].digest = support_hash(data, bytes);
}

// Runs on all sets, by one to three threads, and compares with the first.
static void compare_sets(void (*run)(int index, outcome *o), int index)
{
    outcome first = {.count = 0};
    for (int set = 0; set < jemi_isa_count(); set++) {
        outcome other = {.count = 0};
        ck_assert(jemi_isa_limit(jemi_isa_name(set)));
        ck_assert_str_eq(jemi_isa_in_use(), jemi_isa_name(set));
        support_threads(1 + set % 3);
        run(index, set == 0 ? &first : &other);
        for (int k = 0; set > 0 && k < first.count; k++)
            ck_assert_msg(first.each[k].digest == other.each[k].digest, "%s: %s and %s differ",
                          first.each[k].name, jemi_isa_name(0), jemi_isa_name(set));
    }
    jemi_isa_limit(NULL);
    ck_assert_int_gt(first.count, 0);
}

// ---- convolutions ------------------------------------------------------------------------------

static const conv_case winograd_cases[] = {
    {"one pixel", 1, 16, 16, 1, 1, 3, 1, 1, FUSED},
    {"5x7", 3, 16, 48, 5, 7, 3, 1, 1, FUSED},
    {"33x35", 1, 32, 16, 33, 35, 3, 1, 1, BIAS | ACT},
    {"many tiles", 9, 16, 80, 13, 14, 3, 1, 1, MASK | ADD},
    {"large weights", 1, 208, 208, 6, 9, 3, 1, 1, FUSED},
};

static void run_winograd(int index, outcome *o)
{
    conv_case t = winograd_cases[index / 4];
    t.stride = 1 + index % 2;
    t.with |= index / 2 % 2 != 0 ? TRANSPOSED : 0;
    conv_operands a = conv_make(&t);
    jemi_winograd conv = conv_winograd(&t);
    const jemi_layout dst = conv_destination(&t);
    float *packed = conv_alloc(jemi_winograd_weights_count(t.in, t.out, t.stride));
    float *y = conv_alloc(jemi_layout_size(&dst));
    jemi_winograd_pack(packed, a.weights, t.out, t.in, t.stride, conv.transposed);
    conv.weights = packed;
    conv.then = conv_then(&t, &a);
    float *workspace = conv_alloc(jemi_winograd_workspace(&conv, jemi_parallel_width()));
    jemi_winograd_run(&conv, a.x, y, workspace);
    note(o, t.name, y, (size_t)jemi_layout_size(&dst) * sizeof *y);
    free(workspace);
    if (!conv.transposed) {
        const int64_t count = t.out * t.in * 9;
        float *dw = conv_alloc(count);
        workspace = conv_alloc(jemi_winograd_weights_workspace(&conv, jemi_parallel_width()));
        jemi_winograd_weights_run(&conv, a.x, y, dw, workspace);
        note(o, "weights' gradient", dw, (size_t)count * sizeof *dw);
        free(dw);
        free(workspace);
    }
    free(packed);
    free(y);
    conv_free(&a);
}

static const conv_case direct_cases[] = {
    {"one value", 1, 1, 1, 1, 1, 1, 1, 0, FUSED},
    {"7x9", 3, 3, 20, 7, 9, 3, 1, 1, FUSED},
    {"stride 2", 2, 19, 33, 8, 11, 3, 2, 1, FUSED},
    {"1x1, stride 2", 3, 40, 17, 9, 7, 1, 2, 0, BIAS | ACT},
    {"linear", 37, 75, 52, 1, 1, 1, 1, 0, BIAS},
    {"33x35", 1, 5, 16, 33, 35, 2, 1, 0, ADD},
};

static void run_direct(int index, outcome *o)
{
    conv_case t = direct_cases[index / 2];
    t.with |= index % 2 != 0 ? TRANSPOSED | SIGNS : 0;
    conv_operands a = conv_make(&t);
    const jemi_layout src = conv_source(&t), dst = conv_destination(&t);
    float *packed = conv_alloc(jemi_direct_weights_count(t.in, t.out, t.kernel));
    float *y = conv_alloc(jemi_layout_size(&dst));
    const bool transposed = (t.with & TRANSPOSED) != 0;
    const jemi_direct conv = {
        .n = t.n,
        .in = src.c,
        .out = dst.c,
        .src_h = src.h,
        .src_w = src.w,
        .dst_h = dst.h,
        .dst_w = dst.w,
        .kernel = t.kernel,
        .stride = t.stride,
        .pad = t.pad,
        .transposed = transposed,
        .weights = packed,
        .then = conv_then(&t, &a),
    };
    jemi_direct_pack(packed, a.weights, t.out, t.in, t.kernel, transposed);
    jemi_direct_run(&conv, a.x, y);
    note(o, t.name, y, (size_t)jemi_layout_size(&dst) * sizeof *y);
    if (!transposed) {
        const jemi_direct_weights gradient = {src, dst, t.kernel, t.stride, t.pad};
        const int64_t count = t.out * t.in * t.kernel * t.kernel;
        float *dw = conv_alloc(count), *db = conv_alloc(t.out);
        float *workspace = conv_alloc(jemi_direct_weights_workspace(&gradient));
        jemi_direct_weights_run(&gradient, a.x, y, dw, workspace);
        note(o, "weights' gradient", dw, (size_t)count * sizeof *dw);
        jemi_bias_gradient(&dst, y, db);
        note(o, "bias gradient", db, (size_t)t.out * sizeof *db);
        free(dw);
        free(db);
        free(workspace);
    }
    free(packed);
    free(y);
    conv_free(&a);
}

static const conv_case stem_cases[] = {
    {"grey", 3, 1, 16, 13, 19, 3, 1, 1, BIAS | ACT | IMAGE},
    {"two channels", 2, 2, 37, 5, 6, 3, 1, 1, BIAS | IMAGE},
    {"colour", 2, 3, 33, 6, 35, 3, 1, 1, FUSED | IMAGE},
    {"four channels", 1, 4, 5, 1, 1, 3, 1, 1, BIAS | ACT | IMAGE},
};

static void run_stem(int index, outcome *o)
{
    const conv_case *t = &stem_cases[index];
    conv_operands a = conv_make(t);
    const jemi_layout dst = conv_destination(t);
    const jemi_stem stem = {dst, t->in, t->h, t->w, t->kernel, t->stride, t->pad};
    const jemi_epilogue then = conv_then(t, &a);
    const int64_t image = t->n * t->in * t->h * t->w, taps = t->out * t->in * 9;
    float *packed = conv_alloc(jemi_stem_weights_count(t->out, t->in, 3));
    float *y = conv_alloc(jemi_layout_size(&dst)), *dx = conv_alloc(image), *dw = conv_alloc(taps);
    float *workspace = conv_alloc(jemi_stem_weights_workspace(&stem));
    jemi_stem_pack(packed, a.weights, t->out, t->in, 3);
    jemi_stem_forward(y, a.x, packed, &stem, &then);
    note(o, t->name, y, (size_t)jemi_layout_size(&dst) * sizeof *y);
    jemi_stem_transposed(dx, y, packed, &stem);
    note(o, "input gradient", dx, (size_t)image * sizeof *dx);
    jemi_stem_weights(dw, a.x, y, &stem, workspace);
    note(o, "weights' gradient", dw, (size_t)taps * sizeof *dw);
    free(packed);
    free(y);
    free(dx);
    free(dw);
    free(workspace);
    conv_free(&a);
}

// ---- arrays ------------------------------------------------------------------------------------

enum { LENGTH = 70003 }; // several pieces, and no multiple of a vector

static void run_activation(int index, outcome *o)
{
    const jemi_activation act = {(jemi_curve)index, conv_slope};
    const int64_t whole = LENGTH / JEMI_SIGNS * JEMI_SIGNS;
    float *x = support_uniform(LENGTH, 1), *add = support_uniform(LENGTH, 2);
    float *y = conv_alloc(LENGTH);
    uint16_t *signs = calloc(LENGTH, sizeof *signs);
    for (int64_t i = 0; i < LENGTH; i++)
        x[i] *= 30.0f;
    jemi_act_forward(y, x, LENGTH, act);
    note(o, "forward", y, LENGTH * sizeof *y);
    jemi_act_gradient(y, x, (jemi_kept){.values = add}, add, LENGTH, act);
    note(o, "gradient and sum", y, LENGTH * sizeof *y);
    if (jemi_act_grad_from_signs(act)) {
        jemi_act_forward_signs(y, signs, x, whole, act);
        note(o, "signs", signs, (size_t)whole / JEMI_SIGNS * sizeof *signs);
        jemi_act_gradient(y, add, (jemi_kept){.signs = signs}, x, whole, act);
        note(o, "gradient by signs", y, (size_t)whole * sizeof *y);
    }
    jemi_sum(y, x, add, LENGTH);
    note(o, "sum", y, LENGTH * sizeof *y);
    free(x);
    free(add);
    free(y);
    free(signs);
}

static void run_noise(int index, outcome *o)
{
    const jemi_random_key key = {{3, 4}};
    const int64_t len = index == 0 ? 1 : index == 1 ? 67 : 1000, n = 70;
    float *x = support_uniform(n * len, 1), *grad = support_uniform(n * len, 2), norms[70];
    const jemi_langevin_params p = {.step_size = 0.7f,
                                    .noise_std = 0.1f,
                                    .grad_clamp = 0.5f,
                                    .low = -1.0f,
                                    .high = 1.0f,
                                    .key = key,
                                    .step = 9};
    jemi_langevin(x, grad, n, len, &p, norms);
    note(o, "Langevin", x, (size_t)(n * len) * sizeof *x);
    note(o, "gradient norms", norms, sizeof norms);
    jemi_add_noise(x, n, len, 0.3f, key, 5, 6);
    note(o, "noise", x, (size_t)(n * len) * sizeof *x);
    jemi_fill_normal(x, n * len, key, 1, 2);
    note(o, "normals", x, (size_t)(n * len) * sizeof *x);
    jemi_fill_uniform(x, n * len, -1.0f, 2.0f, key, 1, 2);
    note(o, "uniforms", x, (size_t)(n * len) * sizeof *x);
    free(x);
    free(grad);
}

static void run_images(int index, outcome *o)
{
    static const int64_t blocks[] = {1, 16, 24};
    const jemi_layout l = {3, 24, 9, 7, blocks[index / 3]};
    const size_t bytes = (size_t)jemi_layout_size(&l) * sizeof(float);
    const jemi_norm_pass pass = {l, (jemi_norm_over)(index % 3), 4, 1e-5};
    float *x = conv_random_tensor(&l, 1), *y = conv_alloc(jemi_layout_size(&l));
    float *weight = support_uniform(24, 2), *mean = support_uniform(72, 3), var[72], dw[24], db[24];
    void *scratch = malloc(jemi_norm_scratch_bytes(&pass));
    for (int i = 0; i < COUNT(var); i++)
        var[i] = 0.1f + fabsf(mean[i]);
    jemi_norm_forward(&pass, y, x, weight, weight, mean, var, scratch);
    note(o, "norm", y, bytes);
    jemi_norm_gradient(&pass, y, y, x, weight, mean, var, dw, db, scratch);
    note(o, "norm gradient", y, bytes);
    note(o, "norm parameters", dw, sizeof dw);
    const jemi_layout small = jemi_pooling_dst(&l, 4, 3);
    const jemi_pooling pooling = {l, small, 2, 2};
    float *pooled = conv_alloc(jemi_layout_size(&small)), *canonical = conv_alloc(3 * 24 * 63);
    jemi_avgpool_forward(pooled, x, &pooling);
    note(o, "pooling", pooled, (size_t)jemi_layout_size(&small) * sizeof *pooled);
    jemi_avgpool_transposed(y, pooled, (jemi_kept){.values = x},
                            (jemi_activation){JEMI_CURVE_SILU, 0.0f}, &pooling);
    note(o, "pooling transposed", y, bytes);
    jemi_layout_store(canonical, y, &l, 3);
    note(o, "store", canonical, 3 * 24 * 63 * sizeof *canonical);
    jemi_layout_load(y, &l, canonical, 2);
    note(o, "load", y, bytes);
    uint8_t *kept = calloc(bytes, 1);
    jemi_dropout_mask(kept, &l, &(jemi_dropout_draw){.key = {{1, 2}}, .rate = 0.4f});
    note(o, "dropout's mask", kept, bytes / sizeof *y);
    jemi_dropout_apply(y, x, kept, jemi_layout_size(&l), 0.4f);
    note(o, "dropout", y, bytes);
    float *all[] = {x, y, weight, mean, pooled, canonical};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
    free(kept);
    free(scratch);
}

// One panel, four at a time, and some of both.
static void run_panels(int index, outcome *o)
{
    const int64_t n = (const int64_t[]){1, 4, 11}[index],
                  rank = (const int64_t[]){1, 128, 37}[index];
    float *panels = support_uniform(n * rank * JEMI_LANES, 1), *x = support_uniform(rank, 2);
    float *products = conv_alloc(n * JEMI_LANES);
    jemi_multiply_panels(panels, n, rank, x, products);
    note(o, "panels", products, (size_t)(n * JEMI_LANES) * sizeof(float));
    free(panels);
    free(x);
    free(products);
}

static void run_vector(int index, outcome *o)
{
    const int64_t n = index == 0 ? 5 : LENGTH;
    const size_t bytes = (size_t)n * sizeof(float);
    float *x = support_uniform(n, 1), *y = support_uniform(n, 2), *v = conv_alloc(n);
    float *out = conv_alloc(n);
    jemi_accumulate(x, y, n);
    note(o, "accumulate", x, bytes);
    jemi_multiply(v, y, y, n);
    note(o, "multiply", v, bytes);
    jemi_add_scaled(out, x, y, 0.7f, n);
    note(o, "add scaled", out, bytes);
    jemi_blend(out, x, 0.3f, n);
    note(o, "blend", out, bytes);
    const double sums[] = {jemi_sum_squares(x, n), jemi_sum_squares_difference(x, y, n),
                           (double)jemi_max_abs(x, n)};
    note(o, "sums", sums, sizeof sums);
    const jemi_adam_params adam = {0.1f, 0.9f, 0.99f, 1e-8f, 0.01f, 0.5f, 0.1f, 0.3f};
    ck_assert(jemi_adam_step(out, x, y, x, v, n, &adam));
    note(o, "Adam", out, bytes);
    jemi_adam_moments(out, v, x, y, n, &adam);
    note(o, "moments", out, bytes);
    const jemi_sgd_params sgd = {0.1f, 0.9f, 0.01f, 0.5f, false};
    ck_assert(jemi_sgd_step(out, x, y, v, n, &sgd));
    note(o, "SGD", out, bytes);
    jemi_sgd_velocity(v, x, y, n, &sgd);
    note(o, "velocity", v, bytes);
    free(x);
    free(y);
    free(v);
    free(out);
}

// ---- the suite ---------------------------------------------------------------------------------

static const struct {
    void (*run)(int index, outcome *o);
    int count;
} runs[] = {
    {run_winograd, 4 * COUNT(winograd_cases)},
    {run_direct, 2 * COUNT(direct_cases)},
    {run_stem, COUNT(stem_cases)},
    {run_activation, JEMI_CURVE_TANH + 1},
    {run_noise, 3},
    {run_images, 9},
    {run_panels, 3},
    {run_vector, 2},
};

START_TEST(sets_give_the_same_bits)
{
    for (int i = 0; i < runs[_i].count; i++)
        compare_sets(runs[_i].run, i);
}
END_TEST

START_TEST(a_limit_is_one_of_the_names)
{
    jemi_isa_limit(NULL);
    ck_assert(!jemi_isa_limit("mmx"));
    ck_assert_str_eq(jemi_isa_in_use(), jemi_isa_name(0));
    ck_assert(jemi_isa_limit("portable"));
    ck_assert(!jemi_kernels_available() && !jemi_avx512_available() && !jemi_bf16_available());
    ck_assert(jemi_isa_limit(NULL));
    ck_assert_str_eq(jemi_isa_in_use(), jemi_isa_name(0));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, sets_give_the_same_bits, 0, COUNT(runs));
    tcase_add_test(tcase, a_limit_is_one_of_the_names);
}

int main(void)
{
    return support_main("instruction sets", add_tests);
}
