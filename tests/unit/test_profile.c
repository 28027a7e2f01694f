/*
 * jem_model_profile(): a step says by fields what it is, on every backend, and a kernel that is
 * asked for by its name is taken and told.
 */
#include <string.h>

#include "support.h"

enum { N = 2 };

static const char *const names[] = {"auto", "onednn", "winograd", "direct", "direct-bf16", "stem"};

typedef struct layer {
    const char *op;
    int64_t src[3], dst[3]; // (C, H, W)
    int64_t weight[4];
    int32_t found[JEM_STEP_WEIGHTS + 1];
    char kernel[16]; // of the forward step
} layer;

// Of "cnn-16-32" on 1x8x8 images with 5 classes. The second convolution reads the pooled values.
static const layer products[] = {
    {"convolution", {1, 8, 8}, {16, 8, 8}, {16, 1, 3, 3}, {0}, ""},
    {"convolution", {16, 4, 4}, {32, 4, 4}, {32, 16, 3, 3}, {0}, ""},
    {"linear", {0}, {5, 1, 1}, {5, 128, 1, 1}, {0}, ""},
};

typedef struct profile {
    layer layers[COUNT(products)];
    int n_steps;
    int32_t node; // of the step before
    bool train;
} profile;

// Steps of one weight have one node, and the layer's shapes in each direction.
static void check_product(layer *l, const jem_step_info *step, bool train)
{
    const bool transposed = step->direction == JEM_STEP_TRANSPOSED;
    const int64_t *src = transposed ? step->dst : step->src;
    const int64_t *dst = transposed ? step->src : step->dst;
    const int64_t row = l->weight[1] * l->weight[2] * l->weight[3];
    ck_assert_str_eq(step->op, l->op);
    ck_assert_int_eq(step->macs, dst[0] * l->dst[1] * l->dst[2] * l->weight[0] * row);
    ck_assert_int_eq(src[0], dst[0]);
    ck_assert(src[0] == N || (src[0] == 1 && train)); // which sums gradients over pieces
    if (l->src[0] != 0)
        support_same_bits(src + 1, l->src, sizeof l->src, step->text);
    else
        ck_assert_int_eq(src[1] * src[2] * src[3], l->weight[1]);
    support_same_bits(dst + 1, l->dst, sizeof l->dst, step->text);
    l->found[step->direction]++;
    if (step->direction == JEM_STEP_FORWARD)
        strncat(l->kernel, step->kernel, sizeof l->kernel - 1);
}

static void receive(void *user, const jem_step_info *step)
{
    profile *p = user;
    p->n_steps++;
    ck_assert_uint_eq(step->struct_size, sizeof *step);
    ck_assert_msg(strstr(step->text, step->op) != NULL, "%s: %s", step->op, step->text);
    ck_assert_int_ge(step->direction, JEM_STEP_FORWARD);
    ck_assert_int_le(step->direction, JEM_STEP_WEIGHTS);
    ck_assert_msg(step->direction != JEM_STEP_FORWARD || step->node >= p->node, "%s", step->text);
    ck_assert_int_ge(step->node, 0);
    p->node = step->node;
    if (step->macs == 0) {
        static const int64_t none[4];
        ck_assert_str_eq(step->kernel, "");
        support_same_bits(step->weight, none, sizeof none, step->text);
        return;
    }
    int i = 0;
    while (i < COUNT(products) &&
           memcmp(products[i].weight, step->weight, sizeof step->weight) != 0)
        i++;
    ck_assert_msg(i < COUNT(products), "%s", step->text);
    check_product(&p->layers[i], step, p->train);
}

static profile profile_of(const jem_model *model, int32_t what)
{
    profile p = {.train = what == JEM_PREPARE_TRAIN};
    memcpy(p.layers, products, sizeof products);
    MUST(jem_model_profile(model, what, N, 0, receive, &p));
    ck_assert_int_gt(p.n_steps, COUNT(products));
    return p;
}

static jem_model *model_by(const jem_exec_config *exec)
{
    return support_image_model("cnn-16-32", 1, 8, 5, exec);
}

START_TEST(test_steps_by_fields)
{
    jem_exec_config exec = support_exec(support_backends[_i], 1);
    jem_model *model = model_by(&exec);
    const bool ref = exec.backend == JEM_BACKEND_REF; // tells its forward pass only
    const int32_t whats[] = {JEM_PREPARE_LOGITS, JEM_PREPARE_GRAD, JEM_PREPARE_TRAIN};
    for (int w = 0; w < COUNT(whats); w++) {
        const profile p = profile_of(model, whats[w]);
        for (int i = 0; i < COUNT(products); i++) {
            const bool grad = whats[w] == JEM_PREPARE_GRAD, train = whats[w] == JEM_PREPARE_TRAIN;
            const int32_t *found = p.layers[i].found;
            ck_assert_int_eq(found[JEM_STEP_FORWARD], 1);
            ck_assert_int_eq(found[JEM_STEP_TRANSPOSED], !ref && (grad || (train && i > 0)));
            ck_assert_int_eq(found[JEM_STEP_WEIGHTS], !ref && train);
        }
    }
    jem_model_destroy(model);
}
END_TEST

// The second layer can be computed by each but the first layer's; direct-bf16 is for BF16 alone.
START_TEST(test_kernel_by_name)
{
    jem_exec_config exec = support_exec(support_backends[_i], 1);
    char name[16];
    for (int k = 0; k < COUNT(names); k++) {
        strcpy(name, names[k]);
        exec.kernel = name;
        jem_model *model = model_by(&exec), *clone;
        strcpy(name, "gone"); // nothing of the caller's is kept
        MUST(jem_model_clone(&clone, model, NULL));
        const profile p = profile_of(model, JEM_PREPARE_LOGITS);
        const bool there = strcmp(names[k], "winograd") == 0 || strcmp(names[k], "direct") == 0 ||
                           (strcmp(names[k], "onednn") == 0 && exec.backend == JEM_BACKEND_ONEDNN);
        if (exec.backend == JEM_BACKEND_REF)
            ck_assert_str_eq(p.layers[1].kernel, "");
        else if (there)
            ck_assert_str_eq(p.layers[1].kernel, names[k]);
        else
            ck_assert_str_ne(p.layers[1].kernel, "");
        jem_model_destroy(clone);
        jem_model_destroy(model);
    }
}
END_TEST

START_TEST(test_unknown_kernels_are_refused)
{
    const char *const unknown[] = {"", "Winograd", "winograd ", "chosen", "gemm", "\xff\x1b[31m"};
    jem_exec_config exec = support_exec(support_backends[_i], 1);
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-4";
    config.channels = config.classes = 2;
    for (int i = 0; i <= COUNT(unknown); i++) {
        jem_model *model = NULL;
        exec.kernel = i < COUNT(unknown) ? unknown[i] : NULL;
        for (int k = 0; k < COUNT(names); k++) // the message lists them all
            REFUSED(JEM_EINVAL, names[k], jem_model_create(&model, &config, &exec));
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_steps_by_fields, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_kernel_by_name, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_unknown_kernels_are_refused, 0, support_n_backends);
}

int main(void)
{
    return support_main("profile", add_tests);
}
