/*
 * Threads: any number score on one model and get the bits that one thread gets; training goes on
 * beside them, each score being that of some whole set of parameters; who comes second to a writer
 * or a sampler is told so; chains do not depend on the OpenMP count. Where two calls must overlap,
 * a progress callback holds one of them until the other is done: no test waits for luck.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

enum { FEATURES = 6, CLASSES = 4, THREADS = 8, MOST_ROWS = 40 };

static const int64_t labels[MOST_ROWS] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};

static void start_threads(pthread_t *threads, int n, void *(*run)(void *), void *argument)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, argument), 0);
}

// Threads return NULL when all was well, else what was wrong: Check's asserts are for one thread.
static void join_threads(const pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        ck_assert_msg(fault == NULL, "thread %d: %s", i, (const char *)fault);
    }
}

// ---- many readers -------------------------------------------------------------------------------

enum { MOST_FLOATS = 64 }; // of a row

typedef struct network_row {
    const char *arch;
    int32_t channels, side; /* channels * side^2 <= MOST_FLOATS */
} network_row;

static const network_row dense = {"mlp-12-8", FEATURES, 1}, convolutions = {"wrn-10-1", 1, 8};

typedef struct readers {
    jem_model *model;
    const float *x;
    uint64_t expected[MOST_ROWS + 1]; /* hash of all outputs for n rows */
    int calls;
    atomic_int next_id;
} readers;

static jem_status hash_outputs(const jem_model *model, int64_t n, const float *x, uint64_t *hash)
{
    float out[3][MOST_ROWS * MOST_FLOATS] = {{0}};
    jem_status status = jem_logits(model, n, x, out[0]);
    if (status == JEM_OK)
        status = jem_energy_grad(model, n, x, labels, out[1] + 1, out[2]);
    if (status == JEM_OK)
        status = jem_score(model, JEM_SCORE_MAX_SOFTMAX, NULL, 1, x, out[1]);
    *hash = support_hash(out, sizeof out);
    return status;
}

static void *read_many(void *argument)
{
    readers *r = argument;
    const int id = atomic_fetch_add(&r->next_id, 1);
    for (int i = 0; i < r->calls; i++) {
        const int64_t n = 1 + (i * 7 + id * 5) % (MOST_ROWS / 2);
        uint64_t hash;
        if (hash_outputs(r->model, n, r->x, &hash) != JEM_OK)
            return "a call failed";
        if (hash != r->expected[n])
            return "other bits than one thread got";
    }
    return NULL;
}

static jem_model *make_network(const network_row *network, const jem_exec_config *exec)
{
    return support_image_model(network->arch, network->channels, network->side, CLASSES, exec);
}

static void check_readers(const network_row *network, const jem_exec_config *exec, int calls)
{
    readers r = {.calls = calls};
    r.model = make_network(network, exec);
    float *x = support_uniform(MOST_ROWS * MOST_FLOATS, 3);
    r.x = x;
    jem_model *serial = make_network(network, exec);
    for (int64_t n = 1; n <= MOST_ROWS / 2; n++)
        MUST(hash_outputs(serial, n, x, &r.expected[n]));
    pthread_t threads[THREADS];
    start_threads(threads, THREADS, read_many, &r);
    join_threads(threads, THREADS);
    free(x);
    jem_model_destroy(serial);
    jem_model_destroy(r.model);
}

START_TEST(test_many_readers)
{
    jem_exec_config exec = support_exec(support_backends[_i], 1);
    check_readers(&dense, &exec, 400);
    check_readers(&convolutions, &exec, 10);
    exec.threads = 2;
    check_readers(&dense, &exec, 30);
}
END_TEST

START_TEST(test_one_runner)
{
    jem_exec_config exec = support_exec(support_backends[_i], 1);
    exec.runners_max = 1;
    check_readers(&dense, &exec, 50);
}
END_TEST

// ---- training beside scoring --------------------------------------------------------------------

enum { STEPS = 30, SCORERS = 3, SCORED_ROWS = 5 };

typedef struct training {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    float *x;
    uint64_t generations[STEPS + 1]; /* hash of the logits before step i */
    atomic_bool done;
    atomic_llong scores;
} training;

static jem_status hash_logits(const training *t, uint64_t *hash)
{
    float logits[SCORED_ROWS * CLASSES];
    const jem_status status = jem_logits(t->model, SCORED_ROWS, t->x, logits);
    *hash = support_hash(logits, sizeof logits);
    return status;
}

static void begin_training(training *t, int32_t backend)
{
    const jem_exec_config exec = support_exec(backend, 1);
    memset(t, 0, sizeof *t);
    t->model = support_model("mlp-12", FEATURES, CLASSES, &exec);
    const jem_sampler_config config = support_sampler_config(MOST_ROWS, 2);
    t->sampler = support_sampler(t->model, &config);
    jem_optimizer_config optimizer;
    MUST(jem_optimizer_config_init(&optimizer, sizeof optimizer));
    optimizer.lr = 0.01f;
    optimizer.sam_rho = 0.5f; // so that there are parameters which nobody must see
    optimizer.ema_decay = 0.9f;
    MUST(jem_optimizer_create(&t->optimizer, t->model, &optimizer));
    t->x = support_uniform(MOST_ROWS * FEATURES, 5);
}

static void end_training(training *t)
{
    jem_optimizer_destroy(t->optimizer);
    jem_sampler_destroy(t->sampler);
    jem_model_destroy(t->model);
    free(t->x);
}

static jem_status train_once(training *t, jem_progress_fn progress, void *user)
{
    jem_train_config config;
    jem_status status = jem_train_config_init(&config, sizeof config);
    config.progress = progress;
    config.progress_user = user;
    jem_train_batch batch;
    if (status == JEM_OK)
        status = jem_train_batch_init(&batch, sizeof batch);
    if (status != JEM_OK)
        return status;
    batch.n_labelled = 12;
    batch.x_labelled = t->x;
    batch.y_labelled = labels;
    return jem_train_step(t->model, t->optimizer, t->sampler, &config, &batch, NULL);
}

static void *train_all(void *argument)
{
    training *t = argument;
    const char *fault = NULL;
    for (int i = 0; i < STEPS && fault == NULL; i++) {
        const long long before = atomic_load(&t->scores);
        if (train_once(t, NULL, NULL) != JEM_OK)
            fault = "a training step failed";
        int patience = 100000; // let somebody see it, for 10 s at most
        while (fault == NULL && atomic_load(&t->scores) == before && patience-- > 0)
            usleep(100);
        if (patience <= 0)
            fault = "nobody scores beside the training";
    }
    atomic_store(&t->done, true);
    return (void *)(uintptr_t)fault;
}

// Every score is that of a recorded generation, and generations only ever grow.
static void *score_all(void *argument)
{
    training *t = argument;
    int newest = 0;
    for (bool last = false; !last;) {
        last = atomic_load(&t->done);
        uint64_t hash;
        if (hash_logits(t, &hash) != JEM_OK)
            return "a score failed";
        int g = newest;
        while (g <= STEPS && t->generations[g] != hash)
            g++;
        if (g > STEPS)
            return "a score of no generation, or of an older one than before";
        newest = g;
        atomic_fetch_add(&t->scores, 1);
    }
    return newest == STEPS ? NULL : "the last parameters were not seen";
}

START_TEST(test_training_beside_scoring)
{
    training recorded, t;
    begin_training(&recorded, support_backends[_i]);
    begin_training(&t, support_backends[_i]);
    for (int i = 0; i <= STEPS; i++) {
        MUST(hash_logits(&recorded, &t.generations[i]));
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(t.generations[j], t.generations[i]);
        MUST(train_once(&recorded, NULL, NULL));
    }
    pthread_t scorers[SCORERS], trainer;
    start_threads(scorers, SCORERS, score_all, &t);
    start_threads(&trainer, 1, train_all, &t);
    join_threads(&trainer, 1);
    join_threads(scorers, SCORERS);
    end_training(&recorded);
    end_training(&t);
}
END_TEST

// Runs a function in another thread to its end, from inside a progress callback. Once.
typedef struct interruption {
    void *(*run)(void *);
    void *argument;
    void *fault;
    int times;
} interruption;

static int32_t interrupt(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    interruption *i = user;
    if (i->times++ > 0)
        return 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, i->run, i->argument) != 0)
        return 1;
    pthread_join(thread, &i->fault);
    return 0;
}

static void *score_old(void *argument)
{
    training *t = argument;
    uint64_t hash;
    for (int i = 0; i < 10; i++)
        if (hash_logits(t, &hash) != JEM_OK || hash != t->generations[0])
            return "not the parameters of before the step";
    return NULL;
}

// A step that has begun does not hold up a reader, and shows it nothing of itself.
START_TEST(test_scores_within_a_step)
{
    training t;
    begin_training(&t, support_backends[_i]);
    MUST(hash_logits(&t, &t.generations[0]));
    interruption i = {.run = score_old, .argument = &t};
    MUST(train_once(&t, interrupt, &i));
    ck_assert_int_gt(i.times, 0);
    ck_assert_msg(i.fault == NULL, "%s", (const char *)i.fault);
    uint64_t after;
    MUST(hash_logits(&t, &after));
    ck_assert_uint_ne(after, t.generations[0]);
    end_training(&t);
}
END_TEST

static void *train_some(void *argument)
{
    for (int i = 0; i < 6; i++) // more than there are generations in rotation
        if (train_once(argument, NULL, NULL) != JEM_OK)
            return "a training step failed";
    return NULL;
}

// A reader in the middle of its call does not hold up a writer, and keeps its parameters.
START_TEST(test_steps_within_a_run)
{
    training t;
    begin_training(&t, support_backends[_i]);
    const jem_sampler_config config = support_sampler_config(4, 1);
    jem_sampler *sampler = support_sampler(t.model, &config),
                *twin = support_sampler(t.model, &config);
    float x[8 * FEATURES], expected[8 * FEATURES];
    memcpy(x, t.x, sizeof x);
    memcpy(expected, t.x, sizeof x);
    MUST(jem_sampler_run(t.model, twin, 8, NULL, expected, 5, NULL, NULL));
    interruption i = {.run = train_some, .argument = &t};
    MUST(jem_sampler_run(t.model, sampler, 8, NULL, x, 5, interrupt, &i));
    ck_assert_int_eq(i.times, 5);
    ck_assert_msg(i.fault == NULL, "%s", (const char *)i.fault);
    support_same_bits(x, expected, sizeof x, "chains of a run with training within");
    jem_sampler_destroy(sampler);
    jem_sampler_destroy(twin);
    end_training(&t);
}
END_TEST

// ---- who comes second ---------------------------------------------------------------------------

#define BUSY(call)                                                                                 \
    if ((call) != JEM_EBUSY)                                                                       \
    return #call " was not busy"

static void *try_everything(void *argument)
{
    training *t = argument;
    float out[MOST_ROWS * FEATURES], params[256];
    const int64_t count = FEATURES * 12 + 12 + 12 * CLASSES + CLASSES;
    if (jem_model_get_params(t->model, count, params) != JEM_OK)
        return "reading parameters failed";
    BUSY(jem_model_set_params(t->model, count, params));
    BUSY(train_once(t, NULL, NULL));
    BUSY(jem_optimizer_set_lr(t->optimizer, 1.0f));
    BUSY(jem_optimizer_set_progress(t->optimizer, 0.5f));
    BUSY(jem_optimizer_get(t->optimizer, NULL, NULL));
    BUSY(jem_optimizer_set_note(t->optimizer, "note"));
    BUSY(jem_optimizer_get_note(t->optimizer, NULL, 0, NULL));
    BUSY(jem_optimizer_get_ema(t->optimizer, count, params));
    BUSY(jem_sampler_fit(t->sampler, 4, t->x, NULL, NULL, NULL));
    BUSY(jem_sampler_start(t->sampler, 1, NULL, out));
    BUSY(jem_sgld_step(t->model, t->sampler, 1, NULL, out));
    BUSY(jem_sampler_draw(t->model, t->sampler, 1, out, NULL, NULL, NULL));
    BUSY(jem_sampler_get_chains(t->sampler, 0, 1, out, NULL, NULL));
    BUSY(jem_sampler_set_chains(t->sampler, 0, 1, t->x));
    BUSY(jem_sampler_reset(t->sampler));
    return strstr(jem_last_error(), "sampler") != NULL ? NULL : "no message about the sampler";
}

// With an optimizer of its own, then with a sampler of its own too.
static void *try_second_optimizer(void *argument)
{
    training second = *(training *)argument;
    jem_optimizer_config config;
    if (jem_optimizer_config_init(&config, sizeof config) != JEM_OK ||
        jem_optimizer_create(&second.optimizer, second.model, &config) != JEM_OK)
        return "no second optimizer";
    BUSY(train_once(&second, NULL, NULL)); // for the sampler, and gives the optimizer back
    if (jem_optimizer_set_lr(second.optimizer, 0.01f) != JEM_OK)
        return "an optimizer stays busy";
    jem_sampler_config own;
    if (jem_sampler_config_init(&own, sizeof own) != JEM_OK ||
        jem_sampler_create(&second.sampler, second.model, &own) != JEM_OK)
        return "no second sampler";
    const jem_status status = train_once(&second, NULL, NULL);
    jem_sampler_destroy(second.sampler);
    jem_optimizer_destroy(second.optimizer);
    if (status != JEM_EBUSY)
        return "two steps at once on one model";
    return strstr(jem_last_error(), "model") != NULL ? NULL : "no message about the model";
}

START_TEST(test_busy)
{
    void *(*const tries[])(void *) = {try_everything, try_second_optimizer};
    for (int k = 0; k < COUNT(tries); k++) {
        training t, twin;
        begin_training(&t, JEM_BACKEND_REF);
        begin_training(&twin, JEM_BACKEND_REF);
        interruption i = {.run = tries[k], .argument = &t};
        MUST(train_once(&t, interrupt, &i));
        ck_assert_msg(i.fault == NULL && i.times > 0, "%s", (const char *)i.fault);
        MUST(train_once(&t, NULL, NULL)); // everything has been given back
        MUST(train_once(&twin, NULL, NULL));
        MUST(train_once(&twin, NULL, NULL));
        uint64_t hash, expected;
        MUST(hash_logits(&t, &hash));
        MUST(hash_logits(&twin, &expected));
        ck_assert_msg(hash == expected, "a refused call left something behind");
        end_training(&t);
        end_training(&twin);
    }
}
END_TEST

// ---- chains at any thread count -----------------------------------------------------------------

static uint64_t hash_chains(int32_t backend, int32_t threads)
{
    const jem_exec_config exec = support_exec(backend, threads);
    jem_model *model = support_model("mlp-12", FEATURES, CLASSES, &exec);
    jem_sampler_config config = support_sampler_config(MOST_ROWS, 4);
    config.start = JEM_START_MIXTURE;
    config.reinit_prob = 0.3f;
    jem_sampler *sampler = support_sampler(model, &config);
    float *x = support_uniform(MOST_ROWS * FEATURES, 8), out[3][MOST_ROWS * FEATURES];
    MUST(jem_sampler_fit(sampler, MOST_ROWS, x, labels, NULL, NULL));
    memcpy(out[0], x, sizeof out[0]);
    MUST(jem_sampler_run(model, sampler, MOST_ROWS, labels, out[0], 6, NULL, NULL));
    for (int i = 0; i < 3; i++)
        MUST(jem_sampler_draw(model, sampler, 29, out[1], NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, MOST_ROWS, out[2], NULL, NULL));
    memset(out[1] + 29 * FEATURES, 0, 11 * FEATURES * sizeof(float));
    const uint64_t hash = support_hash(out, sizeof out);
    free(x);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return hash;
}

START_TEST(test_chains_at_any_thread_count)
{
    const int32_t backend = support_backends[_i];
    const uint64_t one = hash_chains(backend, 1);
    ck_assert_msg(hash_chains(backend, 2) == one, "2 threads");
    ck_assert_msg(hash_chains(backend, 4) == one, "4 threads");
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_loop_test(tcase, test_many_readers, 0, n);
    tcase_add_loop_test(tcase, test_one_runner, 0, n);
    tcase_add_loop_test(tcase, test_training_beside_scoring, 0, n);
    tcase_add_loop_test(tcase, test_scores_within_a_step, 0, n);
    tcase_add_loop_test(tcase, test_steps_within_a_run, 0, n);
    tcase_add_test(tcase, test_busy);
    tcase_add_loop_test(tcase, test_chains_at_any_thread_count, 0, n);
}

int main(void)
{
    return support_main("threads", add_tests);
}
