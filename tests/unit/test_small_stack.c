/*
 * Every kind of call that computes, on a thread with the least stack that jem.h states.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

enum { STACK = 128 << 10, CHANNELS = 3, SIDE = 16, CLASSES = 3, ROWS = 4 };

typedef struct subject {
    const char *arch;
    int32_t backend, precision;
    jem_status status;
    char message[256];
} subject;

#define STEP(call)                                                                                 \
    do {                                                                                           \
        if ((s->status = (call)) != JEM_OK) {                                                      \
            snprintf(s->message, sizeof s->message, "%s: %s", #call, jem_last_error());            \
            return;                                                                                \
        }                                                                                          \
    } while (0)

// Handles that a failed step leaves behind are no matter: the test has failed then.
static void compute(subject *s, const jem_model *model, const float *x, const int64_t *labels)
{
    static float out[ROWS * CHANNELS * SIDE * SIDE], energies[ROWS];
    uint8_t outside[ROWS];
    int64_t n_outside;
    STEP(jem_logits(model, ROWS, x, out));
    STEP(jem_energy(model, ROWS, x, labels, energies));
    STEP(jem_energy_grad(model, ROWS, x, NULL, energies, out));
    STEP(jem_input_range(model, ROWS, x, outside, &n_outside, NULL, NULL));
    for (int32_t kind = JEM_SCORE_ENERGY; kind <= JEM_SCORE_GRADIENT_NORM; kind++)
        STEP(jem_score(model, kind, NULL, ROWS, x, energies));
}

static void sample(subject *s, const jem_model *model, jem_sampler *sampler, const float *x,
                   const int64_t *labels)
{
    static float out[ROWS * CHANNELS * SIDE * SIDE];
    STEP(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
    STEP(jem_sampler_start(sampler, ROWS, NULL, out));
    STEP(jem_sgld_step(model, sampler, ROWS, NULL, out));
    STEP(jem_sampler_run(model, sampler, ROWS, labels, out, 2, NULL, NULL));
    STEP(jem_sampler_draw(model, sampler, ROWS, out, NULL, NULL, NULL));
}

static void train(subject *s, jem_model *model, jem_sampler *sampler, const float *x,
                  const int64_t *labels)
{
    jem_train_config config;
    jem_optimizer_config settings;
    jem_optimizer *optimizer;
    const jem_train_batch batch = support_batch(ROWS, x, labels);
    STEP(jem_train_config_init(&config, sizeof config));
    config.guard = 1;
    config.augment_crop = 2;
    config.augment_flip = 1;
    STEP(jem_optimizer_config_init(&settings, sizeof settings));
    settings.sam_rho = 0.01f;
    settings.ema_decay = 0.9f;
    STEP(jem_optimizer_create(&optimizer, model, &settings));
    STEP(jem_train_step(model, optimizer, sampler, &config, &batch, NULL));
    char dir[256], file[300];
    support_make_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/checkpoint", dir);
    STEP(jem_checkpoint_save(file, model, optimizer, sampler));
    STEP(jem_checkpoint_save(file, model, optimizer, sampler));
    STEP(jem_checkpoint_load(file, model, optimizer, sampler));
    snprintf(file, sizeof file, "%s/model", dir);
    jem_model *loaded;
    STEP(jem_model_save(model, file));
    STEP(jem_model_load(&loaded, file, NULL));
    STEP(jem_model_load_matching(loaded, file, NULL));
    jem_model_destroy(loaded);
    jem_optimizer_destroy(optimizer);
    support_remove_dir(dir);
}

static void *use_all(void *of)
{
    subject *s = of;
    jem_exec_config exec = support_exec(s->backend, 2);
    exec.precision_scoring = exec.precision_chains = exec.precision_training = s->precision;
    jem_model *model = support_image_model(s->arch, CHANNELS, SIDE, CLASSES, &exec);
    jem_sampler_config config = support_sampler_config(ROWS, 2);
    config.start = JEM_START_MIXTURE;
    config.start_rank = 2;
    jem_sampler *sampler = support_sampler(model, &config);
    float *x = support_uniform(ROWS * CHANNELS * SIDE * SIDE, 1);
    const int64_t labels[ROWS] = {0, 1, 2, 0};
    compute(s, model, x, labels);
    if (s->status == JEM_OK)
        sample(s, model, sampler, x, labels);
    if (s->status == JEM_OK)
        train(s, model, sampler, x, labels);
    free(x);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return NULL;
}

static const char *const archs[] = {"mlp-512-64", "cnn-16-32:norm=batch", "wrn-10-1:norm=spectral",
                                    "wrn-10-1:norm=group8,dropout=0.1"};
static const int32_t precisions[] = {JEM_PRECISION_F32, JEM_PRECISION_F32_STRICT,
                                     JEM_PRECISION_BF16};

// The stack is laid below a page that nothing may touch, as pthread_create() does: an overflow is a
// SIGSEGV.
static void check_subject(subject *s)
{
    pthread_attr_t attributes;
    pthread_t thread;
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, use_all, s), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    ck_assert_msg(s->status == JEM_OK, "%s: %s", s->arch, s->message);
}

START_TEST(test_calls_on_a_small_stack)
{
    for (int b = 0; b < support_n_backends; b++)
        for (int p = 0; p < COUNT(precisions); p++) {
            subject s = {
                .arch = archs[_i], .backend = support_backends[b], .precision = precisions[p]};
            check_subject(&s);
        }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_calls_on_a_small_stack, 0, COUNT(archs));
}

int main(void)
{
    return support_main("small stack", add_tests);
}
