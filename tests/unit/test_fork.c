/*
 * fork() at moments that are held still: another thread stands inside of a call, in a callback, when
 * this one forks; or the callback itself forks. What the other thread held is free in the child, and
 * what this thread holds is still its own, in both processes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/model.h"
#include "support.h"

enum { ROWS = 4, FEATURES = 5, CLASSES = 3, CAPACITY = 8 };
enum { PATIENCE = 60 }; // seconds that a child may take on a busy machine

static const int64_t labels[ROWS] = {0, 1, 2, 0};

static struct {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    float *x;
    jem_train_batch batch;
    float expected[ROWS * CLASSES];
} w;

static void set_up(int32_t backend, int32_t runners_max)
{
    jem_exec_config exec = support_exec(backend, 1);
    exec.runners_max = runners_max;
    w.model = support_model("mlp-7", FEATURES, CLASSES, &exec);
    const jem_sampler_config config = support_sampler_config(CAPACITY, 2);
    w.sampler = support_sampler(w.model, &config);
    w.optimizer = support_optimizer(w.model, 1e-3f);
    w.x = support_uniform(ROWS * FEATURES, 1);
    w.batch = support_batch(ROWS, w.x, labels);
}

static void tear_down(void)
{
    jem_optimizer_destroy(w.optimizer);
    jem_sampler_destroy(w.sampler);
    jem_model_destroy(w.model);
    free(w.x);
}

static jem_status train(jem_progress_fn progress, void *user)
{
    jem_train_config config;
    const jem_status status = jem_train_config_init(&config, sizeof config);
    config.progress = progress;
    config.progress_user = user;
    return status == JEM_OK
               ? jem_train_step(w.model, w.optimizer, w.sampler, &config, &w.batch, NULL)
               : status;
}

static bool logits_as_expected(void)
{
    float logits[ROWS * CLASSES];
    return jem_logits(w.model, ROWS, w.x, logits) == JEM_OK &&
           memcmp(logits, w.expected, sizeof logits) == 0;
}

// The exit status of a child that runs `body`; 99 when it hung.
static int status_of_child(int (*body)(void))
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(PATIENCE);
        _exit(body());
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 99 : WEXITSTATUS(status);
}

// ---- another thread stands still ----------------------------------------------------------------

static pthread_barrier_t barrier;

static int32_t stand_still(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    atomic_int *times = user;
    if (atomic_fetch_add(times, 1) > 0)
        return 0;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return 0;
}

static void *train_still(void *unused)
{
    (void)unused;
    atomic_int times = 0;
    return train(stand_still, &times) == JEM_OK ? NULL : "training failed";
}

// Runs `body` in children while `other` stands in its callback.
static void fork_beside(void *(*other)(void *), int (*body)(void))
{
    pthread_t thread;
    void *fault;
    pthread_barrier_init(&barrier, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, other, NULL), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(status_of_child(body), 0);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &fault);
    ck_assert_msg(fault == NULL, "%s", (const char *)fault);
    pthread_barrier_destroy(&barrier);
}

static int count_generations(void)
{
    int count = 0;
    for (const jemi_generation *g = w.model->generations->all; g != NULL; g = g->next)
        count++;
    return count;
}

// The other thread has the claims of all three, a half-written generation, a pinned one and the
// only runner.
static int use_everything(void)
{
    if (!logits_as_expected())
        return 1;
    for (int i = 0; i < 6; i++)
        if (train(NULL, NULL) != JEM_OK)
            return 2;
    if (count_generations() > 3) // current, next, and the one that the other thread began
        return 3;
    for (const jemi_generation *g = w.model->generations->all; g != NULL; g = g->next)
        if (g->references != (g == w.model->generations->current))
            return 4;
    if (w.model->runners->n_runners != 1)
        return 5;
    tear_down();
    return 0;
}

START_TEST(test_claims_pins_and_runners_come_back)
{
    set_up(support_backends[_i], 1);
    MUST(train(NULL, NULL));
    MUST(jem_logits(w.model, ROWS, w.x, w.expected));
    fork_beside(train_still, use_everything);
    MUST(train(NULL, NULL)); // and in the parent all is as it was
    ck_assert_int_eq(w.model->runners->n_runners, 1);
    tear_down();
}
END_TEST

static int destroy_everything(void)
{
    tear_down();
    return 0;
}

START_TEST(test_child_destroys_what_is_in_use)
{
    set_up(support_backends[_i], 2);
    fork_beside(train_still, destroy_everything);
    tear_down();
}
END_TEST

// ---- a runner is being made ---------------------------------------------------------------------

static atomic_bool armed;

static void *allocate(void *user, size_t alignment, size_t size)
{
    (void)user;
    if (atomic_exchange(&armed, false)) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return aligned_alloc(alignment, size);
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

static void *score_for_the_first_time(void *unused)
{
    (void)unused;
    float logits[ROWS * CLASSES];
    return jem_logits(w.model, ROWS, w.x, logits) == JEM_OK ? NULL : "scoring failed";
}

static int score(void)
{
    float logits[ROWS * CLASSES];
    for (int i = 0; i < 2; i++)
        if (jem_logits(w.model, ROWS, w.x, logits) != JEM_OK)
            return 1;
    return w.model->runners->n_runners == 1 ? 0 : 2;
}

START_TEST(test_half_made_runner)
{
    MUST(jem_set_allocator(&(jem_allocator){allocate, release, NULL}));
    set_up(support_backends[_i], 1);
    atomic_store(&armed, true);
    fork_beside(score_for_the_first_time, score);
    ck_assert_int_eq(w.model->runners->n_runners, 1);
    tear_down();
    MUST(jem_set_allocator(NULL));
}
END_TEST

// ---- the other thread is in the log receiver ----------------------------------------------------

static void log_still(void *user, int32_t level, const char *line)
{
    (void)level, (void)line;
    stand_still(user, 0, 0);
}

static atomic_int logged;

static int log_in_child(void)
{
    return jem_set_log(NULL, NULL) == JEM_OK ? score() : 3;
}

START_TEST(test_log_receiver_stands_still)
{
    set_up(support_backends[_i], 1);
    atomic_store(&logged, 0);
    MUST(jem_set_log(log_still, &logged));
    fork_beside(score_for_the_first_time, log_in_child);
    MUST(jem_set_log(NULL, NULL));
    tear_down();
}
END_TEST

// ---- the callback forks -------------------------------------------------------------------------

static pid_t forked = -1; // 0 in the child
static int first_fault;   // of the child

static void fork_once(int (*in_child)(void))
{
    if (forked != -1)
        return;
    fflush(NULL);
    forked = fork();
    if (forked == 0) {
        alarm(PATIENCE);
        first_fault = in_child();
    }
}

// In the child ends the process, in the parent looks how that went.
static void end_fork(bool good, const char *what)
{
    if (forked == 0)
        _exit(!good ? 98 : first_fault);
    int status;
    ck_assert_int_eq(waitpid(forked, &status, 0), forked);
    ck_assert_msg(!WIFSIGNALED(status), "%s: the child hung", what);
    ck_assert_msg(WEXITSTATUS(status) == 0, "%s: %d in the child", what, WEXITSTATUS(status));
    ck_assert_msg(good, "%s in the parent", what);
    forked = -1;
}

static int own_call_holds(void)
{
    if (jem_sampler_reset(w.sampler) != JEM_EBUSY)
        return 1;
    if (w.model->generations->current->references != 2) // current, and pinned by this thread alone
        return 2;
    return w.model->runners->n_runners == 1 ? 0 : 3;
}

static int32_t fork_in_progress(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    fork_once((int (*)(void))(uintptr_t)user);
    return 0;
}

// Another thread scores in the meantime, so that there is something to forget.
static void *score_until_told(void *stop)
{
    float logits[ROWS * CLASSES];
    while (!atomic_load((atomic_bool *)stop))
        if (jem_logits(w.model, ROWS, w.x, logits) != JEM_OK)
            return "scoring failed";
    return NULL;
}

static void run_with_fork(float *x, jem_progress_fn progress)
{
    atomic_bool stop = false;
    pthread_t thread;
    void *fault;
    ck_assert_int_eq(pthread_create(&thread, NULL, score_until_told, &stop), 0);
    const jem_status status = jem_sampler_run(w.model, w.sampler, ROWS, NULL, x, 4, progress,
                                              (void *)(uintptr_t)own_call_holds);
    bool good = status == JEM_OK && jem_sampler_reset(w.sampler) == JEM_OK && logits_as_expected();
    if (forked != 0) {
        atomic_store(&stop, true);
        pthread_join(thread, &fault);
        good = good && fault == NULL;
    }
    float twin[ROWS * FEATURES];
    memcpy(twin, w.x, sizeof twin);
    const jem_sampler_config config = support_sampler_config(CAPACITY, 2);
    jem_sampler *sampler = support_sampler(w.model, &config);
    good = good && jem_sampler_run(w.model, sampler, ROWS, NULL, twin, 4, NULL, NULL) == JEM_OK &&
           memcmp(x, twin, sizeof twin) == 0;
    jem_sampler_destroy(sampler);
    end_fork(good, "a run whose progress function forks");
}

START_TEST(test_progress_forks)
{
    set_up(support_backends[_i], 4);
    MUST(jem_logits(w.model, ROWS, w.x, w.expected));
    float x[ROWS * FEATURES];
    memcpy(x, w.x, sizeof x);
    run_with_fork(x, fork_in_progress);
    tear_down();
}
END_TEST

static int nothing(void)
{
    return 0;
}

static int64_t countdown;

static void *allocate_and_fork(void *user, size_t alignment, size_t size)
{
    (void)user;
    if (--countdown == 0)
        fork_once(nothing);
    return aligned_alloc(alignment, size);
}

// Whatever the allocation is for, under whatever lock.
static jem_status allocating_calls(void)
{
    float logits[ROWS * CLASSES];
    jem_model *clone = NULL;
    jem_status status = jem_model_set_metadata(w.model, "key", "value");
    if (status == JEM_OK)
        status = jem_model_set_class_name(w.model, 1, "name");
    if (status == JEM_OK)
        status = jem_logits(w.model, ROWS, w.x, logits);
    if (status == JEM_OK)
        status = train(NULL, NULL);
    if (status == JEM_OK)
        status = jem_model_clone(&clone, w.model, NULL);
    jem_model_destroy(clone);
    if (status == JEM_OK)
        status = jem_model_set_metadata(w.model, "key", NULL);
    return status;
}

START_TEST(test_allocator_forks)
{
    MUST(jem_set_allocator(&(jem_allocator){allocate_and_fork, release, NULL}));
    for (int64_t k = 1;; k++) {
        countdown = 0;
        set_up(support_backends[_i], 1);
        countdown = k;
        const bool good = allocating_calls() == JEM_OK && allocating_calls() == JEM_OK &&
                          w.model->runners->n_runners == 1;
        const bool happened = countdown <= 0;
        tear_down();
        if (!happened)
            break;
        end_fork(good, "an allocator that forks");
    }
    MUST(jem_set_allocator(NULL));
}
END_TEST

static void log_and_fork(void *user, int32_t level, const char *line)
{
    (void)user, (void)level, (void)line;
    fork_once(nothing);
}

START_TEST(test_log_forks)
{
    set_up(support_backends[_i], 1);
    MUST(jem_set_log(log_and_fork, NULL));
    const bool good = score() == 0 && jem_set_log(NULL, NULL) == JEM_OK;
    tear_down();
    end_fork(good, "a log receiver that forks");
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, test_claims_pins_and_runners_come_back, 0, n);
    tcase_add_loop_test(tcase, test_child_destroys_what_is_in_use, 0, n);
    tcase_add_loop_test(tcase, test_half_made_runner, 0, n);
    tcase_add_loop_test(tcase, test_log_receiver_stands_still, 0, n);
    tcase_add_loop_test(tcase, test_progress_forks, 0, n);
    tcase_add_loop_test(tcase, test_allocator_forks, 0, n);
    tcase_add_loop_test(tcase, test_log_forks, 0, n);
}

int main(void)
{
    return support_main("fork", add_tests);
}
