/*
 * Fuzzing of checkpoints. The first byte of an input says into which of a few runs it is loaded. A
 * refusal leaves every handle as it was; what is accepted is a state that a run can have, and the
 * run goes on from it.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "ebm/sampler.h"
#include "frame.h"
#include "io/digest.h"
#include "train/guard.h"

enum { FEATURES = 3, CLASSES = 2, CAPACITY = 4, ROWS = 4, N_RUNS = 4 };

typedef struct fuzz_run {
    jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler; /* NULL = none */
} fuzz_run;

static fuzz_run runs[N_RUNS];
static char folder[] = "/tmp/jem-fuzz-XXXXXX";

static const float rows[ROWS * FEATURES] = {0.1f, 0.2f, -0.3f, 0.4f,  -0.5f, 0.6f,
                                            0.7f, 0.8f, 0.9f,  -1.0f, 0.0f,  0.5f};
static const int64_t labels[ROWS] = {0, 1, 1, 0};

static const struct {
    const char *arch;
    int32_t optimizer, start;
    float average;
} recipes[N_RUNS] = {
    {"mlp-2", JEM_OPTIMIZER_ADAM, JEM_START_MIXTURE, 0.9f},
    {"mlp-2:norm=batch", JEM_OPTIMIZER_SGD, JEM_START_UNIFORM, 0.9f},
    {"mlp-2", JEM_OPTIMIZER_ADAM, JEM_START_DATA, 0.0f},
    {"mlp-2", JEM_OPTIMIZER_ADAM, 0, 0.0f},
};

static void create(int i)
{
    jem_exec_config exec;
    jem_model_config model;
    jem_optimizer_config optimizer;
    jem_sampler_config sampler;
    MUST(jem_exec_config_init(&exec, sizeof exec) == JEM_OK);
    MUST(jem_model_config_init(&model, sizeof model) == JEM_OK);
    MUST(jem_optimizer_config_init(&optimizer, sizeof optimizer) == JEM_OK);
    MUST(jem_sampler_config_init(&sampler, sizeof sampler) == JEM_OK);
    exec.backend = JEM_BACKEND_REF;
    exec.threads = 1;
    model.arch = recipes[i].arch;
    model.channels = FEATURES;
    model.classes = CLASSES;
    optimizer.kind = recipes[i].optimizer;
    optimizer.ema_decay = recipes[i].average;
    MUST(jem_model_create(&runs[i].model, &model, &exec) == JEM_OK);
    MUST(jem_optimizer_create(&runs[i].optimizer, runs[i].model, &optimizer) == JEM_OK);
    if (recipes[i].start == 0)
        return;
    sampler.capacity = CAPACITY;
    sampler.steps = 2;
    sampler.start = recipes[i].start;
    sampler.start_rank = recipes[i].start == JEM_START_MIXTURE;
    MUST(jem_sampler_create(&runs[i].sampler, runs[i].model, &sampler) == JEM_OK);
    MUST(jem_sampler_fit(runs[i].sampler, ROWS, rows, labels, NULL, NULL) == JEM_OK);
}

static jem_status step(const fuzz_run *run)
{
    jem_train_config config;
    jem_train_batch batch;
    MUST(jem_train_config_init(&config, sizeof config) == JEM_OK);
    MUST(jem_train_batch_init(&batch, sizeof batch) == JEM_OK);
    if (run->sampler == NULL)
        config.w_px = config.energy_l2 = 0.0f;
    config.guard = 1;
    config.guard_every = 2;
    batch.n_labelled = ROWS;
    batch.x_labelled = rows;
    batch.y_labelled = labels;
    return jem_train_step(run->model, run->optimizer, run->sampler, &config, &batch, NULL);
}

// ---- what a state is ---------------------------------------------------------------------------

static uint64_t hash_of(const fuzz_run *run)
{
    const jem_optimizer *optimizer = run->optimizer;
    const int64_t count = jemi_model_size(run->model);
    float params[64];
    MUST(count <= 64);
    jemi_model_read_params(run->model, 0, count, params);
    uint64_t hash = jemi_digest(0, params, (size_t)count * sizeof *params);
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(optimizer, vectors);
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++)
        if (vectors[i].values != NULL)
            hash = jemi_digest(hash, vectors[i].values, (size_t)vectors[i].count * sizeof(float));
    hash = jemi_digest(hash, &optimizer->steps, sizeof optimizer->steps);
    hash = jemi_digest(hash, &optimizer->config.lr, sizeof optimizer->config.lr);
    hash = jemi_digest(hash, &optimizer->epoch, sizeof optimizer->epoch);
    hash = jemi_digest(hash, &optimizer->guard, sizeof optimizer->guard);
    if (run->sampler == NULL)
        return hash;
    const jem_sampler *sampler = run->sampler;
    hash = jemi_digest(hash, &sampler->draws, sizeof sampler->draws);
    hash = jemi_digest(hash, &sampler->version, sizeof sampler->version);
    hash = jemi_digest(hash, sampler->ages, CAPACITY * sizeof *sampler->ages);
    return jemi_digest(hash, sampler->chains, CAPACITY * FEATURES * sizeof(float));
}

static void check_finite(const float *values, int64_t count, float low)
{
    for (int64_t i = 0; values != NULL && i < count; i++)
        MUST(isfinite(values[i]) && values[i] >= low);
}

static void check_state(const fuzz_run *run)
{
    const jem_optimizer *optimizer = run->optimizer;
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(optimizer, vectors);
    check_finite(vectors[0].values, vectors[0].count, -INFINITY);
    check_finite(vectors[1].values, vectors[1].count, 0.0f);
    check_finite(vectors[2].values, vectors[2].count, -INFINITY);
    MUST(optimizer->steps >= 0 && optimizer->config.lr > 0.0f && isfinite(optimizer->config.lr));
    MUST(optimizer->progress >= 0.0f && optimizer->progress <= 1.0f);
    const jemi_guard *guard = optimizer->guard;
    if (guard != NULL)
        MUST(guard->good >= 0 && guard->good <= guard->n_means && guard->tries >= 0 &&
             guard->tries <= 1000);
    if (run->sampler == NULL)
        return;
    check_finite(run->sampler->chains, CAPACITY * FEATURES, -INFINITY);
    for (int i = 0; i < CAPACITY && run->sampler->filled; i++)
        MUST(run->sampler->ages[i] >= 0 &&
             (uint64_t)run->sampler->ages[i] <= run->sampler->slot_steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const fuzz_run *run = &runs[data[0] % N_RUNS];
    size_t file_size;
    uint8_t *file = frame_make(data + 1, size - 1, &file_size);
    const uint64_t before = hash_of(run);
    const jem_status status =
        jem_checkpoint_load(frame_path(file, file_size), run->model, run->optimizer, run->sampler);
    if (status == JEM_OK) {
        fuzz_accepted++;
        check_state(run);
        if (fuzz_accepted % 8 == 0) {
            const jem_status stepped = step(run);
            MUST(stepped == JEM_OK || stepped == JEM_EDIVERGED);
        }
    } else {
        MUST(status == JEM_EFORMAT || status == JEM_EMISMATCH || status == JEM_EUNSUPPORTED);
        MUST(*jem_last_error() != '\0' && hash_of(run) == before);
    }
    free(file);
    return 0;
}

// ---- seeds -------------------------------------------------------------------------------------

// Seeds 0 .. N_RUNS-1 are of new runs, the others have snapshots, chains and a note.
static bool make_seed(int i, fuzz_input *seed)
{
    static uint8_t bytes[1 << 16];
    char path[64];
    const int which = i % N_RUNS;
    const fuzz_run *run = &runs[which];
    if (i == 0)
        MUST(mkdtemp(folder) != NULL);
    if (i < N_RUNS)
        create(i);
    if (i == 2 * N_RUNS) {
        rmdir(folder);
        return false;
    }
    for (int k = 0; i >= N_RUNS && k < 6; k++)
        MUST(step(run) == JEM_OK);
    if (i >= N_RUNS)
        MUST(jem_optimizer_set_note(run->optimizer, "note") == JEM_OK);
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    MUST(jem_checkpoint_save(path, run->model, run->optimizer, run->sampler) == JEM_OK);
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    fuzz_input inner = {.bytes = seed->bytes + 1};
    frame_undo(bytes, fread(bytes, 1, sizeof bytes, file), &inner);
    fclose(file);
    unlink(path);
    seed->bytes[0] = (uint8_t)('0' + which);
    seed->size = inner.size + 1;
    return true;
}

// Refused for its metadata, which is read in full before.
static void make_large(size_t size, fuzz_input *large)
{
    fuzz_input inner = {.bytes = large->bytes + 1};
    frame_large(size - 1,
                "{\"__metadata__\":{\"jem.digest.kind\":\"crc64-xz\",\"jem.digest\":"
                "\"0000000000000000\",\"jem.checkpoint\":\"3\",",
                &inner);
    large->bytes[0] = '0';
    large->size = inner.size + 1;
}

const fuzz_target fuzz_this = {"fuzz_checkpoint", make_seed, make_large, frame_words};
