/*
 * Hosts with a floating-point environment of their own: exceptions that trap, another rounding mode,
 * denormals flushed, flags raised. Calls give the bits that they give elsewhere, on all of
 * their threads; the host finds its environment as it was, also after a failed call and in callbacks.
 */
#define _GNU_SOURCE // feenableexcept
#include <fenv.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "support.h"

enum { ROWS = 24, SIDE = 12, PIXELS = SIDE * SIDE, CLASSES = 4 };

// ---- environments -------------------------------------------------------------------------------

typedef struct state {
    int rounding, traps, flags;
    unsigned control; // of the vector unit, with its flags
} state;

static state state_now(void)
{
    state s = {.rounding = fegetround(),
               .traps = fegetexcept(),
               .flags = fetestexcept(FE_ALL_EXCEPT & ~FE_INEXACT)};
#if defined(__x86_64__)
    s.control = _mm_getcsr();
#endif
    return s;
}

static void as_default(void)
{
}

static void trapping(void)
{
    feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
}

static void rounding_up(void)
{
    fesetround(FE_UPWARD);
}

static void rounding_to_zero(void)
{
    fesetround(FE_TOWARDZERO);
}

static void flushing(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

static void flags_raised(void)
{
    feraiseexcept(FE_DIVBYZERO | FE_UNDERFLOW);
}

static const struct host {
    const char *name;
    void (*enter)(void);
} hosts[] = {
    {"the default", as_default},     {"trapped exceptions", trapping},
    {"rounding up", rounding_up},    {"rounding to zero", rounding_to_zero},
    {"denormals flushed", flushing}, {"flags raised", flags_raised},
};

static const state *expected_state; // in callbacks
static int n_callbacks, n_foreign;

static void check_state(const state *before, const char *after)
{
    const state now = state_now();
    ck_assert_msg(memcmp(&now, before, sizeof now) == 0,
                  "%s: rounding %d traps %x flags %x control %x became %d %x %x %x", after,
                  before->rounding, (unsigned)before->traps, (unsigned)before->flags,
                  before->control, now.rounding, (unsigned)now.traps, (unsigned)now.flags,
                  now.control);
}

static int progress(void *user, int64_t done, int64_t total)
{
    (void)user, (void)done, (void)total;
    const state now = state_now();
    n_callbacks++;
    n_foreign += memcmp(&now, expected_state, sizeof now) != 0;
    return 0;
}

static void log_line(void *user, int32_t level, const char *line)
{
    (void)level, (void)line;
    progress(user, 0, 0);
}

// ---- calls --------------------------------------------------------------------------------------

// Its products are oneDNN's, which computes them in teams of OpenMP's.
static const char in_teams[] = "mlp-1000-1000:act=tanh";

static float *inputs; // made before the environment changes

// Large ones make activations overflow and underflow inside.
static void make_inputs(void)
{
    inputs = support_uniform(ROWS * PIXELS, 5);
    for (int i = 0; i < ROWS * PIXELS; i++)
        inputs[i] *= i % 7 == 0 ? 150.0f : i % 11 == 0 ? 1e-38f : 1.0f;
    feclearexcept(FE_ALL_EXCEPT);
}

typedef struct subject {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    float *x;
    int64_t labels[ROWS];
} subject;

typedef struct results {
    float logits[ROWS * CLASSES], energy[ROWS], grad[ROWS * PIXELS], scores[ROWS];
    float chains[ROWS * PIXELS], drawn[ROWS * PIXELS], started[ROWS * PIXELS];
    jem_classification metrics, low;
    jem_detection detection;
    double auroc, distance, inception;
    uint64_t params;
} results;

#define QUIET(call)                                                                                \
    do {                                                                                           \
        MUST(call);                                                                                \
        check_state(before, #call);                                                                \
    } while (0)

static void make_subject(subject *s, const char *arch, int32_t threads, const state *before)
{
    jem_exec_config exec = support_exec(0, threads);
    exec.kernel = strcmp(arch, in_teams) == 0 ? "onednn" : "auto";
    jem_sampler_config config = support_sampler_config(64, 3);
    config.start = JEM_START_GAUSSIAN;
    config.start_rank = 2;
    s->model = support_image_model(arch, 1, SIDE, CLASSES, &exec);
    s->sampler = support_sampler(s->model, &config);
    s->optimizer = support_optimizer(s->model, 0.01f);
    s->x = inputs;
    for (int i = 0; i < ROWS; i++)
        s->labels[i] = i % CLASSES;
    check_state(before, "creating");
}

static void free_subject(subject *s)
{
    jem_sampler_destroy(s->sampler);
    jem_optimizer_destroy(s->optimizer);
    jem_model_destroy(s->model);
}

static void score(const subject *s, results *out, const state *before)
{
    QUIET(jem_logits(s->model, ROWS, s->x, out->logits));
    QUIET(jem_energy(s->model, ROWS, s->x, s->labels, out->energy));
    QUIET(jem_energy_grad(s->model, ROWS, s->x, NULL, NULL, out->grad));
    QUIET(jem_score(s->model, JEM_SCORE_GRADIENT_NORM, NULL, ROWS, s->x, out->scores));
    out->metrics.struct_size = sizeof out->metrics;
    QUIET(
        jem_classification_metrics(ROWS, CLASSES, out->logits, s->labels, 1.0, 15, &out->metrics));
    QUIET(jem_auroc(ROWS / 2, out->energy, ROWS / 2, out->energy + ROWS / 2, &out->auroc));
    out->low.struct_size = sizeof out->low;
    out->detection.struct_size = sizeof out->detection;
    jem_classification high = {.struct_size = sizeof high};
    QUIET(jem_classification_intervals(ROWS, CLASSES, out->logits, s->labels, 1.0, 15, NULL,
                                       &out->low, &high));
    QUIET(
        jem_detection_metrics(ROWS / 2, out->energy, ROWS / 2, out->scores, 0.95, &out->detection));
    QUIET(jem_frechet_distance(ROWS, s->x, ROWS / 2, out->grad, PIXELS, &out->distance));
    QUIET(jem_inception_score(ROWS, CLASSES, out->logits, &out->inception));
}

static void sample_and_train(const subject *s, results *out, const state *before)
{
    QUIET(jem_sampler_fit(s->sampler, ROWS, s->x, s->labels, NULL, NULL));
    QUIET(jem_sampler_start(s->sampler, ROWS, NULL, out->started));
    QUIET(jem_sampler_draw(s->model, s->sampler, ROWS, out->drawn, NULL, progress, NULL));
    memcpy(out->chains, s->x, sizeof out->chains);
    QUIET(jem_sampler_run(s->model, s->sampler, ROWS, NULL, out->chains, 2, progress, NULL));
    jem_train_batch batch = support_batch(ROWS, s->x, s->labels);
    QUIET(jem_train_step(s->model, s->optimizer, s->sampler, NULL, &batch, NULL));
    float *params = support_params(s->model);
    const size_t size = (size_t)support_param_count(s->model) * sizeof *params;
    out->params = support_hash(params, size);
    QUIET(jem_model_set_params(s->model, support_param_count(s->model), params));
    params[1] = NAN;
    support_stale_message();
    ck_assert_int_eq(jem_model_set_params(s->model, support_param_count(s->model), params),
                     JEM_EINVAL);
    check_state(before, "a refused jem_model_set_params");
    free(params);
}

static void compute(const char *arch, int32_t threads, results *out)
{
    subject s;
    const state before = state_now();
    expected_state = &before;
    memset(out, 0, sizeof *out);
    make_subject(&s, arch, threads, &before);
    score(&s, out, &before);
    sample_and_train(&s, out, &before);
    free_subject(&s);
}

static const char *const archs[] = {"cnn-8-16:act=silu", "cnn-8:act=elu", "mlp-40:act=softplus",
                                    "cnn-8-16:norm=group4", in_teams};

START_TEST(test_same_bits_in_every_environment)
{
    static results reference, found;
    const struct host *host = &hosts[_i];
    n_callbacks = n_foreign = 0;
    jem_set_log(log_line, NULL);
    make_inputs();
    for (int a = 0; a < COUNT(archs); a++) {
        for (int32_t threads = 1; threads <= 3; threads++) {
            compute(archs[a], threads, &reference);
            fenv_t before;
            fegetenv(&before);
            host->enter();
            compute(archs[a], threads, &found);
            fesetenv(&before);
            support_same_bits(&reference, &found, sizeof found, host->name);
        }
    }
    jem_set_log(NULL, NULL);
    free(inputs);
    ck_assert_int_gt(n_callbacks, 20);
    ck_assert_int_eq(n_foreign, 0);
}
END_TEST

// ---- OpenMP's workers ---------------------------------------------------------------------------

static int count_changed(unsigned control)
{
    int changed = 0;
#pragma omp parallel num_threads(3) reduction(+ : changed)
    changed += state_now().control != control || fegetround() != FE_UPWARD;
    return changed;
}

// The host's team has its rounding mode, and has it again; so has a team that a call has made.
START_TEST(test_workers_of_openmp)
{
    static results reference, found;
    make_inputs();
    omp_pause_resource_all(omp_pause_soft); // no team of an earlier test in this process
    fesetround(FE_UPWARD);
    const unsigned control = state_now().control;
    if (_i == 1) {
#pragma omp parallel num_threads(3)
        fesetround(FE_UPWARD);
        ck_assert_int_eq(count_changed(control), 0);
    }
    compute(in_teams, 3, &found);
    const int changed = count_changed(control);
    fesetround(FE_TONEAREST);
    compute(in_teams, 1, &reference);
    reference.params = found.params; // which may round by threads
    support_same_bits(&reference, &found, sizeof found, "results");
    ck_assert_int_eq(changed, 0);
    free(inputs);
}
END_TEST

// ---- denormals ----------------------------------------------------------------------------------

// Weights that are denormals count as 0 inside of a call, on every thread.
START_TEST(test_denormals_are_flushed)
{
    const jem_exec_config exec = support_exec(0, 2);
    jem_model *model = support_image_model("cnn-8-16", 1, SIDE, CLASSES, &exec);
    const int64_t count = support_param_count(model);
    float *params = calloc((size_t)count, sizeof *params), *x = support_uniform(ROWS * PIXELS, 1);
    float zeros[ROWS * CLASSES], found[ROWS * CLASSES];
    MUST(jem_model_set_params(model, count, params));
    MUST(jem_logits(model, ROWS, x, zeros));
    for (int64_t i = 0; i < count; i++)
        params[i] = 1e-40f;
    MUST(jem_model_set_params(model, count, params));
    MUST(jem_logits(model, ROWS, x, found));
    for (int i = 0; i < ROWS * CLASSES; i++)
        ck_assert(found[i] == zeros[i]);
    free(params);
    free(x);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_same_bits_in_every_environment, 0, COUNT(hosts));
    tcase_add_loop_test(tcase, test_workers_of_openmp, 0, 2);
    tcase_add_test(tcase, test_denormals_are_flushed);
}

int main(void)
{
    return support_main("floating-point environment", add_tests);
}
