/*
 * fork() while other threads use the library. Whatever they are doing at that moment, the child can
 * use every handle: each kind of activity in the parent is met by each kind of call in its children,
 * at random moments. Where one thing must be seen for certain, test_fork.c holds the moment still.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { ROWS = 6, FEATURES = 5, CLASSES = 3, CAPACITY = 16, FORKS = 16, BUSY_THREADS = 2 };
enum { PATIENCE = 60 }; // seconds that a child may take on a busy machine

static const int64_t labels[ROWS] = {0, 1, 2, 0, 1, 2};

static struct {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    jem_detector *detector;
    jem_exec_config exec;
    float *x, *params[2];
    jem_train_batch batch;
    int64_t count;
    float logits[2][ROWS * CLASSES]; // of either parameters
    char dir[200];
    atomic_bool stop;
    atomic_int rounds;
} w;

static jem_status train_once(void)
{
    return jem_train_step(w.model, w.optimizer, w.sampler, NULL, &w.batch, NULL);
}

static jem_status set_to(int which)
{
    return jem_model_set_params(w.model, w.count, w.params[which]);
}

static void ignore_line(void *user, int32_t level, const char *line)
{
    (void)user, (void)level, (void)line;
}

static void set_up(int32_t backend)
{
    w.exec = support_exec(backend, 1);
    w.exec.runners_max = 2;
    w.exec.kernel = w.exec.backend == JEM_BACKEND_ONEDNN ? "onednn" : "auto"; // its primitives
    w.model = support_model("mlp-7", FEATURES, CLASSES, &w.exec);
    const jem_sampler_config config = support_sampler_config(CAPACITY, 2);
    w.sampler = support_sampler(w.model, &config);
    w.optimizer = support_optimizer(w.model, 1e-3f);
    jem_detector_config detector;
    MUST(jem_detector_config_init(&detector, sizeof detector));
    detector.fpr = 0.2; // of a calibration by eight rows
    MUST(jem_detector_create(&w.detector, w.model, &detector, NULL));
    w.x = support_uniform(CAPACITY * FEATURES, 1);
    w.batch = support_batch(ROWS, w.x, labels); // here: Check has a lock that a fork leaves locked
    w.count = support_param_count(w.model);
    for (int i = 0; i < 2; i++) {
        w.params[i] = support_params(w.model);
        w.params[i][0] += (float)i;
        MUST(set_to(i));
        MUST(jem_logits(w.model, ROWS, w.x, w.logits[i]));
    }
    support_make_dir(w.dir, sizeof w.dir);
    atomic_store(&w.stop, false);
    atomic_store(&w.rounds, 0);
}

static void tear_down(void)
{
    support_remove_dir(w.dir);
    jem_detector_destroy(w.detector);
    jem_optimizer_destroy(w.optimizer);
    jem_sampler_destroy(w.sampler);
    jem_model_destroy(w.model);
    free(w.x);
    free(w.params[0]);
    free(w.params[1]);
}

// ---- what the parent does -----------------------------------------------------------------------

// Each returns false when a call failed. JEM_EBUSY is right where two threads write.
static bool fine(jem_status status)
{
    return status == JEM_OK || status == JEM_EBUSY;
}

static bool score(int64_t round)
{
    float logits[ROWS * CLASSES];
    (void)round;
    return fine(jem_logits(w.model, ROWS, w.x, logits));
}

static bool save(int64_t round)
{
    char path[300];
    snprintf(path, sizeof path, "%s/model-%d", w.dir, (int)(round % 2));
    return fine(jem_model_save(w.model, path));
}

static bool set_params(int64_t round)
{
    return fine(set_to((int)(round % 2)));
}

static bool train(int64_t round)
{
    (void)round;
    return fine(train_once());
}

static bool draw(int64_t round)
{
    float x[CAPACITY * FEATURES];
    (void)round;
    return fine(jem_sampler_draw(w.model, w.sampler, ROWS, x, NULL, NULL, NULL));
}

static bool fit(int64_t round)
{
    (void)round;
    return fine(jem_sampler_fit(w.sampler, ROWS, w.x, labels, NULL, NULL)) &&
           fine(jem_sampler_set_chains(w.sampler, 0, CAPACITY, w.x));
}

static bool checkpoint(int64_t round)
{
    char path[300];
    snprintf(path, sizeof path, "%s/checkpoint", w.dir);
    return round % 8 != 0 || fine(jem_checkpoint_save(path, w.model, w.optimizer, w.sampler));
}

static bool create(int64_t round)
{
    (void)round;
    float logits[ROWS * CLASSES];
    jem_model *model;
    jem_model_config config;
    if (jem_model_config_init(&config, sizeof config) != JEM_OK)
        return false;
    config.arch = "mlp-4";
    config.channels = FEATURES;
    config.classes = CLASSES;
    if (jem_model_create(&model, &config, &w.exec) != JEM_OK)
        return false;
    const bool good = jem_logits(model, ROWS, w.x, logits) == JEM_OK;
    jem_model_destroy(model);
    return good;
}

static bool clone(int64_t round)
{
    (void)round;
    float logits[ROWS * CLASSES];
    jem_model *model;
    if (jem_model_clone(&model, w.model, &w.exec) != JEM_OK)
        return false;
    const bool good = jem_logits(model, 1, w.x, logits) == JEM_OK;
    jem_model_destroy(model);
    return good;
}

static bool set_text(int64_t round)
{
    char text[40];
    snprintf(text, sizeof text, "%d", (int)round);
    return fine(jem_model_set_metadata(w.model, "round", text)) &&
           fine(jem_model_set_class_name(w.model, (int32_t)(round % CLASSES), text));
}

static bool log_and_fail(int64_t round)
{
    jem_model *none;
    return jem_set_log(round % 2 ? ignore_line : NULL, NULL) == JEM_OK && create(round) &&
           jem_model_load(&none, "/missing", NULL) == JEM_EIO;
}

// There is no threshold to set where the other thread has just fitted.
static bool learn(int64_t round)
{
    if (round % 4 == 0 &&
        !fine(jem_detector_fit(w.detector, w.model, CAPACITY, w.x, NULL, NULL, NULL)))
        return false;
    if (!fine(jem_detector_calibrate(w.detector, w.model, CAPACITY, w.x, NULL, NULL, NULL)))
        return round == 0; // before the first fit
    const jem_status status = jem_detector_set_threshold(w.detector, 0.3, 0.0);
    return fine(status) || status == JEM_EINVAL;
}

typedef struct activity_row {
    const char *name;
    bool (*run)(int64_t round);
} activity_row;

static const activity_row activities[] = {
    {"scoring", score},   {"saving", save},          {"setting parameters", set_params},
    {"training", train},  {"drawing", draw},         {"fitting starts", fit},
    {"creating", create}, {"cloning", clone},        {"writing checkpoints", checkpoint},
    {"naming", set_text}, {"logging", log_and_fail}, {"learning", learn},
};

static void *be_busy(void *activity)
{
    const activity_row *row = activity;
    for (int64_t round = 0; !atomic_load(&w.stop); round++) {
        if (!row->run(round))
            return activity;
        atomic_fetch_add(&w.rounds, 1);
    }
    return NULL;
}

// ---- what the child does ------------------------------------------------------------------------

static bool child_logits(void)
{
    float logits[ROWS * CLASSES];
    bool good = jem_logits(w.model, ROWS, w.x, logits) == JEM_OK;
    for (int i = 0; i < ROWS * CLASSES; i++)
        good = good && isfinite(logits[i]);
    return good;
}

static bool child_energy_grad(void)
{
    float energy[ROWS], grad[ROWS * FEATURES];
    return jem_energy_grad(w.model, ROWS, w.x, NULL, energy, grad) == JEM_OK;
}

// More often than there are generations in rotation.
static bool child_set_params(void)
{
    for (int i = 0; i < 6; i++) {
        float logits[ROWS * CLASSES];
        if (set_to(i % 2) != JEM_OK || jem_logits(w.model, ROWS, w.x, logits) != JEM_OK ||
            memcmp(logits, w.logits[i % 2], sizeof logits) != 0)
            return false;
    }
    return true;
}

static bool child_save(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/child", w.dir);
    return jem_model_save(w.model, path) == JEM_OK;
}

static bool child_train(void)
{
    return train_once() == JEM_OK && train_once() == JEM_OK;
}

static bool child_run(void)
{
    float x[ROWS * FEATURES], all[CAPACITY * FEATURES];
    memcpy(x, w.x, sizeof x);
    return jem_sampler_run(w.model, w.sampler, ROWS, NULL, x, 3, NULL, NULL) == JEM_OK &&
           jem_sampler_draw(w.model, w.sampler, CAPACITY, all, NULL, NULL, NULL) == JEM_OK;
}

static bool child_text(void)
{
    char text[40];
    return jem_model_get_class_name(w.model, 0, text, sizeof text, NULL) == JEM_OK &&
           jem_model_set_metadata(w.model, "child", "yes") == JEM_OK &&
           jem_model_get_metadata(w.model, "child", text, sizeof text, NULL) == JEM_OK &&
           jem_set_log(ignore_line, NULL) == JEM_OK;
}

// What the parent had learnt, whole or not at all or of other parameters; then anew.
static bool child_detect(void)
{
    jem_verdict verdicts[ROWS];
    const jem_status status =
        jem_detect(w.detector, w.model, ROWS, w.x, verdicts, sizeof verdicts[0]);
    return (status == JEM_OK || status == JEM_EINVAL || status == JEM_EMISMATCH) &&
           jem_detector_fit(w.detector, w.model, CAPACITY, w.x, NULL, NULL, NULL) == JEM_OK &&
           jem_detector_calibrate(w.detector, w.model, CAPACITY, w.x, NULL, NULL, NULL) == JEM_OK &&
           jem_detect(w.detector, w.model, ROWS, w.x, verdicts, sizeof verdicts[0]) == JEM_OK;
}

static bool child_create(void)
{
    return create(0) && clone(0) && jem_model_bytes(w.model) > 0;
}

static bool child_destroy(void)
{
    jem_detector_destroy(w.detector);
    jem_sampler_destroy(w.sampler);
    jem_optimizer_destroy(w.optimizer);
    jem_model_destroy(w.model);
    return create(0);
}

typedef struct child_row {
    const char *name;
    bool (*run)(void);
} child_row;

static const child_row calls[] = {
    {"logits", child_logits},         {"energy_grad", child_energy_grad},
    {"set_params", child_set_params}, {"save", child_save},
    {"train_step", child_train},      {"sampler", child_run},
    {"text and log", child_text},     {"create and clone", child_create},
    {"detect", child_detect},
};

// All calls, each child with another one first. The exit status is the call that failed.
static void child(int first)
{
    alarm(PATIENCE);
    for (int i = 0; i < COUNT(calls); i++) {
        const int call = (first + i) % COUNT(calls);
        if (!calls[call].run())
            _exit(1 + call);
    }
    _exit(child_destroy() ? 0 : 1 + COUNT(calls));
}

static void check_child(pid_t pid, const char *activity, int fork_number)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    const char *first = calls[fork_number % COUNT(calls)].name;
    ck_assert_msg(!WIFSIGNALED(status), "beside %s, %s first: the child ended by signal %d",
                  activity, first, WTERMSIG(status));
    const int failed = WEXITSTATUS(status) - 1;
    ck_assert_msg(failed < 0, "beside %s, %s first: %s failed in the child", activity, first,
                  failed < COUNT(calls) ? calls[failed].name : "destroying");
}

START_TEST(test_child_can_use_everything)
{
    const activity_row *activity = &activities[_i / support_n_backends];
    set_up(support_backends[_i % support_n_backends]);
    pthread_t threads[BUSY_THREADS];
    for (int i = 0; i < BUSY_THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, be_busy, (void *)activity), 0);
    uint64_t random = support_fresh_seed();
    for (int i = 0; i < FORKS; i++) {
        const int rounds = atomic_load(&w.rounds);
        while (atomic_load(&w.rounds) == rounds)
            usleep(20);
        usleep((useconds_t)(support_next(&random) % 300));
        const pid_t pid = fork();
        if (pid == 0)
            child(i);
        check_child(pid, activity->name, i);
    }
    atomic_store(&w.stop, true);
    for (int i = 0; i < BUSY_THREADS; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        ck_assert_msg(fault == NULL, "%s failed in the parent", activity->name);
    }
    tear_down();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, test_child_can_use_everything, 0,
                        COUNT(activities) * support_n_backends);
}

int main(void)
{
    return support_main("fork_matrix", add_tests);
}
