/*
 * The last link of the oracle chain: what PyTorch computed (make_goldens.py tells how) proves the
 * whole library, through its public functions, on every backend and at several thread counts.
 *
 * A file of tests/golden/data holds initial parameters, inputs, expected values, and, as strings,
 * the network, the optimizer and the weights of the loss. Nothing of it is repeated here; here are
 * the tolerances. Their base: PyTorch's own float32 deviates from its float64 by up to 6e-7 of an
 * array's largest value in forward passes and input gradients, by 3e-7 in loss terms, and by 3e-6
 * in the parameters after ten steps (where Adam divides small gradients by their own size).
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <jem/jem.h>

#include "backend/backend.h"
#include "io/safetensors.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// Another order of sums, exp by another polynomial and Winograd transforms cost up to ten times
// what PyTorch's float32 loses; a wrong factor in any place shows at 1e-3 and more.
static const double FORWARD_TOLERANCE = 1e-5;
// Of max(|value|, 1): f, and with it every term, is a mean of numbers of size 1.
static const double STATS_TOLERANCE = 5e-6;
// Ten times 3e-6; in ten steps the parameters move by a tenth of their largest value and more.
static const double FINAL_TOLERANCE = 3e-5;
// A quotient of small whole numbers, and a product of three floats.
static const double EXACT_TOLERANCE = 1e-6;

enum { STEPS = 10 };

static const char *const cases[] = {
    "mlp",        "mlp-silu",        "cnn",           "cnn-elu",   "wrn",       "mlp-relu",
    "mlp-tanh",   "energy-softplus", "cnn-spectral",  "mlp-batch", "cnn-batch", "mlp-layer",
    "cnn-group",  "cnn-instance",    "sam-sgd",       "asam-sgd",  "sam-adam",  "asam-adam",
    "cosine-ema", "sam-batch",       "asam-spectral", "joint",
};

typedef struct run {
    const char *name;
    int32_t backend, threads;
} run;

static const run runs[] = {
    {"ref, 1 thread", JEM_BACKEND_REF, 1},       {"ref, 3 threads", JEM_BACKEND_REF, 3},
    {"native, 1 thread", JEM_BACKEND_NATIVE, 1}, {"native, 3 threads", JEM_BACKEND_NATIVE, 3},
#if JEM_HAVE_ONEDNN
    {"onednn, 1 thread", JEM_BACKEND_ONEDNN, 1}, {"onednn, 3 threads", JEM_BACKEND_ONEDNN, 3},
#endif
};

static void must(jem_status status)
{
    ck_assert_msg(status == JEM_OK, "%s: %s", jem_status_string(status), jem_last_error());
}

/* ---- the file ------------------------------------------------------------------------------- */

typedef struct golden {
    const char *name; /* of case and run, for messages */
    char label[80], path[512];
    jemi_safetensors file;
    int64_t row_len;
} golden;

static golden golden_open(const char *name, const run *r)
{
    golden g = {.name = name};
    snprintf(g.label, sizeof g.label, "%s (%s)", name, r->name);
    snprintf(g.path, sizeof g.path, "%s/%s.safetensors", JEM_TEST_DATA, name);
    must(jemi_safetensors_read(g.path, &g.file));
    return g;
}

static const char *text_of(const golden *g, const char *key)
{
    const char *text = jemi_safetensors_metadata(&g->file, key);
    ck_assert_msg(text != NULL, "%s has no metadata %s", g->name, key);
    return text;
}

static double number_of(const golden *g, const char *key)
{
    char *end;
    const double number = strtod(text_of(g, key), &end);
    ck_assert_msg(*end == '\0', "%s: %s is no number", g->name, key);
    return number;
}

// What most cases leave alone; then the file does not mention it.
static double optional_number(const golden *g, const char *key, double otherwise)
{
    return jemi_safetensors_metadata(&g->file, key) != NULL ? number_of(g, key) : otherwise;
}

static const jemi_safetensor *tensor_of(const golden *g, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return jemi_safetensors_find(&g->file, full);
}

// A float array of the file; NULL when there is none. The caller frees it.
static float *floats_of(const golden *g, const char *prefix, const char *name, int64_t *count)
{
    const jemi_safetensor *tensor = tensor_of(g, prefix, name);
    *count = tensor != NULL ? tensor->count : 0;
    if (tensor == NULL)
        return NULL;
    float *values = malloc((size_t)tensor->count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    must(jemi_safetensors_to_float(tensor, values));
    return values;
}

static int64_t *labels_of(const golden *g, const char *name)
{
    const jemi_safetensor *tensor = tensor_of(g, "golden.", name);
    if (tensor == NULL)
        return NULL;
    int64_t *values = malloc((size_t)tensor->count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    must(jemi_safetensors_to_int64(tensor, values));
    return values;
}

// Each value within `tolerance` of the array's largest, or of `scale_min` where that is more.
static void compare(const golden *g, const char *prefix, const char *name, int64_t count,
                    const float *found, double tolerance, double scale_min)
{
    int64_t expected_count;
    float *expected = floats_of(g, prefix, name, &expected_count);
    ck_assert_msg(expected != NULL && expected_count == count, "%s: %s%s", g->label, prefix, name);
    double scale = scale_min;
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs((double)expected[i]));
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)found[i] - (double)expected[i]) <= tolerance * scale,
                      "%s: %s%s[%lld] is %.9g, expected %.9g; off by %.1e of %.3g", g->label,
                      prefix, name, (long long)i, (double)found[i], (double)expected[i],
                      fabs((double)found[i] - (double)expected[i]) / scale, scale);
    free(expected);
}

// A model of the file's network with the file's parameters in place of its own.
static jem_model *make_model(golden *g, const run *r)
{
    jem_model_config config;
    must(jem_model_config_init(&config, sizeof config));
    config.arch = text_of(g, "arch");
    config.channels = (int32_t)number_of(g, "channels");
    config.height = (int32_t)number_of(g, "height");
    config.width = (int32_t)number_of(g, "width");
    config.classes = (int32_t)number_of(g, "classes");
    config.seed = 99;
    jem_exec_config exec;
    must(jem_exec_config_init(&exec, sizeof exec));
    exec.backend = r->backend;
    exec.threads = r->threads;
    jem_model *model;
    must(jem_model_create(&model, &config, &exec));

    jem_model_info info = {.struct_size = sizeof info};
    must(jem_model_get_info(model, &info));
    int32_t matched;
    must(jem_model_load_matching(model, g->path, &matched));
    ck_assert_msg(matched == info.tensor_count, "%s: %d of %d tensors", g->label, (int)matched,
                  (int)info.tensor_count);
    g->row_len = info.input_size;
    return model;
}

/* ---- forward passes and input gradients ----------------------------------------------------- */

static void compare_forward(const golden *g, const char *name, int64_t count, const float *found)
{
    compare(g, "golden.", name, count, found, FORWARD_TOLERANCE, 0.0);
}

static void compare_energies(const golden *g, const jem_model *model, int64_t n, const float *x,
                             const int64_t *labels, const char *name, const char *grad_name)
{
    float *energy = malloc((size_t)n * sizeof *energy);
    float *grad = malloc((size_t)(n * g->row_len) * sizeof *grad);
    must(jem_energy(model, n, x, labels, energy));
    compare_forward(g, name, n, energy);
    memset(energy, 0, (size_t)n * sizeof *energy);
    must(jem_energy_grad(model, n, x, labels, energy, grad));
    compare_forward(g, name, n, energy);
    compare_forward(g, grad_name, n * g->row_len, grad);
    free(energy);
    free(grad);
}

// Values of a cut and the product of the file's cotangents with their Jacobian.
static void compare_vjp(const golden *g, const jem_model *model, int64_t n, const float *x,
                        const char *values_name, const char *cotangents_name, const char *dx_name,
                        jem_status (*vjp)(const jem_model *, int64_t, const float *, const float *,
                                          float *, float *))
{
    int64_t count;
    float *cotangents = floats_of(g, "golden.", cotangents_name, &count);
    ck_assert_msg(cotangents != NULL, "%s: no %s", g->label, cotangents_name);
    float *values = malloc((size_t)count * sizeof *values);
    float *dx = malloc((size_t)(n * g->row_len) * sizeof *dx);
    must(vjp(model, n, x, cotangents, values, dx));
    compare_forward(g, values_name, count, values);
    compare_forward(g, dx_name, n * g->row_len, dx);
    free(cotangents);
    free(values);
    free(dx);
}

typedef struct score_row {
    const char *name;
    int32_t kind;
} score_row;

static const score_row scores[] = {
    {"energy", JEM_SCORE_ENERGY},
    {"max_softmax", JEM_SCORE_MAX_SOFTMAX},
    {"gradient_norm", JEM_SCORE_GRADIENT_NORM},
};

START_TEST(test_forward)
{
    const run *r = &runs[_i % COUNT(runs)];
    golden g = golden_open(cases[_i / COUNT(runs)], r);
    jem_model *model = make_model(&g, r);
    int64_t x_count;
    float *x = floats_of(&g, "golden.", "x", &x_count);
    int64_t *y = labels_of(&g, "y");
    const int64_t n = x_count / g.row_len;
    const int64_t n_logits = n * (int64_t)number_of(&g, "classes");
    ck_assert_msg(n > 1 && y != NULL, "%s: no inputs", g.label);

    float *out = malloc((size_t)n_logits * sizeof *out);
    must(jem_logits(model, n, x, out));
    compare_forward(&g, "logits", n_logits, out);
    compare_energies(&g, model, n, x, NULL, "energy", "energy_grad");
    compare_energies(&g, model, n, x, y, "energy_xy", "energy_xy_grad");
    compare_vjp(&g, model, n, x, "logits", "dlogits", "logits_vjp", jem_vjp);
    compare_vjp(&g, model, n, x, "features", "dfeatures", "features_vjp", jem_features_vjp);
    for (int i = 0; i < COUNT(scores); i++) {
        must(jem_score(model, scores[i].kind, NULL, n, x, out));
        compare_forward(&g, scores[i].name, n, out);
    }
    free(out);
    free(x);
    free(y);
    jem_model_destroy(model);
    jemi_safetensors_fini(&g.file);
}
END_TEST

/* ---- ten training steps --------------------------------------------------------------------- */

typedef struct stats_row {
    const char *name;
    size_t offset;
    const double *tolerance;
} stats_row;

#define STATS_ROW(field, tolerance)                                                                \
    {                                                                                              \
#field, offsetof(jem_train_stats, field), &tolerance                                       \
    }

// All of them double.
static const stats_row stats_rows[] = {
    STATS_ROW(loss, STATS_TOLERANCE),      STATS_ROW(loss_px, STATS_TOLERANCE),
    STATS_ROW(loss_pyx, STATS_TOLERANCE),  STATS_ROW(loss_l2, STATS_TOLERANCE),
    STATS_ROW(f_data, STATS_TOLERANCE),    STATS_ROW(f_samples, STATS_TOLERANCE),
    STATS_ROW(gap, STATS_TOLERANCE),       STATS_ROW(accuracy, EXACT_TOLERANCE),
    STATS_ROW(grad_norm, STATS_TOLERANCE), STATS_ROW(loss_pxy, STATS_TOLERANCE),
};

static void read_schedule(const golden *g, jem_optimizer_config *config)
{
    const char *schedule = jemi_safetensors_metadata(&g->file, "schedule");
    if (schedule == NULL)
        return;
    ck_assert(strcmp(schedule, "step") == 0 || strcmp(schedule, "cosine") == 0);
    config->schedule = strcmp(schedule, "step") == 0 ? JEM_SCHEDULE_STEP : JEM_SCHEDULE_COSINE;
    config->total_steps = (int64_t)number_of(g, "total_steps");
    config->lr_factor = (float)optional_number(g, "lr_factor", 1.0);
    config->lr_floor = (float)optional_number(g, "lr_floor", 0.0);
    const char *text = jemi_safetensors_metadata(&g->file, "milestones");
    for (int i = 0; text != NULL && *text != '\0'; i++) {
        char *end;
        config->milestones[i] = strtof(text, &end);
        ck_assert_msg(end != text, "%s: milestones", g->name);
        text = end;
    }
}

static jem_optimizer *make_optimizer(const golden *g, const jem_model *model)
{
    jem_optimizer_config config;
    must(jem_optimizer_config_init(&config, sizeof config));
    config.sam_rho = (float)optional_number(g, "sam_rho", 0.0);
    config.sam_adaptive = (int32_t)optional_number(g, "sam_adaptive", 0.0);
    config.ema_decay = (float)optional_number(g, "ema_decay", 0.0);
    read_schedule(g, &config);
    const char *kind = text_of(g, "kind");
    ck_assert(strcmp(kind, "adam") == 0 || strcmp(kind, "sgd") == 0);
    config.kind = strcmp(kind, "sgd") == 0 ? JEM_OPTIMIZER_SGD : JEM_OPTIMIZER_ADAM;
    config.lr = (float)number_of(g, "lr");
    config.beta1 = (float)number_of(g, "beta1");
    config.beta2 = (float)number_of(g, "beta2");
    config.eps = (float)number_of(g, "eps");
    config.momentum = (float)number_of(g, "momentum");
    config.weight_decay = (float)number_of(g, "weight_decay");
    config.clip_norm = (float)number_of(g, "clip_norm");
    config.warmup_steps = (int64_t)number_of(g, "warmup_steps");
    jem_optimizer *optimizer;
    must(jem_optimizer_create(&optimizer, model, &config));
    return optimizer;
}

typedef struct batch_arrays {
    float *x_labelled, *x_data, *x_samples;
    int64_t *y_labelled, *y_samples;
} batch_arrays;

static jem_train_batch make_batch(const golden *g, batch_arrays *arrays)
{
    jem_train_batch batch;
    must(jem_train_batch_init(&batch, sizeof batch));
    batch.x_labelled = arrays->x_labelled =
        floats_of(g, "golden.", "x_labelled", &batch.n_labelled);
    batch.x_data = arrays->x_data = floats_of(g, "golden.", "x_data", &batch.n_data);
    batch.x_samples = arrays->x_samples = floats_of(g, "golden.", "x_samples", &batch.n_samples);
    batch.y_labelled = arrays->y_labelled = labels_of(g, "y_labelled");
    batch.y_samples = arrays->y_samples = labels_of(g, "y_samples");
    batch.n_labelled /= g->row_len;
    batch.n_data /= g->row_len;
    batch.n_samples /= g->row_len;
    ck_assert_msg(batch.n_samples > 0, "%s: no samples", g->label);
    return batch;
}

static jem_train_config make_train_config(const golden *g)
{
    jem_train_config config;
    must(jem_train_config_init(&config, sizeof config));
    config.w_px = (float)number_of(g, "w_px");
    config.w_pyx = (float)number_of(g, "w_pyx");
    config.w_pxy = (float)optional_number(g, "w_pxy", 0.0);
    config.energy_l2 = (float)number_of(g, "energy_l2");
    config.input_noise = 0.0f;
    return config;
}

static void compare_stats(const golden *g, const jem_train_stats history[STEPS])
{
    float found[STEPS];
    for (int i = 0; i < COUNT(stats_rows); i++) {
        const stats_row *row = &stats_rows[i];
        if (strcmp(row->name, "loss_pxy") == 0 && tensor_of(g, "golden.", "y_samples") == NULL)
            continue; // the file has none, as it is 0
        for (int step = 0; step < STEPS; step++) {
            double value;
            memcpy(&value, (const char *)&history[step] + row->offset, sizeof value);
            found[step] = (float)value;
        }
        compare(g, "golden.stats.", row->name, STEPS, found, *row->tolerance, 1.0);
    }
    for (int step = 0; step < STEPS; step++)
        found[step] = history[step].lr;
    compare(g, "golden.stats.", "lr", STEPS, found, EXACT_TOLERANCE, 0.0);
}

static void compare_final(const golden *g, const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    must(jem_model_get_info(model, &info));
    for (int32_t i = 0; i < info.tensor_count; i++) {
        jem_tensor_info tensor = {.struct_size = sizeof tensor};
        must(jem_model_tensor(model, i, &tensor));
        float *values = malloc((size_t)tensor.count * sizeof *values);
        must(jem_model_get_tensor(model, tensor.name, tensor.count, values));
        compare(g, "final.", tensor.name, tensor.count, values, FINAL_TOLERANCE, 0.0);
        free(values);
    }
}

// The average beside the parameters, where the case keeps one.
static void compare_ema(const golden *g, jem_optimizer *optimizer, const jem_model *model)
{
    if (jemi_safetensors_metadata(&g->file, "ema_decay") == NULL)
        return;
    jem_model_info info = {.struct_size = sizeof info};
    must(jem_model_get_info(model, &info));
    float *ema = malloc((size_t)info.param_count * sizeof *ema);
    must(jem_optimizer_get_ema(optimizer, info.param_count, ema));
    for (int32_t i = 0; i < info.tensor_count; i++) {
        jem_tensor_info tensor = {.struct_size = sizeof tensor};
        must(jem_model_tensor(model, i, &tensor));
        compare(g, "ema.", tensor.name, tensor.count, ema + tensor.offset, FINAL_TOLERANCE, 0.0);
    }
    free(ema);
}

START_TEST(test_ten_steps)
{
    const run *r = &runs[_i % COUNT(runs)];
    golden g = golden_open(cases[_i / COUNT(runs)], r);
    jem_model *model = make_model(&g, r);
    jem_optimizer *optimizer = make_optimizer(&g, model);
    batch_arrays arrays;
    const jem_train_batch batch = make_batch(&g, &arrays);
    const jem_train_config config = make_train_config(&g);

    jem_train_stats history[STEPS];
    for (int step = 0; step < STEPS; step++) {
        history[step] = (jem_train_stats){.struct_size = sizeof history[step]};
        must(jem_train_step(model, optimizer, NULL, &config, &batch, &history[step]));
        ck_assert_int_eq(history[step].step, step + 1);
    }
    compare_stats(&g, history);
    compare_final(&g, model);
    compare_ema(&g, optimizer, model);

    free(arrays.x_labelled);
    free(arrays.x_data);
    free(arrays.x_samples);
    free(arrays.y_labelled);
    free(arrays.y_samples);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
    jemi_safetensors_fini(&g.file);
}
END_TEST

/* ---- a step of JEM++'s chains --------------------------------------------------------------- */

// Chains move by their gradient, and that may be off by FORWARD_TOLERANCE of its largest element,
// which is 3.5 here.
static const double PYLD_TOLERANCE = 4e-5;

// Five inner steps of PYLD, as published, are one step of the preset's chains.
START_TEST(test_pyld)
{
    const run *r = &runs[_i];
    golden g = golden_open("pyld", r);
    jem_model *model = make_model(&g, r);
    jem_sampler_config config = {.struct_size = sizeof config};
    must(jem_preset(model, JEM_PRESET_JEMPP, &config, NULL, NULL, NULL));
    config.capacity = 1;
    jem_sampler *sampler;
    must(jem_sampler_create(&sampler, model, &config));
    int64_t count;
    float *x = floats_of(&g, "golden.", "x", &count);
    must(jem_sgld_step(model, sampler, count / g.row_len, NULL, x));
    compare(&g, "golden.", "moved", count, x, PYLD_TOLERANCE, 0.0);
    free(x);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    jemi_safetensors_fini(&g.file);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("golden");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_forward, 0, COUNT(cases) * COUNT(runs));
    tcase_add_loop_test(tcase, test_ten_steps, 0, COUNT(cases) * COUNT(runs));
    tcase_add_loop_test(tcase, test_pyld, 0, COUNT(runs));
    Suite *suite = suite_create("golden");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
