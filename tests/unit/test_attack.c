/*
 * jem_attack() as a host calls it: results that depend neither on threads nor on n nor on other rows,
 * one set of parameters, cancelling, rows that overflow, ranges of channels. What the attacks find is
 * proved beside numpy, in test_python_attack.py.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 270, SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, FEW = 5, SOME = 12 };

static const char *const archs[] = {"mlp-24", "cnn-8-8:act=silu", "wrn-10-1:norm=batch"};
enum { N_ARCHS = COUNT(archs) };

typedef struct setting {
    const char *name;
    int32_t kind, norm, goal, steps, restarts, refine_steps, refine_samples;
    float eps;
} setting;

static const setting settings[] = {
    {"pgd linf", JEM_ATTACK_PGD, JEM_NORM_LINF, JEM_GOAL_UNTARGETED, 4, 2, 0, 1, 0.03f},
    {"pgd l2", JEM_ATTACK_PGD, JEM_NORM_L2, JEM_GOAL_TARGET, 4, 1, 0, 1, 0.2f},
    {"energy", JEM_ATTACK_PGD, JEM_NORM_LINF, JEM_GOAL_ENERGY, 3, 1, 0, 1, 0.05f},
    {"apgd linf", JEM_ATTACK_APGD, JEM_NORM_LINF, JEM_GOAL_UNTARGETED, 9, 1, 0, 1, 0.03f},
    {"apgd l2", JEM_ATTACK_APGD, JEM_NORM_L2, JEM_GOAL_UNTARGETED, 9, 2, 0, 1, 0.2f},
    {"square", JEM_ATTACK_SQUARE, JEM_NORM_LINF, JEM_GOAL_UNTARGETED, 12, 2, 0, 1, 0.03f},
    {"boundary", JEM_ATTACK_BOUNDARY, JEM_NORM_L2, JEM_GOAL_UNTARGETED, 12, 2, 0, 1, 1.0f},
    {"pointwise", JEM_ATTACK_POINTWISE, JEM_NORM_L0, JEM_GOAL_UNTARGETED, 60, 1, 0, 1, 9.0f},
    {"refined pgd", JEM_ATTACK_PGD, JEM_NORM_LINF, JEM_GOAL_UNTARGETED, 2, 1, 2, 3, 0.03f},
    {"refined apgd", JEM_ATTACK_APGD, JEM_NORM_L2, JEM_GOAL_UNTARGETED, 5, 1, 1, 2, 0.2f},
};

static jem_attack_config config_of(const setting *s)
{
    jem_attack_config config;
    MUST(jem_attack_config_init(&config, sizeof config));
    config.kind = s->kind;
    config.norm = s->norm;
    config.goal = s->goal;
    config.steps = s->steps;
    config.restarts = s->restarts;
    config.refine_steps = s->refine_steps;
    config.refine_samples = s->refine_samples;
    config.refine_step_size = 0.1f;
    config.eps = s->eps;
    config.seed = 5;
    return config;
}

typedef struct outcome {
    float x[ROWS * PIXELS], distance[ROWS];
    uint8_t success[ROWS];
} outcome;

static outcome first, again;
static float *x;
static int64_t labels[ROWS];

// What the model says, but for every fifth row, which is wrong.
static void set_labels(const jem_model *model)
{
    static float logits[ROWS][CLASSES];
    MUST(jem_logits(model, ROWS, x, logits[0]));
    for (int i = 0; i < ROWS; i++) {
        labels[i] = 0;
        for (int k = 1; k < CLASSES; k++)
            if (logits[i][k] > logits[i][labels[i]])
                labels[i] = k;
        labels[i] = i % 5 == 4 ? (labels[i] + 1) % CLASSES : labels[i];
    }
}

static jem_model *model_of(const char *arch, int32_t backend, int32_t threads)
{
    const jem_exec_config exec = support_exec(backend, threads);
    return support_image_model(arch, 1, SIDE, CLASSES, &exec);
}

static void attack(const jem_model *model, const jem_attack_config *config, int64_t n, int64_t from,
                   outcome *out)
{
    jem_attack_config numbered = *config;
    numbered.first_row = from;
    MUST(jem_attack(model, &numbered, n, x + from * PIXELS, labels + from, out->x, out->success,
                    out->distance, NULL, NULL));
}

static void set_up(void)
{
    x = support_uniform((int64_t)ROWS * PIXELS, 1);
}

static void tear_down(void)
{
    free(x);
}

// ---- rows alone ----------------------------------------------------------------------------------

static void same_rows(const outcome *a, const outcome *b, int64_t of_b, int64_t n, const char *name)
{
    support_same_bits(a->x, b->x + of_b * PIXELS, (size_t)(n * PIXELS) * sizeof(float), name);
    support_same_bits(a->distance, b->distance + of_b, (size_t)n * sizeof(float), name);
    support_same_bits(a->success, b->success + of_b, (size_t)n, name);
}

// The last rows are those of a block of their own where there are more rows than a block has.
static void check_setting(const setting *s, const char *arch, int32_t backend, int n)
{
    const jem_attack_config config = config_of(s);
    jem_model *model = model_of(arch, backend, 1), *threaded = model_of(arch, backend, 3);
    set_labels(model);
    attack(model, &config, n, 0, &first);
    attack(threaded, &config, n, 0, &again);
    same_rows(&again, &first, 0, n, s->name);
    attack(threaded, &config, 1, n - 2, &again);
    same_rows(&again, &first, n - 2, 1, s->name);
    attack(threaded, &config, FEW, n - 8, &again);
    same_rows(&again, &first, n - 8, FEW, s->name);
    for (int i = 0; i < n * PIXELS; i++)
        if (i / PIXELS % 2 == 0)
            x[i] = -x[i]; // every other row is another
    attack(threaded, &config, n, 0, &again);
    for (int i = 1; i < n; i += 2) {
        support_same_bits(again.x + i * PIXELS, first.x + i * PIXELS, PIXELS * sizeof(float),
                          s->name);
        ck_assert_int_eq(again.success[i], first.success[i]);
    }
    jem_model_destroy(model);
    jem_model_destroy(threaded);
}

START_TEST(test_a_row_depends_on_itself)
{
    const char *arch = archs[_i % N_ARCHS];
    const int32_t backend = support_backends[_i / N_ARCHS];
    if (backend == JEM_BACKEND_REF && _i % N_ARCHS == 2)
        return; // takes minutes, and shows nothing that the others do not
    const bool quick = _i % N_ARCHS == 0 && backend != JEM_BACKEND_REF;
    for (int i = 0; i < COUNT(settings); i++) {
        check_setting(&settings[i], arch, backend, quick ? ROWS : SOME);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(test_all_succeed_sometimes)
{
    jem_model *model = model_of("cnn-8-8", JEM_BACKEND_NATIVE, 2);
    set_labels(model);
    for (int i = 0; i < COUNT(settings); i++) {
        const jem_attack_config config = config_of(&settings[i]);
        attack(model, &config, ROWS, 0, &first);
        int successes = 0, broken = 0;
        for (int r = 0; r < ROWS; r++) {
            successes += first.success[r];
            broken += r % 5 == 4 && first.success[r];
            ck_assert_msg(isinf(first.distance[r]) == !first.success[r], "%s: row %d",
                          settings[i].name, r);
        }
        const bool has_labels = config.goal == JEM_GOAL_UNTARGETED;
        ck_assert_msg((config.goal == JEM_GOAL_ENERGY) == (successes == 0), "%s", settings[i].name);
        ck_assert_msg(!has_labels || config.refine_steps > 0 || broken == ROWS / 5, "%s: %d",
                      settings[i].name, broken);
    }
    jem_model_destroy(model);
}
END_TEST

// ---- the call ------------------------------------------------------------------------------------

typedef struct intruder {
    jem_model *model;
    float *params;
    int calls;
} intruder;

static void *set_params(void *context)
{
    const intruder *i = context;
    MUST(jem_model_set_params(i->model, support_param_count(i->model), i->params));
    return NULL;
}

// Another thread changes the parameters while the attack is between two steps.
static int32_t intrude(void *context, int64_t done, int64_t total)
{
    (void)total;
    intruder *i = context;
    pthread_t thread;
    if (done > 0 && i->calls++ == 0) {
        ck_assert_int_eq(pthread_create(&thread, NULL, set_params, i), 0);
        pthread_join(thread, NULL);
    }
    return 0;
}

START_TEST(test_one_set_of_parameters)
{
    jem_model *model = model_of("cnn-8-8", JEM_BACKEND_NATIVE, 2);
    const jem_attack_config config = config_of(&settings[0]);
    set_labels(model);
    attack(model, &config, ROWS, 0, &first);
    intruder other = {.model = model, .params = support_params(model)};
    for (int64_t i = 0; i < support_param_count(model); i++)
        other.params[i] = -other.params[i];
    MUST(jem_attack(model, &config, ROWS, x, labels, again.x, again.success, again.distance,
                    intrude, &other));
    ck_assert_int_gt(other.calls, 1);
    same_rows(&again, &first, 0, ROWS, "with an intruder");
    attack(model, &config, ROWS, 0, &again);
    ck_assert(memcmp(again.x, first.x, sizeof first.x) != 0);
    free(other.params);
    jem_model_destroy(model);
}
END_TEST

typedef struct listener {
    int calls, cancel_at;
} listener;

static int32_t listen(void *user, int64_t done, int64_t total)
{
    listener *l = user;
    ck_assert(done >= 0 && done <= total);
    return ++l->calls == l->cancel_at;
}

START_TEST(test_cancelling)
{
    jem_model *model = model_of("mlp-24", JEM_BACKEND_NATIVE, 2);
    set_labels(model);
    for (int i = 0; i < COUNT(settings); i++) {
        const jem_attack_config config = config_of(&settings[i]);
        listener all = {0};
        MUST(jem_attack(model, &config, SOME, x, labels, first.x, NULL, NULL, listen, &all));
        ck_assert_int_gt(all.calls, 1);
        for (int at = 1; at <= all.calls; at += at < 4 ? 1 : 7) {
            listener one = {.cancel_at = at};
            REFUSED(JEM_ECANCELLED, "steps of rows",
                    jem_attack(model, &config, SOME, x, labels, again.x, NULL, NULL, listen, &one));
            ck_assert_int_eq(one.calls, at);
        }
    }
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_refusals)
{
    jem_model *model = model_of("mlp-24", JEM_BACKEND_NATIVE, 1);
    jem_attack_config config = config_of(&settings[0]);
    set_labels(model);
    const int64_t bad[] = {0, CLASSES};
    float nan_row[PIXELS] = {[3] = NAN};
    REFUSED(JEM_EINVAL, "model",
            jem_attack(NULL, &config, 1, x, labels, first.x, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is nan at row 0, element 3",
            jem_attack(model, &config, 1, nan_row, labels, first.x, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "labels is 4 at row 1",
            jem_attack(model, &config, 2, x, bad, first.x, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "labels is NULL",
            jem_attack(model, &config, 2, x, NULL, first.x, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x_adversarial",
            jem_attack(model, &config, 2, x, labels, NULL, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x_adversarial is x",
            jem_attack(model, &config, 2, x, labels, x, NULL, NULL, NULL, NULL));
    config.eps = INFINITY;
    config.step_size = 0.1f;
    REFUSED(JEM_EINVAL, "no random_start",
            jem_attack(model, &config, 2, x, labels, first.x, NULL, NULL, NULL, NULL));
    MUST(jem_attack(model, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    jem_model_destroy(model);
}
END_TEST

// ---- values ----------------------------------------------------------------------------------

// A row that overflows is misclassified as it is, and is never taken for a target or in-distribution.
START_TEST(test_rows_that_overflow)
{
    jem_model *model = model_of(archs[_i % N_ARCHS], support_backends[_i / N_ARCHS], 2);
    set_labels(model);
    for (int i = 0; i < 4; i++) { // settings whose points begin within eps
        jem_attack_config config = config_of(&settings[i]);
        attack(model, &config, FEW, 0, &first);
        float kept[PIXELS];
        memcpy(kept, x + 2 * PIXELS, sizeof kept);
        for (int k = 0; k < PIXELS; k++)
            x[2 * PIXELS + k] = k % 2 ? FLT_MAX : -FLT_MAX;
        attack(model, &config, FEW, 0, &again);
        const bool untargeted = config.goal == JEM_GOAL_UNTARGETED;
        ck_assert_int_eq(again.success[2], untargeted);
        ck_assert(untargeted ? again.distance[2] == 0.0f : isinf(again.distance[2]));
        for (int k = 0; k < FEW * PIXELS; k++) {
            ck_assert(isfinite(again.x[k]));
            ck_assert(k / PIXELS == 2 || again.x[k] == first.x[k]);
        }
        memcpy(x + 2 * PIXELS, kept, sizeof kept);
    }
    jem_model_destroy(model);
}
END_TEST

// Of a standardised model each channel has a range of its own.
START_TEST(test_ranges_of_channels)
{
    enum { CHANNELS = 2, N = 20 };
    const float mean[CHANNELS] = {0.2f, 0.9f}, std[CHANNELS] = {0.1f, 0.5f};
    const jem_exec_config exec = support_exec(JEM_BACKEND_NATIVE, 1);
    jem_model *model = support_image_model("cnn-8", CHANNELS, SIDE, CLASSES, &exec);
    MUST(jem_model_set_standardization(model, CHANNELS, mean, std));
    static uint8_t images[N * CHANNELS * PIXELS];
    static float inputs[N * CHANNELS * PIXELS], found[N * CHANNELS * PIXELS];
    for (int i = 0; i < COUNT(images); i++)
        images[i] = (uint8_t)(i * 37 % 256);
    MUST(jem_input_from_u8(model, N, images, JEM_LAYOUT_NCHW, inputs));
    jem_attack_config config = config_of(&settings[_i]);
    config.eps = 10.0f;
    config.goal = JEM_GOAL_ENERGY;
    MUST(jem_attack(model, &config, N, inputs, NULL, found, NULL, NULL, NULL, NULL));
    int at_edge = 0;
    for (int i = 0; i < COUNT(found); i++) {
        const int c = i / PIXELS % CHANNELS;
        const float low = -mean[c] / std[c], high = (1.0f - mean[c]) / std[c];
        ck_assert_msg(found[i] >= low - 1e-5f && found[i] <= high + 1e-5f, "%g of channel %d",
                      (double)found[i], c);
        at_edge += found[i] < low + 1e-3f || found[i] > high - 1e-3f;
    }
    ck_assert_int_gt(at_edge, COUNT(found) / 20);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends * N_ARCHS;
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_a_row_depends_on_itself, 0, n);
    tcase_add_test(tcase, test_all_succeed_sometimes);
    tcase_add_test(tcase, test_one_set_of_parameters);
    tcase_add_test(tcase, test_cancelling);
    tcase_add_test(tcase, test_refusals);
    tcase_add_loop_test(tcase, test_rows_that_overflow, 0, n);
    tcase_add_loop_test(tcase, test_ranges_of_channels, 0, 6);
}

int main(void)
{
    return support_main("attack", add_tests);
}
