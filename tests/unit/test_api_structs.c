/*
 * The sized structs of the public header: every field of every config outside its range is refused
 * with its name in the message, and structs of an older or newer header are read and written
 * right: a longer one whose new fields are set is refused, nothing beyond a shorter one is touched.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 4, FEATURES = 3, CLASSES = 3, ROOM = 4200 };

// ---- what makes use of each struct
// ---------------------------------------------------------------

static jem_model *model;
static jem_sampler *sampler;
static jem_optimizer *optimizer;
static float *x;
static const int64_t labels[ROWS] = {0, 1, 2, 0};

static void set_up(void)
{
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    const jem_sampler_config config = support_sampler_config(ROWS, 2);
    sampler = support_sampler(model, &config);
    optimizer = support_optimizer(model, 0.01f);
    x = support_uniform(ROWS * FEATURES, 1);
}

static void tear_down(void)
{
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    free(x);
}

static jem_status init_model(void *config, size_t size)
{
    const jem_status status = jem_model_config_init(config, size);
    if (status == JEM_OK && size >= sizeof(jem_model_config)) {
        jem_model_config *own = config;
        own->arch = "mlp-4";
        own->channels = FEATURES;
        own->classes = CLASSES;
    }
    return status;
}

static jem_status use_model(const void *config)
{
    jem_model *made = model;
    const jem_status status = jem_model_create(&made, config, NULL);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_model_destroy(made);
    return status;
}

static jem_status init_exec(void *config, size_t size)
{
    return jem_exec_config_init(config, size);
}

static jem_status use_exec(const void *config)
{
    jem_model *made = model;
    const jem_status status = jem_model_clone(&made, model, config);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_model_destroy(made);
    return status;
}

static jem_status init_sampler(void *config, size_t size)
{
    return jem_sampler_config_init(config, size);
}

static jem_status use_sampler(const void *config)
{
    jem_sampler *made = sampler;
    const jem_status status = jem_sampler_create(&made, model, config);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_sampler_destroy(made);
    return status;
}

static jem_status init_optimizer(void *config, size_t size)
{
    return jem_optimizer_config_init(config, size);
}

static jem_status use_optimizer(const void *config)
{
    jem_optimizer *made = optimizer;
    const jem_status status = jem_optimizer_create(&made, model, config);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_optimizer_destroy(made);
    return status;
}

static jem_status init_train(void *config, size_t size)
{
    return jem_train_config_init(config, size);
}

static jem_status use_train(const void *config)
{
    const jem_train_batch batch = support_batch(ROWS, x, labels);
    return jem_train_step(model, optimizer, sampler, config, &batch, NULL);
}

static jem_status init_batch(void *batch, size_t size)
{
    const jem_status status = jem_train_batch_init(batch, size);
    if (status == JEM_OK && size >= sizeof(jem_train_batch)) {
        jem_train_batch *own = batch;
        own->n_labelled = ROWS;
        own->x_labelled = x;
        own->y_labelled = labels;
    }
    return status;
}

static jem_status use_batch(const void *batch)
{
    return jem_train_step(model, optimizer, sampler, NULL, batch, NULL);
}

static jem_status init_bootstrap(void *config, size_t size)
{
    return jem_bootstrap_config_init(config, size);
}

static jem_status use_bootstrap(const void *config)
{
    jem_detection low = {.struct_size = sizeof low}, high = {.struct_size = sizeof high};
    return jem_detection_intervals(ROWS, x, ROWS, x + ROWS, 0.95, config, &low, &high);
}

static jem_status init_attack(void *config, size_t size)
{
    return jem_attack_config_init(config, size);
}

static jem_status use_attack(const void *config)
{
    float found[ROWS * FEATURES];
    return jem_attack(model, config, ROWS, x, labels, found, NULL, NULL, NULL, NULL);
}

static jem_status init_score(void *config, size_t size)
{
    return jem_score_config_init(config, size);
}

static jem_status use_score(const void *config)
{
    float scores[ROWS];
    return jem_score(model, JEM_SCORE_GEN, config, ROWS, x, scores);
}

static jem_status init_detector(void *config, size_t size)
{
    return jem_detector_config_init(config, size);
}

static jem_status use_detector(const void *config)
{
    jem_detector *made = (jem_detector *)model;
    const jem_status status = jem_detector_create(&made, model, config, NULL);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_detector_destroy(made);
    return status;
}

static jem_status init_explain(void *config, size_t size)
{
    return jem_explain_config_init(config, size);
}

// One kind of logits needs few rows, and no statistics.
static jem_status use_explain(const void *config)
{
    jem_detector_config of_detector;
    jem_detector *detector;
    float map[ROWS * FEATURES];
    MUST(jem_detector_config_init(&of_detector, sizeof of_detector));
    of_detector.kinds = 1 << JEM_SCORE_ENERGY;
    of_detector.fpr = 0.9;
    MUST(jem_detector_create(&detector, model, &of_detector, NULL));
    MUST(jem_detector_calibrate(detector, model, ROWS, x, NULL, NULL, NULL));
    const jem_status status = jem_explain(detector, model, config, ROWS, x, map, NULL, NULL);
    jem_detector_destroy(detector);
    return status;
}

static jem_status init_monitor(void *config, size_t size)
{
    return jem_monitor_config_init(config, size);
}

static jem_status use_monitor(const void *config)
{
    jem_monitor *made = (jem_monitor *)model;
    const jem_status status = jem_monitor_create(&made, config, ROWS * FEATURES, x);
    ck_assert_msg((made == NULL) == (status != JEM_OK), "*out after status %d", (int)status);
    jem_monitor_destroy(made);
    return status;
}

typedef struct config_row {
    const char *name;
    size_t size;
    jem_status (*init)(void *config, size_t size);
    jem_status (*use)(const void *config);
} config_row;

enum {
    MODEL,
    EXEC,
    SAMPLER,
    OPTIMIZER,
    TRAIN,
    BATCH,
    BOOTSTRAP,
    ATTACK,
    SCORE,
    DETECTOR,
    EXPLAIN,
    MONITOR
};
static const config_row configs[] = {
    [MODEL] = {"jem_model_config", sizeof(jem_model_config), init_model, use_model},
    [EXEC] = {"jem_exec_config", sizeof(jem_exec_config), init_exec, use_exec},
    [SAMPLER] = {"jem_sampler_config", sizeof(jem_sampler_config), init_sampler, use_sampler},
    [OPTIMIZER] = {"jem_optimizer_config", sizeof(jem_optimizer_config), init_optimizer,
                   use_optimizer},
    [TRAIN] = {"jem_train_config", sizeof(jem_train_config), init_train, use_train},
    [BATCH] = {"jem_train_batch", sizeof(jem_train_batch), init_batch, use_batch},
    [BOOTSTRAP] = {"jem_bootstrap_config", sizeof(jem_bootstrap_config), init_bootstrap,
                   use_bootstrap},
    [ATTACK] = {"jem_attack_config", sizeof(jem_attack_config), init_attack, use_attack},
    [SCORE] = {"jem_score_config", sizeof(jem_score_config), init_score, use_score},
    [DETECTOR] = {"jem_detector_config", sizeof(jem_detector_config), init_detector, use_detector},
    [EXPLAIN] = {"jem_explain_config", sizeof(jem_explain_config), init_explain, use_explain},
    [MONITOR] = {"jem_monitor_config", sizeof(jem_monitor_config), init_monitor, use_monitor},
};

// ---- fields -------------------------------------------------------------------------------------

typedef enum { INT, LONG, FLOAT, DOUBLE, POINTER } field_type;

typedef struct field_row {
    int config; /* index of configs */
    const char *name;
    size_t offset;
    field_type type;
    double value; /* of numbers; a pointer becomes NULL */
    jem_status status;
    const char *word; /* in the message; NULL = the name */
} field_row;

#define FIELD(config, type, member) config, #member, offsetof(type, member)
#define OF_MODEL(member)            FIELD(MODEL, jem_model_config, member)
#define OF_EXEC(member)             FIELD(EXEC, jem_exec_config, member)
#define OF_SAMPLER(member)          FIELD(SAMPLER, jem_sampler_config, member)
#define OF_OPTIMIZER(member)        FIELD(OPTIMIZER, jem_optimizer_config, member)
#define OF_TRAIN(member)            FIELD(TRAIN, jem_train_config, member)
#define OF_BATCH(member)            FIELD(BATCH, jem_train_batch, member)
#define OF_BOOTSTRAP(member)        FIELD(BOOTSTRAP, jem_bootstrap_config, member)
#define OF_ATTACK(member)           FIELD(ATTACK, jem_attack_config, member)
#define OF_SCORE(member)            FIELD(SCORE, jem_score_config, member)
#define OF_DETECTOR(member)         FIELD(DETECTOR, jem_detector_config, member)
#define OF_EXPLAIN(member)          FIELD(EXPLAIN, jem_explain_config, member)
#define OF_MONITOR(member)          FIELD(MONITOR, jem_monitor_config, member)

// clang-format off
static const field_row fields[] = {
    {OF_MODEL(arch), POINTER, 0, JEM_EINVAL, NULL},
    {OF_MODEL(channels), INT, 0, JEM_EINVAL, NULL},
    {OF_MODEL(channels), INT, -1, JEM_EINVAL, NULL},
    {OF_MODEL(channels), INT, 4097, JEM_EINVAL, NULL},
    {OF_MODEL(height), INT, 0, JEM_EINVAL, NULL},
    {OF_MODEL(height), INT, 1025, JEM_EINVAL, NULL},
    {OF_MODEL(width), INT, -5, JEM_EINVAL, NULL},
    {OF_MODEL(width), INT, 1025, JEM_EINVAL, NULL},
    {OF_MODEL(classes), INT, 0, JEM_EINVAL, NULL},
    {OF_MODEL(classes), INT, 100001, JEM_EINVAL, NULL},
    {OF_MODEL(input_low), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_MODEL(input_low), FLOAT, -INFINITY, JEM_EINVAL, NULL},
    {OF_MODEL(input_low), FLOAT, 1, JEM_EINVAL, NULL}, // = high
    {OF_MODEL(input_high), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_MODEL(input_high), FLOAT, -2, JEM_EINVAL, NULL},
    {OF_EXEC(threads), INT, 0, JEM_EINVAL, NULL},
    {OF_EXEC(threads), INT, -1, JEM_EINVAL, NULL},
    {OF_EXEC(threads), INT, 1025, JEM_EINVAL, NULL},
    {OF_EXEC(backend), INT, 0, JEM_EINVAL, NULL},
    {OF_EXEC(backend), INT, 4, JEM_EINVAL, NULL},
#if !JEM_HAVE_ONEDNN
    {OF_EXEC(backend), INT, JEM_BACKEND_ONEDNN, JEM_EUNSUPPORTED, NULL},
#endif
    {OF_EXEC(precision_scoring), INT, 0, JEM_EUNSUPPORTED, NULL},
    {OF_EXEC(precision_chains), INT, 4, JEM_EUNSUPPORTED, NULL},
    {OF_EXEC(precision_training), INT, -1, JEM_EUNSUPPORTED, NULL},
    {OF_EXEC(runners_max), INT, 0, JEM_EINVAL, NULL},
    {OF_EXEC(runners_max), INT, 1025, JEM_EINVAL, NULL},
    {OF_EXEC(kernel), POINTER, 0, JEM_EINVAL, NULL},
    {OF_EXEC(tuned_for), INT, 0, JEM_EINVAL, NULL},
    {OF_EXEC(tuned_for), INT, 3, JEM_EINVAL, NULL},
    {OF_EXEC(reserved), INT, 1, JEM_EUNSUPPORTED, NULL},
    {OF_SAMPLER(capacity), INT, 0, JEM_EINVAL, NULL},
    {OF_SAMPLER(capacity), INT, 100000001, JEM_EINVAL, NULL},
    {OF_SAMPLER(steps), INT, -1, JEM_EINVAL, NULL},
    {OF_SAMPLER(step_size), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_SAMPLER(step_size), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_SAMPLER(step_size), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(step_size), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(noise_std), FLOAT, -0.01, JEM_EINVAL, NULL},
    {OF_SAMPLER(noise_std), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(noise_std), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(reinit_prob), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_SAMPLER(reinit_prob), FLOAT, 1.1, JEM_EINVAL, NULL},
    {OF_SAMPLER(reinit_prob), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(start), INT, 0, JEM_EINVAL, NULL},
    {OF_SAMPLER(start), INT, 5, JEM_EINVAL, NULL},
    {OF_SAMPLER(start_low), FLOAT, 1, JEM_EINVAL, NULL}, // = high
    {OF_SAMPLER(start_low), FLOAT, -INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(start_high), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(start_high), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(uniform_fraction), FLOAT, -0.5, JEM_EINVAL, NULL},
    {OF_SAMPLER(uniform_fraction), FLOAT, 1.5, JEM_EINVAL, NULL},
    {OF_SAMPLER(grad_clamp), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_SAMPLER(grad_clamp), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(x_low), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(x_low), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_SAMPLER(x_high), FLOAT, -INFINITY, JEM_EINVAL, NULL},
    {OF_SAMPLER(class_conditional), INT, 2, JEM_EINVAL, NULL},
    {OF_SAMPLER(class_conditional), INT, -1, JEM_EINVAL, NULL},
    {OF_SAMPLER(start_rank), INT, -1, JEM_EINVAL, NULL},
    {OF_SAMPLER(start_rank), INT, 257, JEM_EINVAL, NULL},
    {OF_SAMPLER(matched_noise), INT, 2, JEM_EINVAL, NULL},
    {OF_SAMPLER(reserved), INT, -1, JEM_EUNSUPPORTED, NULL},
    {OF_OPTIMIZER(kind), INT, 0, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(kind), INT, 3, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr), FLOAT, -1e-3, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(beta1), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(beta1), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(beta2), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(beta2), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(eps), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(momentum), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(momentum), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(weight_decay), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(weight_decay), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(clip_norm), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(clip_norm), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(warmup_steps), LONG, -1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(sam_rho), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(sam_rho), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(sam_rho), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(sam_adaptive), INT, 2, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(schedule), INT, 0, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(schedule), INT, 4, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr_factor), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr_factor), FLOAT, 1.1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(total_steps), LONG, -1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(milestones), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(milestones), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr_floor), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(lr_floor), FLOAT, 2, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(ema_decay), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_OPTIMIZER(ema_decay), FLOAT, -0.5, JEM_EINVAL, NULL},
    {OF_TRAIN(w_px), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_TRAIN(w_px), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_TRAIN(w_pyx), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_TRAIN(energy_l2), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_TRAIN(input_noise), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_TRAIN(input_noise), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_TRAIN(w_pxy), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_TRAIN(w_pxy), FLOAT, 1, JEM_EINVAL, "class_conditional"},
    {OF_TRAIN(augment_crop), INT, -1, JEM_EINVAL, NULL},
    {OF_TRAIN(augment_crop), INT, 65, JEM_EINVAL, NULL},
    {OF_TRAIN(augment_crop), INT, 1, JEM_EINVAL, NULL}, // inputs of height 1
    {OF_TRAIN(augment_flip), INT, 2, JEM_EINVAL, NULL},
    {OF_TRAIN(augment_data), INT, -1, JEM_EINVAL, NULL},
    {OF_TRAIN(w_outlier), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_TRAIN(w_outlier), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_TRAIN(w_outlier), FLOAT, 1, JEM_EINVAL, "no outliers"},
    {OF_TRAIN(outlier_m_in), FLOAT, -INFINITY, JEM_EINVAL, NULL},
    {OF_TRAIN(outlier_m_in), FLOAT, 0, JEM_EINVAL, NULL}, // = m_out
    {OF_TRAIN(outlier_m_out), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_TRAIN(outlier_m_out), FLOAT, -6, JEM_EINVAL, NULL},
    {OF_TRAIN(logit_norm), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_TRAIN(logit_norm), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_TRAIN(logit_norm), FLOAT, 1, JEM_EINVAL, "energy_l2 to be 0"},
    {OF_TRAIN(reserved), INT, 256, JEM_EUNSUPPORTED, NULL},
    {OF_BATCH(n_labelled), LONG, -1, JEM_EINVAL, NULL},
    {OF_BATCH(n_labelled), LONG, 2147483648.0, JEM_EINVAL, NULL},
    {OF_BATCH(n_labelled), LONG, 0, JEM_EINVAL, "labelled"},
    {OF_BATCH(x_labelled), POINTER, 0, JEM_EINVAL, NULL},
    {OF_BATCH(y_labelled), POINTER, 0, JEM_EINVAL, NULL},
    {OF_BATCH(n_data), LONG, -1, JEM_EINVAL, NULL},
    {OF_BATCH(n_data), LONG, 2, JEM_EINVAL, "x_data"},
    {OF_BATCH(n_samples), LONG, -1, JEM_EINVAL, NULL},
    {OF_BATCH(n_outliers), LONG, -1, JEM_EINVAL, NULL},
    {OF_BATCH(n_outliers), LONG, 2, JEM_EINVAL, "x_outliers"},
    {OF_BATCH(n_samples), LONG, ROWS + 1, JEM_EINVAL, "samples is 5; expected 1..4"},
    {OF_BOOTSTRAP(level), DOUBLE, 0, JEM_EINVAL, NULL},
    {OF_BOOTSTRAP(level), DOUBLE, 1, JEM_EINVAL, NULL},
    {OF_BOOTSTRAP(level), DOUBLE, NAN, JEM_EINVAL, NULL},
    {OF_BOOTSTRAP(resamples), INT, 0, JEM_EINVAL, NULL},
    {OF_BOOTSTRAP(resamples), INT, 1000001, JEM_EINVAL, NULL},
    {OF_BOOTSTRAP(reserved), INT, 1, JEM_EUNSUPPORTED, NULL},
    {OF_ATTACK(first_row), LONG, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(first_row), LONG, 2147483647, JEM_EINVAL, NULL},
    {OF_ATTACK(kind), INT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(kind), INT, 6, JEM_EINVAL, NULL},
    {OF_ATTACK(norm), INT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(norm), INT, 4, JEM_EINVAL, NULL},
    {OF_ATTACK(norm), INT, JEM_NORM_L0, JEM_EUNSUPPORTED, "JEM_NORM_L0"},
    {OF_ATTACK(goal), INT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(goal), INT, 4, JEM_EINVAL, "detector is NULL"},
    {OF_ATTACK(goal), INT, 5, JEM_EINVAL, NULL},
    {OF_ATTACK(steps), INT, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(steps), INT, 1000001, JEM_EINVAL, NULL},
    {OF_ATTACK(eps), FLOAT, -0.1, JEM_EINVAL, NULL},
    {OF_ATTACK(eps), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_ATTACK(eps), FLOAT, INFINITY, JEM_EINVAL, NULL}, // without a step size
    {OF_ATTACK(step_size), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(step_size), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_ATTACK(restarts), INT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(restarts), INT, 1001, JEM_EINVAL, NULL},
    {OF_ATTACK(random_start), INT, 2, JEM_EINVAL, NULL},
    {OF_ATTACK(confidence), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_ATTACK(confidence), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_ATTACK(threshold), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_ATTACK(clip), INT, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(refine_steps), INT, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(refine_steps), INT, 1001, JEM_EINVAL, NULL},
    {OF_ATTACK(refine_samples), INT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(refine_step_size), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_ATTACK(refine_noise_std), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_ATTACK(reserved), INT, 1, JEM_EUNSUPPORTED, NULL},
    {OF_SCORE(temperature), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_SCORE(temperature), FLOAT, INFINITY, JEM_EINVAL, NULL},
    {OF_SCORE(gen_gamma), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_SCORE(gen_gamma), FLOAT, 1, JEM_EINVAL, NULL},
    {OF_SCORE(gen_classes), INT, 0, JEM_EINVAL, NULL},
    {OF_SCORE(gen_classes), INT, 1001, JEM_EINVAL, NULL},
    {OF_SCORE(neighbours), INT, 0, JEM_EINVAL, NULL},
    {OF_SCORE(neighbours), INT, 1001, JEM_EINVAL, NULL},
    {OF_SCORE(nci_norm_weight), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_SCORE(react_percentile), FLOAT, 101, JEM_EINVAL, NULL},
    {OF_SCORE(scale_percentile), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_DETECTOR(kinds), LONG, (int64_t)1 << 50, JEM_EINVAL, NULL},
    {OF_SCORE(odin_epsilon), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_SCORE(refine_steps), INT, 0, JEM_EINVAL, NULL},
    {OF_SCORE(refine_steps), INT, 1001, JEM_EINVAL, NULL},
    {OF_SCORE(refine_step_size), FLOAT, 0, JEM_EINVAL, NULL},
    {OF_DETECTOR(kinds), LONG, 1, JEM_EINVAL, NULL},
    {OF_DETECTOR(two_sided), LONG, 1 << JEM_SCORE_FDBD, JEM_EINVAL, NULL},
    {OF_DETECTOR(bank_bytes), LONG, 4095, JEM_EINVAL, NULL},
    {OF_DETECTOR(fpr), DOUBLE, 0, JEM_EINVAL, NULL},
    {OF_DETECTOR(fpr), DOUBLE, 1, JEM_EINVAL, NULL},
    {OF_DETECTOR(confidence), DOUBLE, -0.1, JEM_EINVAL, NULL},
    {OF_DETECTOR(confidence), DOUBLE, 1, JEM_EINVAL, NULL},
    {OF_DETECTOR(combine), INT, 0, JEM_EINVAL, NULL},
    {OF_DETECTOR(combine), INT, 3, JEM_EINVAL, NULL},
    {OF_DETECTOR(per_class), INT, 2, JEM_EINVAL, NULL},
    {OF_DETECTOR(rank), INT, 0, JEM_EINVAL, NULL},
    {OF_DETECTOR(rank), INT, 257, JEM_EINVAL, NULL},
    {OF_DETECTOR(flag_range), INT, 2, JEM_EINVAL, NULL},
    {OF_EXPLAIN(kind), INT, JEM_SCORE_KNN, JEM_EINVAL, NULL},
    {OF_EXPLAIN(steps), INT, -1, JEM_EINVAL, NULL},
    {OF_EXPLAIN(steps), INT, 100001, JEM_EINVAL, NULL},
    {OF_EXPLAIN(step_size), FLOAT, -1, JEM_EINVAL, NULL},
    {OF_EXPLAIN(step_size), FLOAT, NAN, JEM_EINVAL, NULL},
    {OF_EXPLAIN(reserved), INT, 1, JEM_EUNSUPPORTED, NULL},
    {OF_MONITOR(alpha), DOUBLE, 0, JEM_EINVAL, NULL},
    {OF_MONITOR(alpha), DOUBLE, 0.51, JEM_EINVAL, NULL},
    {OF_MONITOR(alpha), DOUBLE, NAN, JEM_EINVAL, NULL},
    {OF_MONITOR(tolerance), DOUBLE, -0.01, JEM_EINVAL, NULL},
    {OF_MONITOR(tolerance), DOUBLE, 1.01, JEM_EINVAL, NULL},
    {OF_MONITOR(two_sided), INT, 2, JEM_EINVAL, NULL},
    {OF_MONITOR(reserved), INT, 1, JEM_EUNSUPPORTED, NULL},
};
// clang-format on

static void poke(void *config, const field_row *row)
{
    void *at = (char *)config + row->offset;
    const int32_t as_int = row->type == INT ? (int32_t)row->value : 0;
    const int64_t as_long = row->type == LONG ? (int64_t)row->value : 0;
    const float as_float = (float)row->value;
    if (row->type == INT)
        memcpy(at, &as_int, sizeof as_int);
    else if (row->type == LONG)
        memcpy(at, &as_long, sizeof as_long);
    else if (row->type == FLOAT)
        memcpy(at, &as_float, sizeof as_float);
    else if (row->type == DOUBLE)
        memcpy(at, &row->value, sizeof row->value);
    else
        memset(at, 0, sizeof(void *));
}

START_TEST(test_fields)
{
    for (int i = 0; i < COUNT(fields); i++) {
        const field_row *row = &fields[i];
        const config_row *config = &configs[row->config];
        _Alignas(16) unsigned char bytes[ROOM];
        MUST(config->init(bytes, config->size));
        poke(bytes, row);
        support_stale_message();
        support_refused(config->use(bytes), row->status, row->word != NULL ? row->word : row->name,
                        row->name, config->name, i);
        MUST(config->init(bytes, config->size));
        MUST(config->use(bytes)); // the same struct without the fault, so it was the fault
    }
}
END_TEST

START_TEST(test_train_step_arguments)
{
    jem_train_batch batch = support_batch(ROWS, x, labels);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    jem_model *deeper = support_model("mlp-4-4", FEATURES, CLASSES, NULL);
    jem_model *wider = support_model("mlp-4", FEATURES + 1, CLASSES, NULL);
    jem_sampler_config sampler_config = support_sampler_config(ROWS, 2);
    jem_sampler *of_wider = support_sampler(wider, &sampler_config);
    sampler_config.start = JEM_START_MIXTURE;
    jem_sampler *unfitted = support_sampler(model, &sampler_config);
    jem_train_stats no_size = {0};
    const int64_t bad[ROWS] = {0, 1, CLASSES, 0};
    const float nan_rows[FEATURES] = {0, NAN, 0};
    jem_optimizer *o = optimizer;
    REFUSED(JEM_EINVAL, "model", jem_train_step(NULL, o, sampler, NULL, &batch, NULL));
    REFUSED(JEM_EINVAL, "optimizer", jem_train_step(model, NULL, sampler, NULL, &batch, NULL));
    REFUSED(JEM_EINVAL, "sampler is NULL", jem_train_step(model, o, NULL, NULL, &batch, NULL));
    REFUSED(JEM_EINVAL, "batch", jem_train_step(model, o, sampler, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "fit", jem_train_step(model, o, unfitted, NULL, &batch, NULL));
    REFUSED(JEM_EINVAL, "jem_train_stats",
            jem_train_step(model, o, sampler, NULL, &batch, &no_size));
    REFUSED(JEM_EMISMATCH, "optimizer", jem_train_step(deeper, o, sampler, NULL, &batch, NULL));
    REFUSED(JEM_EMISMATCH, "optimizer", jem_train_step(wider, o, of_wider, NULL, &batch, NULL));
    REFUSED(JEM_EMISMATCH, "sampler", jem_train_step(model, o, of_wider, NULL, &batch, NULL));
    config.w_px = config.w_pyx = config.energy_l2 = 0.0f;
    REFUSED(JEM_EINVAL, "w_px", jem_train_step(model, o, sampler, &config, &batch, NULL));
    batch.y_labelled = bad;
    REFUSED(JEM_EINVAL, "y_labelled is 3", jem_train_step(model, o, sampler, NULL, &batch, NULL));
    batch = support_batch(1, nan_rows, labels);
    REFUSED(JEM_EINVAL, "x_labelled is nan", jem_train_step(model, o, sampler, NULL, &batch, NULL));
    batch = support_batch(ROWS, x, labels);
    batch.x_samples = x;
    REFUSED(JEM_EINVAL, "n_samples is 0", jem_train_step(model, o, sampler, NULL, &batch, NULL));
    batch.n_samples = ROWS;
    batch.y_samples = bad;
    REFUSED(JEM_EINVAL, "y_samples is 3", jem_train_step(model, o, sampler, NULL, &batch, NULL));
    batch.y_samples = NULL;
    config.w_pxy = 1.0f;
    REFUSED(JEM_EINVAL, "y_samples", jem_train_step(model, o, sampler, &config, &batch, NULL));
    batch.n_samples = 1;
    batch.x_samples = nan_rows;
    REFUSED(JEM_EINVAL, "x_samples is nan", jem_train_step(model, o, sampler, NULL, &batch, NULL));
    REFUSED(JEM_EINVAL, "optimizer", jem_optimizer_set_lr(NULL, 0.1f));
    REFUSED(JEM_EINVAL, "lr is 0", jem_optimizer_set_lr(o, 0.0f));
    REFUSED(JEM_EINVAL, "lr is nan", jem_optimizer_set_lr(o, NAN));
    REFUSED(JEM_EINVAL, "optimizer", jem_optimizer_get(NULL, NULL, NULL));
    jem_sampler_destroy(of_wider);
    jem_sampler_destroy(unfitted);
    jem_model_destroy(deeper);
    jem_model_destroy(wider);
}
END_TEST

START_TEST(test_optimizer_create)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    REFUSED(JEM_EINVAL, "out is NULL", jem_optimizer_create(NULL, model, &config));
    jem_optimizer *made = optimizer;
    REFUSED(JEM_EINVAL, "model is NULL", jem_optimizer_create(&made, NULL, &config));
    ck_assert_ptr_null(made);
    made = optimizer;
    REFUSED(JEM_EINVAL, "config is NULL", jem_optimizer_create(&made, model, NULL));
    ck_assert_ptr_null(made);
}
END_TEST

// ---- sizes --------------------------------------------------------------------------------------

START_TEST(test_input_sizes)
{
    const config_row *config = &configs[_i];
    const size_t refused[] = {0, 1, sizeof(size_t), ROOM, SIZE_MAX};
    _Alignas(16) unsigned char bytes[ROOM];
    for (int i = 0; i < COUNT(refused); i++) {
        MUST(config->init(bytes, config->size));
        memcpy(bytes, &refused[i], sizeof refused[i]);
        REFUSED(JEM_EINVAL, config->name, config->use(bytes));
        REFUSED(JEM_EINVAL, "struct_size", config->use(bytes));
    }
    const size_t larger = config->size + 24;
    MUST(config->init(bytes, larger));
    MUST(config->use(bytes)); // of a newer header, its new fields at 0
    bytes[larger - 1] = 1;
    REFUSED(JEM_EUNSUPPORTED, config->name, config->use(bytes));
    bytes[larger - 1] = 0;
    bytes[config->size] = 1;
    REFUSED(JEM_EUNSUPPORTED, "does not know", config->use(bytes));
}
END_TEST

START_TEST(test_init)
{
    const config_row *config = &configs[_i];
    _Alignas(16) unsigned char bytes[ROOM], plain[ROOM];
    REFUSED(JEM_EINVAL, config->name, config->init(NULL, config->size));
    REFUSED(JEM_EINVAL, "struct_size", config->init(bytes, 0));
    REFUSED(JEM_EINVAL, "struct_size", config->init(bytes, sizeof(size_t)));
    REFUSED(JEM_EINVAL, "struct_size", config->init(bytes, ROOM));
    memset(bytes, 0x5a, sizeof bytes);
    MUST(config->init(plain, config->size));
    MUST(config->init(bytes, config->size + 40));
    support_same_bits(bytes + sizeof(size_t), plain + sizeof(size_t), config->size - sizeof(size_t),
                      "defaults in a larger struct");
    for (size_t i = 0; i < 40; i++)
        ck_assert_msg(bytes[config->size + i] == 0, "%s: tail byte %zu", config->name, i);
    ck_assert_uint_eq(bytes[config->size + 40], 0x5a);
    memset(bytes, 0x5a, sizeof bytes);
    MUST(config->init(bytes, config->size - 8)); // an older header's
    ck_assert_uint_eq(bytes[config->size - 8], 0x5a);
}
END_TEST

static jem_status get_info(void *out)
{
    return jem_model_get_info(model, out);
}

static jem_status get_tensor(void *out)
{
    return jem_model_tensor(model, 1, out);
}

static jem_status get_classification(void *out)
{
    return jem_classification_metrics(ROWS, CLASSES, x, labels, 1.0, 15, out);
}

static jem_status get_classification_low(void *out)
{
    jem_classification high = {.struct_size = sizeof high};
    return jem_classification_intervals(ROWS, CLASSES, x, labels, 1.0, 15, NULL, out, &high);
}

static jem_status get_detection(void *out)
{
    return jem_detection_metrics(ROWS, x, ROWS, x + ROWS, 0.95, out);
}

static jem_status get_detection_high(void *out)
{
    jem_detection low = {.struct_size = sizeof low};
    return jem_detection_intervals(ROWS, x, ROWS, x + ROWS, 0.95, NULL, &low, out);
}

static jem_status get_selection(void *out)
{
    static const float loss[ROWS] = {0, 1, 0.5f, 0};
    return jem_selective_metrics(ROWS, x, loss, out);
}

static jem_status get_stats(void *out)
{
    const jem_train_batch batch = support_batch(ROWS, x, labels);
    return jem_train_step(model, optimizer, sampler, NULL, &batch, out);
}

static jem_status get_preset(void *out)
{
    return jem_preset(model, JEM_PRESET_SAFE, NULL, NULL, NULL, out);
}

typedef struct output_row {
    const char *name;
    size_t size;
    jem_status (*get)(void *out);
    size_t head; /* bytes that two calls give alike */
} output_row;

static const output_row outputs[] = {
    {"jem_model_info", sizeof(jem_model_info), get_info, sizeof(jem_model_info)},
    {"jem_tensor_info", sizeof(jem_tensor_info), get_tensor, sizeof(jem_tensor_info)},
    {"jem_classification", sizeof(jem_classification), get_classification,
     sizeof(jem_classification)},
    {"jem_classification", sizeof(jem_classification), get_classification_low,
     sizeof(jem_classification)},
    {"jem_detection", sizeof(jem_detection), get_detection, sizeof(jem_detection)},
    {"jem_detection", sizeof(jem_detection), get_detection_high, sizeof(jem_detection)},
    {"jem_selection", sizeof(jem_selection), get_selection, sizeof(jem_selection)},
    {"jem_train_stats", sizeof(jem_train_stats), get_stats, sizeof(size_t)},
    {"jem_preset_info", sizeof(jem_preset_info), get_preset, sizeof(jem_preset_info)},
};

START_TEST(test_output_sizes)
{
    const output_row *row = &outputs[_i];
    const size_t refused[] = {0, sizeof(size_t), ROOM};
    _Alignas(16) unsigned char bytes[ROOM] = {0}, plain[ROOM] = {0};
    for (int i = 0; i < COUNT(refused); i++) {
        memcpy(bytes, &refused[i], sizeof refused[i]);
        REFUSED(JEM_EINVAL, row->name, row->get(bytes));
    }
    memcpy(plain, &row->size, sizeof row->size);
    MUST(row->get(plain));
    const size_t sizes[] = {row->size - 8, row->size, row->size + 40};
    for (int i = 0; i < COUNT(sizes); i++) {
        memset(bytes, 0x5a, sizeof bytes);
        memcpy(bytes, &sizes[i], sizeof sizes[i]);
        MUST(row->get(bytes));
        const size_t head = row->head < sizes[i] ? row->head : sizes[i];
        ck_assert_msg(memcmp(bytes, &sizes[i], sizeof(size_t)) == 0, "%s: its size", row->name);
        support_same_bits(bytes + sizeof(size_t), plain + sizeof(size_t), head - sizeof(size_t),
                          row->name);
        for (size_t at = row->size; at < sizes[i]; at++)
            ck_assert_msg(bytes[at] == 0, "%s: tail byte %zu", row->name, at);
        ck_assert_msg(bytes[sizes[i]] == 0x5a, "%s: written beyond its end", row->name);
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_fields);
    tcase_add_test(tcase, test_train_step_arguments);
    tcase_add_test(tcase, test_optimizer_create);
    tcase_add_loop_test(tcase, test_input_sizes, 0, COUNT(configs));
    tcase_add_loop_test(tcase, test_init, 0, COUNT(configs));
    tcase_add_loop_test(tcase, test_output_sizes, 0, COUNT(outputs));
}

int main(void)
{
    return support_main("API structs", add_tests);
}
