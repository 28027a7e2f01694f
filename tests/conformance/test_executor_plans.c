/*
 * What plans of the executor consist of: no slow implementation anywhere, and the fusions that make
 * the Langevin step fast.
 *
 * JEM_TEST_VERBOSE=1 prints every plan.
 */
#include "conformance/cases.h"
#include "kernels/isa.h"

// ---- implementations ---------------------------------------------------------------------------

static void print_line(void *user, const jem_step_info *step)
{
    fprintf(stderr, "  [%s] %s\n", (const char *)user, step->text);
}

typedef struct census {
    int lines, slow;
    char first[256];
} census;

static void count_line(void *user, const jem_step_info *step)
{
    census *found = user;
    found->lines++;
    if (strstr(step->text, ": ref") == NULL && strstr(step->text, ": simple") == NULL)
        return;
    if (found->slow++ == 0)
        snprintf(found->first, sizeof found->first, "%s", step->text);
}

static void check_speed(const net_case *c, jemi_mode mode, int32_t precision)
{
    if (!computes(c))
        return;
    net t;
    net_init(&t, c, 1);
    t.precision = precision;
    t.mode = mode;
    for (uint32_t wants = 0; wants <= 3; wants++) {
        census found = {0};
        jemi_plan *plan = new_plan(&t, c->batch, c->threads, wants);
        if (getenv("JEM_TEST_VERBOSE") != NULL)
            backend->planner->describe(plan, print_line, (void *)c->name);
        backend->planner->describe(plan, count_line, &found);
        ck_assert_msg(found.slow == 0 || !__builtin_cpu_supports("avx2"), "%s, wants %u: %s",
                      c->name, wants, found.first);
        ck_assert_int_ge(found.lines, 3);
        ck_assert_uint_gt(backend->planner->bytes(plan), 0);
        backend->planner->destroy(plan);
    }
    net_fini(&t);
}

START_TEST(no_step_has_a_slow_implementation)
{
    const mode_case c = case_at(_i / N_PRECISIONS);
    check_speed(&c.net, c.mode, precisions[_i % N_PRECISIONS]);
}
END_TEST

// Networks and batches as in use; too slow for the reference, so only their plans are looked at.
static const net_case used[] = {
    {"wrn-10-1", 1, 28, 28, 10, 64, 0, 2},
    {"wrn-16-4", 3, 32, 32, 10, 64, 0, 2},
    {"cnn-16-32-64", 1, 28, 28, 10, 64, 0, 2},
    {"mlp-512-512", 1, 28, 28, 10, 64, 0, 2},
};

static const int n_used = sizeof used / sizeof used[0];

START_TEST(no_step_of_a_network_in_use_is_slow)
{
    check_speed(&used[_i / N_PRECISIONS], JEMI_MODE_EVAL, precisions[_i % N_PRECISIONS]);
}
END_TEST

// What makes the Langevin step fast must not get lost unnoticed.
START_TEST(langevin_plan_of_a_wide_resnet_is_fused)
{
    const bool native = backend->id == JEM_BACKEND_NATIVE; // takes them along
    needle needles[] = {
        // at the heads of the blocks, where x is needed too
        {" activation: ", JEM_STEP_FORWARD, 3, 0},
        // the residual sums in them
        {" activation: ", JEM_STEP_TRANSPOSED, native ? 0 : 6, 0},
        {" + sum * act'", 0, 3, 0},
        {" sum: 2x", 0, 0, 0},                  // no pass only to add
        {" to layout: ", 0, native ? 1 : 0, 0}, // the gradient of ten logits
        {" to canonical: ", 0, 0, 0},
        {" average pooling: ", JEM_STEP_TRANSPOSED, 1, 0},
        {"", JEM_STEP_WEIGHTS, 0, 0},
        {NULL, 0, 0, 0},
    };
    const net_case c = {"wrn-10-2", 3, 32, 32, 10, 2, 2, 1};
    check_needles(&c, JEM_PRECISION_F32_STRICT, needles);
}
END_TEST

// And with our own kernels, which leave no pass over memory between them but the head of a block.
START_TEST(langevin_plan_of_a_wide_resnet_uses_own_kernels)
{
    if (!jemi_kernels_available())
        return;
    needle needles[] = {
        {"own Winograd", 0, 12, 0}, // all but the first and the shortcuts, each way
        {"own direct", 0, 8, 0},    // three shortcuts, the head, each way
        {"jit", 0, 0, 0},           //
        {" activation: ", JEM_STEP_FORWARD, 3, 0},
        {" activation: ", JEM_STEP_TRANSPOSED, 0, 0},
        {", keeps signs", 0, 7, 0}, // of every activation
        {" to layout: ", 0, 1, 0},  // the gradient of ten logits
        {" to canonical: ", 0, 0, 0},
        {NULL, 0, 0, 0},
    };
    const net_case c = {"wrn-10-2", 3, 32, 32, 10, 2, 2, 1};
    check_needles(&c, JEM_PRECISION_F32, needles);
}
END_TEST

static size_t langevin_bytes(const char *arch)
{
    const net_case c = {arch, 3, 32, 32, 10, 8, 8, 1};
    net t;
    net_init(&t, &c, 1);
    jemi_plan *plan = new_plan(&t, c.batch, c.threads, JEMI_WANT_DINPUT);
    const size_t bytes = backend->planner->bytes(plan);
    backend->planner->destroy(plan);
    net_fini(&t);
    return bytes;
}

START_TEST(langevin_plan_that_keeps_signs_is_small)
{
    if (!jemi_kernels_available())
        return;
    const size_t signs = langevin_bytes("wrn-16-2"), values = langevin_bytes("wrn-16-2:act=elu");
    ck_assert_msg(2 * signs < values, "%zu bytes, with values %zu", signs, values);
}
END_TEST

START_TEST(langevin_plan_in_bf16)
{
    if (!jemi_bf16_available())
        return;
    needle needles[] = {
        {"own direct, bf16", 0, 6, 0}, // two convolutions of stride 2 and the head, each way
        {" to bf16: ", 0, 6, 0},
        {"own Winograd", 0, 8, 0},
        {NULL, 0, 0, 0},
    };
    check_needles(&(net_case){"wrn-10-2", 3, 32, 32, 10, 2, 2, 1}, JEM_PRECISION_BF16, needles);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, no_step_has_a_slow_implementation, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, no_step_of_a_network_in_use_is_slow, 0, n_used * N_PRECISIONS);
    tcase_add_test(tcase, langevin_plan_of_a_wide_resnet_is_fused);
    tcase_add_test(tcase, langevin_plan_of_a_wide_resnet_uses_own_kernels);
    tcase_add_test(tcase, langevin_plan_that_keeps_signs_is_small);
    tcase_add_test(tcase, langevin_plan_in_bf16);
}

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    return support_main("executor plans", add_tests);
}
