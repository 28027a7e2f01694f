/*
 * Generations and runners under threads: what is counted is counted under its lock, a pinned
 * generation is not written, and whoever waits for a runner is woken when one could not be made.
 * Clean under ThreadSanitizer.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "model/model.h"
#include "support.h"

enum { FEATURES = 5, CLASSES = 3, READERS = 4, PINS = 20000, WRITES = 2000 };

static jem_model *model;

static void make_model(int32_t runners_max)
{
    jem_exec_config exec = support_exec(JEM_BACKEND_REF, 1);
    exec.runners_max = runners_max;
    model = support_model("mlp-7", FEATURES, CLASSES, &exec);
}

static void start_threads(pthread_t *threads, int n, void *(*run)(void *))
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, NULL), 0);
}

static void join_threads(const pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        ck_assert_msg(fault == NULL, "%s", (const char *)fault);
    }
}

static int count_referenced(void)
{
    int count = 0;
    for (const jemi_generation *g = model->generations->all; g != NULL; g = g->next)
        count += (int)g->references;
    return count;
}

// ---- pins ---------------------------------------------------------------------------------------

// Every writer fills its generation with one number, so a reader sees whether it is still whole.
static bool one_number(const float *params)
{
    for (int64_t i = 1; i < jemi_model_size(model); i++)
        if (params[i] != params[0])
            return false;
    return true;
}

static void *read_pinned(void *unused)
{
    (void)unused;
    for (int i = 0; i < PINS; i++) {
        jemi_pin pin, inner;
        const jemi_generation *now = jemi_generation_pin(model->generations, &pin);
        if (!one_number(now->params))
            return "a pinned generation was written";
        jemi_generation_pin(model->generations, &inner);
        jemi_generation_unpin(i % 2 ? &pin : &inner);
        jemi_generation_unpin(i % 2 ? &inner : &pin);
    }
    return NULL;
}

static void *write_many(void *unused)
{
    (void)unused;
    float *params = calloc((size_t)jemi_model_size(model), sizeof *params);
    const char *fault = NULL;
    for (int i = 0; i < WRITES && fault == NULL; i++) {
        for (int64_t k = 0; k < jemi_model_size(model); k++)
            params[k] = (float)(i % 3);
        const jem_status status = jem_model_set_params(model, jemi_model_size(model), params);
        if (status != JEM_OK && status != JEM_EBUSY)
            fault = "a write failed";
    }
    free(params);
    return (void *)(uintptr_t)fault;
}

static void set_to_zeros(void)
{
    float *zeros = calloc((size_t)jemi_model_size(model), sizeof *zeros);
    MUST(jem_model_set_params(model, jemi_model_size(model), zeros));
    free(zeros);
}

START_TEST(test_pins_and_writes)
{
    make_model(READERS);
    set_to_zeros();
    pthread_t readers[READERS], writers[2];
    start_threads(readers, READERS, read_pinned);
    start_threads(writers, 2, write_many);
    join_threads(readers, READERS);
    join_threads(writers, 2);
    ck_assert_int_eq(count_referenced(), 1); // being current, and no count was lost
    ck_assert_int_eq(model->generations->current->references, 1);
    ck_assert_ptr_null(model->generations->writing);
    jem_model_destroy(model);
}
END_TEST

// A fourth generation is made while three are held, and all are used again afterwards.
START_TEST(test_generations_are_recycled)
{
    make_model(1);
    jemi_pin pins[3];
    for (int i = 0; i < 3; i++) {
        set_to_zeros();
        jemi_generation_pin(model->generations, &pins[i]);
    }
    set_to_zeros();
    const size_t bytes = jemi_generations_bytes(model->generations);
    ck_assert_int_eq(count_referenced(), 4);
    for (int i = 0; i < 3; i++)
        jemi_generation_unpin(&pins[i]);
    for (int i = 0; i < 20; i++)
        set_to_zeros();
    ck_assert_uint_eq(jemi_generations_bytes(model->generations), bytes);
    ck_assert_int_eq(count_referenced(), 1);
    jem_model_destroy(model);
}
END_TEST

// ---- who waits for the lock --------------------------------------------------------------------

enum { HELD_US = 30000 };

// What a thread does before the lock is held, and then.
typedef struct stage_row {
    void (*before)(jemi_pin *pin, jemi_generation **next);
    void (*then)(jemi_pin *pin, jemi_generation **next);
    int references; // of all generations afterwards
} stage_row;

static void nothing(jemi_pin *pin, jemi_generation **next)
{
    (void)pin, (void)next;
}

static void pin_one(jemi_pin *pin, jemi_generation **next)
{
    (void)next;
    jemi_generation_pin(model->generations, pin);
}

static void unpin_one(jemi_pin *pin, jemi_generation **next)
{
    (void)next;
    jemi_generation_unpin(pin);
}

static void begin_write(jemi_pin *pin, jemi_generation **next)
{
    (void)pin;
    if (jemi_generations_begin(model->generations, next) != JEM_OK)
        *next = NULL;
}

static void abort_write(jemi_pin *pin, jemi_generation **next)
{
    (void)pin;
    jemi_generations_abort(model->generations, *next);
}

static void commit_write(jemi_pin *pin, jemi_generation **next)
{
    (void)pin;
    memset((*next)->params, 0, (size_t)jemi_model_size(model) * sizeof(float));
    jemi_generations_commit(model->generations, *next);
}

static const stage_row stages[] = {
    {nothing, pin_one, 2},         {pin_one, unpin_one, 1},        {nothing, begin_write, 2},
    {begin_write, abort_write, 1}, {begin_write, commit_write, 1},
};

static const stage_row *stage;
static pthread_barrier_t held;
static atomic_bool stage_is_over;

static void *run_stage(void *unused)
{
    (void)unused;
    static jemi_pin pin;
    static jemi_generation *next;
    stage->before(&pin, &next);
    pthread_barrier_wait(&held);
    pthread_barrier_wait(&held);
    stage->then(&pin, &next);
    atomic_store(&stage_is_over, true);
    return NULL;
}

// Whoever counts references comes to a halt while another thread holds the lock.
START_TEST(test_references_are_counted_under_the_lock)
{
    make_model(1);
    set_to_zeros();
    stage = &stages[_i];
    atomic_store(&stage_is_over, false);
    pthread_barrier_init(&held, NULL, 2);
    pthread_t thread;
    start_threads(&thread, 1, run_stage);
    pthread_barrier_wait(&held);
    jemi_lock_enter(&model->generations->lock);
    const int references = count_referenced();
    pthread_barrier_wait(&held);
    usleep(HELD_US);
    ck_assert(!atomic_load(&stage_is_over));
    ck_assert_int_eq(count_referenced(), references);
    jemi_lock_leave(&model->generations->lock);
    join_threads(&thread, 1);
    ck_assert_int_eq(count_referenced(), stage->references);
    pthread_barrier_destroy(&held);
    jem_model_destroy(model);
}
END_TEST

// ---- as many runners as may be -------------------------------------------------------------------

static atomic_bool has_borrowed;

static void *borrow_another(void *unused)
{
    (void)unused;
    jemi_runner *runner;
    if (jemi_runner_borrow(model->runners, &runner) != JEM_OK)
        return "a waiting call failed";
    atomic_store(&has_borrowed, true);
    jemi_runner_return(runner);
    return NULL;
}

START_TEST(test_no_more_runners_than_allowed)
{
    enum { MOST = 2 };
    jemi_runner *runners[MOST];
    make_model(MOST);
    for (int i = 0; i < MOST; i++)
        MUST(jemi_runner_borrow(model->runners, &runners[i]));
    pthread_t thread;
    start_threads(&thread, 1, borrow_another);
    usleep(HELD_US);
    ck_assert(!atomic_load(&has_borrowed));
    ck_assert_int_eq(model->runners->n_runners, MOST);
    for (int i = MOST; i-- > 0;)
        jemi_runner_return(runners[i]);
    join_threads(&thread, 1);
    ck_assert(atomic_load(&has_borrowed));
    jem_model_destroy(model);
}
END_TEST

// ---- a runner that cannot be made ---------------------------------------------------------------

enum { ROUNDS = 5, WAITERS = 3, SETTLE_US = 30000, WAIT_SECONDS = 60 };

static atomic_bool fails;
static pthread_barrier_t begun;

// The first caller to create a runner stays in here until the others wait for its place.
static void *allocate(void *user, size_t alignment, size_t size)
{
    (void)user;
    if (!atomic_exchange(&fails, false))
        return aligned_alloc(alignment, size);
    pthread_barrier_wait(&begun);
    usleep(SETTLE_US);
    return NULL;
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

static jem_status score(void)
{
    const float x[FEATURES] = {0.5f};
    float logits[CLASSES];
    return jem_logits(model, 1, x, logits);
}

static void *score_in_vain(void *unused)
{
    (void)unused;
    return score() == JEM_ENOMEM ? NULL : "the failed allocation was not told";
}

static void *score_later(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&begun);
    return score() == JEM_OK ? NULL : "a waiting call failed";
}

START_TEST(test_failed_runner_wakes_a_waiting_call)
{
    alarm(WAIT_SECONDS); // without the wake-up nobody ends
    MUST(jem_set_allocator(&(jem_allocator){allocate, release, NULL}));
    for (int round = 0; round < ROUNDS; round++) {
        make_model(1);
        pthread_barrier_init(&begun, NULL, 1 + WAITERS);
        atomic_store(&fails, true);
        pthread_t first, waiters[WAITERS];
        start_threads(&first, 1, score_in_vain);
        start_threads(waiters, WAITERS, score_later);
        join_threads(&first, 1);
        join_threads(waiters, WAITERS);
        ck_assert_int_eq(model->runners->n_runners, 1);
        pthread_barrier_destroy(&begun);
        jem_model_destroy(model);
    }
    MUST(jem_set_allocator(NULL));
    alarm(0);
}
END_TEST

// ---- the log receiver ---------------------------------------------------------------------------

enum { SETS = 300 };

static atomic_int in_receiver[2];
static atomic_bool logging_ends;

static void receive(void *user, int32_t level, const char *line)
{
    (void)level, (void)line;
    atomic_int *inside = user;
    atomic_fetch_add(inside, 1);
    usleep(10);
    atomic_fetch_sub(inside, 1);
}

static void *log_many(void *unused)
{
    (void)unused;
    while (!atomic_load(&logging_ends))
        jemi_log(JEM_LOG_INFO, "a line");
    return NULL;
}

START_TEST(test_removed_receiver_does_not_run)
{
    pthread_t threads[READERS];
    atomic_store(&logging_ends, false);
    MUST(jem_set_log(receive, &in_receiver[0]));
    start_threads(threads, READERS, log_many);
    for (int i = 0; i < SETS; i++) {
        MUST(jem_set_log(receive, &in_receiver[(i + 1) % 2]));
        ck_assert_int_eq(atomic_load(&in_receiver[i % 2]), 0);
    }
    MUST(jem_set_log(NULL, NULL));
    ck_assert_int_eq(atomic_load(&in_receiver[0]) + atomic_load(&in_receiver[1]), 0);
    atomic_store(&logging_ends, true);
    join_threads(threads, READERS);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_pins_and_writes);
    tcase_add_loop_test(tcase, test_references_are_counted_under_the_lock, 0, COUNT(stages));
    tcase_add_test(tcase, test_generations_are_recycled);
    tcase_add_test(tcase, test_no_more_runners_than_allowed);
    tcase_add_test(tcase, test_failed_runner_wakes_a_waiting_call);
    tcase_add_test(tcase, test_removed_receiver_does_not_run);
}

int main(void)
{
    return support_main("generation", add_tests);
}
