/*
 * What the native backend computes in f32 has the same bits on every instruction set, at every thread
 * count, on every machine: the numbers below, which stand for thousands of floats.
 *
 *     same_bits              on all sets that this processor has, by 1 and by 3 threads
 *     same_bits --networks   prints a digest for each network and set, to find what differs
 *
 * Without Check, so that it can be built for a processor that this machine only emulates. Inputs are
 * made in integers, as this file may be compiled with other flags than the library.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jem/jem.h>

#include "base/elementary.h"
#include "base/threads.h"
#include "kernels/isa.h"

// Of elementary functions in double, of metrics, of a monitor, of all networks together. The last two change when
// kernels, or their choice, do: that is a change for users, whose runs go on to other bits, and
// belongs into the changelog.
static const uint64_t elementary_bits = 0xa4dfd891331b6adcu, metrics_bits = 0x4b2d08fb43e4699bu;
static const uint64_t monitor_bits = 0x8f56123de2c2e9edu;
static const uint64_t scoring_bits = 0x7bb4620c3d38672eu, training_bits = 0xc160b111fa9ebbc1u;

enum { ROWS = 9, CLASSES = 5, CHAIN_STEPS = 2, TRAINING_STEPS = 2, BUFFER = 20 };

typedef struct network {
    const char *arch;
    int32_t channels, height, width;
    int32_t tuned_for; /* 0 = the default */
} network;

// Every kind of layer, curve and norm; shapes that fill vectors and tiles, and shapes that do not.
static const network scored[] = {
    {"mlp-67-20:act=tanh", 37, 1, 1, 0},
    {"mlp-48:norm=layer,act=silu", 19, 1, 1, 0},
    {"cnn-5-19:act=silu,norm=batch", 3, 9, 7, 0},
    {"cnn-33-17:act=elu", 5, 8, 11, 0},
    {"cnn-16-32:act=softplus,norm=group4", 1, 12, 13, 0},
    {"wrn-10-1", 1, 12, 12, 0},
    {"wrn-10-2:norm=batch,act=relu", 3, 8, 8, 0},
    {"wrn-10-1:norm=instance,act=silu", 4, 9, 14, 0},
    {"wrn-10-1:norm=spectral", 6, 8, 8, 0},
    {"wrn-10-1:act=elu", 3, 16, 12, JEM_TUNED_LATENCY},
};

static const network trained[] = {
    {"mlp-67-20:norm=batch,dropout=0.2", 37, 1, 1, 0},
    {"cnn-5-19:act=silu,norm=group1", 3, 9, 7, 0},
    {"wrn-10-1:norm=batch,dropout=0.1", 3, 8, 8, 0},
    {"wrn-10-1:norm=instance,act=elu", 1, 12, 12, 0},
    {"wrn-10-2:norm=spectral", 3, 8, 9, 0},
};

enum { SCORED = sizeof scored / sizeof scored[0], TRAINED = sizeof trained / sizeof trained[0] };

// ---- support -----------------------------------------------------------------------------------

static void must(jem_status status, const char *call)
{
    if (status == JEM_OK)
        return;
    fprintf(stderr, "same_bits: %s: %s\n", call, jem_last_error());
    exit(1);
}

#define MUST(call) must(call, #call)

static float *allocate(int64_t count)
{
    float *array = malloc((size_t)count * sizeof *array);
    if (array == NULL)
        exit(1);
    return array;
}

// -1 .. 1 in steps of 2^-15: every operation is exact.
static float *make_values(int64_t count, uint32_t state)
{
    float *values = allocate(count);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)((int32_t)(state >> 16) - 32768) * 0x1p-15f;
    }
    return values;
}

static void make_labels(int64_t labels[ROWS])
{
    for (int i = 0; i < ROWS; i++)
        labels[i] = i * i % CLASSES;
}

// FNV-1a (Fowler, Noll & Vo).
static void join(uint64_t *digest, const void *data, int64_t floats)
{
    const unsigned char *bytes = data;
    for (int64_t i = 0; i < 4 * floats; i++)
        *digest = (*digest ^ bytes[i]) * 1099511628211u;
}

static jem_model *make_model(const network *net, int32_t threads)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = net->arch;
    config.channels = net->channels;
    config.height = net->height;
    config.width = net->width;
    config.classes = CLASSES;
    config.seed = 3;
    jem_exec_config exec;
    MUST(jem_exec_config_init(&exec, sizeof exec));
    exec.backend = JEM_BACKEND_NATIVE;
    exec.threads = threads;
    exec.tuned_for = net->tuned_for != 0 ? net->tuned_for : exec.tuned_for;
    exec.precision_scoring = exec.precision_chains = exec.precision_training = JEM_PRECISION_F32;
    jem_model *model;
    MUST(jem_model_create(&model, &config, &exec));
    return model;
}

static jem_model_info info_of(const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    return info;
}

static jem_sampler *make_sampler(const jem_model *model, int32_t start, const float *x,
                                 const int64_t *labels)
{
    jem_sampler_config config;
    MUST(jem_sampler_config_init(&config, sizeof config));
    config.capacity = BUFFER;
    config.steps = CHAIN_STEPS;
    config.seed = 5;
    config.grad_clamp = 1.0f;
    config.x_low = -2.0f;
    config.x_high = 2.0f;
    config.start = start;
    config.start_rank = start == JEM_START_MIXTURE ? 2 : 0;
    config.class_conditional = start == JEM_START_MIXTURE;
    jem_sampler *sampler;
    MUST(jem_sampler_create(&sampler, model, &config));
    if (start == JEM_START_MIXTURE)
        MUST(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
    return sampler;
}

// ---- what is computed --------------------------------------------------------------------------

static void score(const jem_model *model, const float *x, uint64_t *digest)
{
    const jem_model_info info = info_of(model);
    float *logits = allocate(ROWS * CLASSES), *scores = allocate(ROWS);
    float *features = allocate(ROWS * info.feature_count);
    float *grad = allocate(ROWS * info.input_size);
    float *cotangent = make_values(ROWS * CLASSES, 11);
    MUST(jem_logits(model, ROWS, x, logits));
    join(digest, logits, ROWS * CLASSES);
    MUST(jem_energy_grad(model, ROWS, x, NULL, scores, grad));
    join(digest, scores, ROWS);
    join(digest, grad, ROWS * info.input_size);
    MUST(jem_vjp(model, ROWS, x, cotangent, NULL, grad));
    join(digest, grad, ROWS * info.input_size);
    MUST(jem_features(model, ROWS, x, features));
    join(digest, features, ROWS * info.feature_count);
    static const int32_t kinds[] = {JEM_SCORE_ENERGY, JEM_SCORE_MAX_SOFTMAX,
                                    JEM_SCORE_GRADIENT_NORM};
    for (int k = 0; k < 3; k++) {
        MUST(jem_score(model, kinds[k], NULL, ROWS, x, scores));
        join(digest, scores, ROWS);
    }
    free(logits);
    free(scores);
    free(features);
    free(grad);
    free(cotangent);
}

static void sample(const jem_model *model, float *x, uint64_t *digest)
{
    const int64_t count = ROWS * info_of(model).input_size;
    jem_sampler *sampler = make_sampler(model, JEM_START_UNIFORM, NULL, NULL);
    MUST(jem_sampler_run(model, sampler, ROWS, NULL, x, CHAIN_STEPS, NULL, NULL));
    join(digest, x, count);
    MUST(jem_sampler_draw(model, sampler, ROWS, x, NULL, NULL, NULL));
    join(digest, x, count);
    jem_sampler_destroy(sampler);
}

static uint64_t score_network(const network *net, int32_t threads)
{
    uint64_t digest = 14695981039346656037u;
    jem_model *model = make_model(net, threads);
    float *x = make_values(ROWS * info_of(model).input_size, 1);
    score(model, x, &digest);
    sample(model, x, &digest);
    free(x);
    jem_model_destroy(model);
    return digest;
}

// Adam with all that goes with it, or SGD.
static jem_optimizer *make_optimizer(const jem_model *model, bool adam)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.kind = adam ? JEM_OPTIMIZER_ADAM : JEM_OPTIMIZER_SGD;
    config.lr = 0.003f;
    config.clip_norm = 0.5f;
    config.warmup_steps = 2;
    config.schedule = JEM_SCHEDULE_COSINE;
    config.total_steps = 2 * TRAINING_STEPS;
    config.ema_decay = 0.9f;
    config.weight_decay = 0.01f;
    config.sam_rho = adam ? 0.05f : 0.0f;
    config.sam_adaptive = adam;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    return optimizer;
}

static jem_train_config make_terms(const jem_model *model)
{
    jem_train_config terms;
    MUST(jem_train_config_init(&terms, sizeof terms));
    terms.w_pxy = 0.5f;
    terms.guard = 1;
    if (info_of(model).height > 1)
        terms.augment_crop = terms.augment_flip = terms.augment_data = 1;
    return terms;
}

static uint64_t train_network(const network *net, int32_t threads)
{
    uint64_t digest = 14695981039346656037u;
    jem_model *model = make_model(net, threads);
    const jem_model_info info = info_of(model);
    float *x = make_values(ROWS * info.input_size, 7), *params = allocate(info.param_count);
    int64_t labels[ROWS];
    make_labels(labels);
    jem_sampler *sampler = make_sampler(model, JEM_START_MIXTURE, x, labels);
    jem_optimizer *optimizer = make_optimizer(model, (net - trained) % 2 == 0);
    const jem_train_config terms = make_terms(model);
    jem_train_batch batch;
    MUST(jem_train_batch_init(&batch, sizeof batch));
    batch.n_labelled = ROWS;
    batch.x_labelled = x;
    batch.y_labelled = labels;
    for (int step = 0; step < TRAINING_STEPS; step++)
        MUST(jem_train_step(model, optimizer, sampler, &terms, &batch, NULL));
    MUST(jem_model_get_params(model, info.param_count, params));
    join(&digest, params, info.param_count);
    MUST(jem_optimizer_get_ema(optimizer, info.param_count, params));
    join(&digest, params, info.param_count);
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    free(x);
    free(params);
    return digest;
}

// Rounded to floats, most differences between the C library's variants would vanish.
static uint64_t compute_elementary(void)
{
    uint64_t digest = 14695981039346656037u;
    for (int i = 0; i <= 20000; i++) {
        const double values[] = {jemi_exp(-i * 0x1p-8), jemi_exp(i * 0x1p-9),
                                 jemi_ln(i * 0x1p-7 + 1), jemi_power(1.0 - 0x1p-12, i),
                                 jemi_half_cosine(i * 0x1p-15)};
        join(&digest, values, 2 * sizeof values / sizeof values[0]);
    }
    return digest;
}

// All metrics, of the same values as logits, scores, losses and features.
static uint64_t compute_metrics(void)
{
    enum { N = 200, WIDTH = 24, BINS = 7 };
    uint64_t digest = 14695981039346656037u;
    float *x = make_values(2 * N * WIDTH, 11), *y = x + N * WIDTH, loss[N];
    int64_t labels[N], count[BINS], n_points;
    for (int i = 0; i < N; i++) {
        labels[i] = i * i % WIDTH;
        loss[i] = x[i] * x[i];
    }
    jem_classification c[3] = {
        {.struct_size = sizeof c[0]}, {.struct_size = sizeof c[0]}, {.struct_size = sizeof c[0]}};
    jem_detection d[3] = {
        {.struct_size = sizeof d[0]}, {.struct_size = sizeof d[0]}, {.struct_size = sizeof d[0]}};
    jem_selection s = {.struct_size = sizeof s};
    double curves[4][2 * N + 1] = {{0}}, bins[2][BINS], others[4];
    MUST(jem_classification_metrics(N, WIDTH, x, labels, 0.75, BINS, &c[0]));
    MUST(jem_classification_intervals(N, WIDTH, x, labels, 0.75, BINS, NULL, &c[1], &c[2]));
    MUST(jem_reliability(N, WIDTH, x, labels, 0.75, JEM_BINS_MASS, BINS, count, bins[0], bins[1]));
    MUST(jem_detection_metrics(N, x, N, y, 0.95, &d[0]));
    MUST(jem_detection_intervals(N, x, N, y, 0.95, NULL, &d[1], &d[2]));
    MUST(jem_roc_curve(N, x, N, y, 2 * N + 1, &n_points, curves[0], curves[1]));
    MUST(jem_selective_metrics(N, y, loss, &s));
    MUST(jem_risk_coverage_curve(N, y, loss, N, &n_points, curves[2], curves[3]));
    MUST(jem_frechet_distance(N, x, N / 10, y, WIDTH, &others[0]));
    MUST(jem_inception_score(N, WIDTH, x, &others[1]));
    MUST(jem_precision_recall(N, x, N, y, WIDTH, 3, &others[2], &others[3]));
    join(&digest, c, sizeof c / 4);
    join(&digest, d, sizeof d / 4);
    join(&digest, &s, sizeof s / 4);
    join(&digest, count, sizeof count / 4);
    join(&digest, bins, sizeof bins / 4);
    join(&digest, curves, sizeof curves / 4);
    join(&digest, others, sizeof others / 4);
    free(x);
    return digest;
}

// A monitor on both sides, with all that its calibration and a stream leave in it.
static uint64_t compute_monitor(void)
{
    enum { N = 300, STREAM = 2000 };
    uint64_t digest = 14695981039346656037u;
    float *x = make_values(N + STREAM, 12);
    uint8_t bytes[JEM_MONITOR_SNAPSHOT_BYTES];
    jem_monitor *monitor;
    jem_monitor_config config;
    jem_monitor_info info = {.struct_size = sizeof info};
    MUST(jem_monitor_config_init(&config, sizeof config));
    config.two_sided = 1;
    MUST(jem_monitor_create(&monitor, &config, N, x));
    MUST(jem_monitor_update(monitor, STREAM, x + N, NULL));
    MUST(jem_monitor_snapshot(monitor, sizeof bytes, bytes));
    MUST(jem_monitor_get_info(monitor, &info));
    join(&digest, bytes, sizeof bytes / 4);
    join(&digest, &info.log_evidence, sizeof info.log_evidence / 4);
    jem_monitor_destroy(monitor);
    free(x);
    return digest;
}

// ---- the comparison ----------------------------------------------------------------------------

typedef uint64_t (*compute_fn)(const network *net, int32_t threads);

static uint64_t digest_all(const network *nets, int count, compute_fn compute, int32_t threads,
                           bool tells)
{
    uint64_t all = 14695981039346656037u;
    for (int i = 0; i < count; i++) {
        const uint64_t one = compute(&nets[i], threads);
        join(&all, &one, 2);
        if (tells)
            printf("  %016" PRIx64 " %s\n", one, nets[i].arch);
    }
    return all;
}

static bool check(const char *what, int32_t threads, uint64_t found, uint64_t expected)
{
    printf("%s %s, %d threads: %016" PRIx64 "%s\n", jemi_isa_in_use(), what, (int)threads, found,
           found == expected ? "" : ", NOT as expected");
    return found == expected;
}

int main(int argc, char **argv)
{
    const bool tells = argc == 2 && strcmp(argv[1], "--networks") == 0;
    bool good = check("elementary functions", 1, compute_elementary(), elementary_bits);
    good &= check("monitor", 1, compute_monitor(), monitor_bits);
    for (int set = 0; set < jemi_isa_count(); set++) {
        jemi_isa_limit(jemi_isa_name(set));
        good &= check("metrics", jemi_threads_default(), compute_metrics(), metrics_bits);
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            good &= check("scoring", threads,
                          digest_all(scored, SCORED, score_network, threads, tells), scoring_bits);
            good &=
                check("training", threads,
                      digest_all(trained, TRAINED, train_network, threads, tells), training_bits);
            fflush(stdout);
        }
    }
    return good ? 0 : 1;
}
