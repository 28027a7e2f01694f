/*
 * A call has a runner for itself; calls that find none idle make one, up to runners_max.
 */
#include "model/runner.h"

#include "base/memory.h"
#include "base/status.h"
#include "base/thread_id.h"
#include "base/threads.h"

struct jemi_runner {
    jemi_runner_pool *pool;
    jemi_workspace *workspace;
    uint64_t borrower; /* thread id, 0 = idle */
    jemi_pin pin;
    jemi_generation *generation; /* the pinned one */
    int threads_before;          /* of the thread that has borrowed it */
    jemi_runner *next;           /* in the list of idle ones */
    jemi_runner *next_of_all;    /* in that list, or in the list of abandoned ones */
};

// Whom the calling thread is creating a runner for.
static _Thread_local const jemi_runner_pool *creating_for;

// In the child of a fork: runners that other threads had borrowed do not come back. Whatever those
// threads were doing to them, they are only good to be destroyed.
static int abandon_runners(void *context)
{
    jemi_runner_pool *pool = context;
    pool->returned = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool->n_runners = creating_for == pool;
    int uses = pool->n_runners;
    jemi_runner **at = &pool->all;
    while (*at != NULL) {
        jemi_runner *runner = *at;
        if (!jemi_thread_vanished(runner->borrower)) {
            pool->n_runners++;
            uses += runner->borrower != 0;
            at = &runner->next_of_all;
            continue;
        }
        *at = runner->next_of_all;
        runner->next_of_all = pool->abandoned;
        pool->abandoned = runner;
    }
    return uses;
}

jem_status jemi_runner_pool_init(jemi_runner_pool *pool, jemi_program *program,
                                 jemi_generations *generations, int32_t threads,
                                 int32_t runners_max)
{
    if (pthread_cond_init(&pool->returned, NULL) != 0)
        return jemi_fail_memory("lock of the runners");
    if (!jemi_lock_init(&pool->lock, JEMI_RANK_RUNNERS, abandon_runners, pool)) {
        pthread_cond_destroy(&pool->returned);
        return jemi_fail_memory("lock of the runners");
    }
    pool->program = program;
    pool->generations = generations;
    pool->threads = threads;
    pool->runners_max = runners_max;
    return JEM_OK;
}

static size_t bytes_of(const jemi_runner *runner)
{
    return sizeof *runner + runner->pool->program->backend->workspace_bytes(runner->workspace);
}

static void destroy_runner(jemi_runner *runner)
{
    runner->pool->program->backend->workspace_destroy(runner->workspace);
    jemi_free(runner);
}

static void destroy_all(jemi_runner *runner)
{
    while (runner != NULL) {
        jemi_runner *next = runner->next_of_all;
        destroy_runner(runner);
        runner = next;
    }
}

void jemi_runner_pool_fini(jemi_runner_pool *pool)
{
    if (pool->program == NULL)
        return;
    jemi_lock_fini(&pool->lock); // first: a fork from here on leaves it alone
    destroy_all(pool->all);
    destroy_all(pool->abandoned);
    pthread_cond_destroy(&pool->returned);
    *pool = (jemi_runner_pool){0};
}

size_t jemi_runner_pool_bytes(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    const size_t bytes = pool->idle_bytes;
    jemi_lock_leave(&pool->lock);
    return bytes;
}

static jem_status create_runner(jemi_runner_pool *pool, jemi_runner **out)
{
    jemi_runner *runner = jemi_calloc(1, sizeof *runner);
    if (runner == NULL)
        return jemi_fail_memory("runner");
    runner->pool = pool;
    const jem_status status =
        pool->program->backend->workspace_create(&runner->workspace, pool->program, pool->threads);
    if (status != JEM_OK) {
        jemi_free(runner);
        return status;
    }
    *out = runner;
    return JEM_OK;
}

// An idle runner, or NULL after counting in a new one that the caller must create.
static jemi_runner *take_idle_or_place(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    jemi_lock_count(&pool->lock, 1); // also while it waits: then the condition has to be mended
    while (pool->idle == NULL && pool->n_runners >= pool->runners_max)
        jemi_lock_wait(&pool->lock, &pool->returned);
    jemi_runner *runner = pool->idle;
    if (runner != NULL) {
        pool->idle = runner->next;
        pool->idle_bytes -= bytes_of(runner);
        runner->borrower = jemi_thread_id();
    } else {
        pool->n_runners++;
        creating_for = pool;
    }
    jemi_lock_leave(&pool->lock);
    return runner;
}

static void give_up_place(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    pool->n_runners--;
    creating_for = NULL;
    jemi_lock_count(&pool->lock, -1);
    pthread_cond_signal(&pool->returned);
    jemi_lock_leave(&pool->lock);
}

static void enlist(jemi_runner_pool *pool, jemi_runner *runner)
{
    jemi_lock_enter(&pool->lock);
    jemi_runner *abandoned = pool->abandoned;
    pool->abandoned = NULL;
    creating_for = NULL;
    runner->borrower = jemi_thread_id();
    runner->next_of_all = pool->all;
    pool->all = runner;
    jemi_lock_leave(&pool->lock);
    destroy_all(abandoned);
}

jem_status jemi_runner_borrow(jemi_runner_pool *pool, jemi_runner **out)
{
    jemi_runner *runner = take_idle_or_place(pool);
    if (runner == NULL) {
        const jem_status status = create_runner(pool, &runner);
        if (status != JEM_OK) {
            give_up_place(pool);
            return status;
        }
        enlist(pool, runner);
    }
    runner->generation = jemi_generation_pin(pool->generations, &runner->pin);
    runner->threads_before = jemi_threads_enter(pool->threads);
    *out = runner;
    return JEM_OK;
}

void jemi_runner_return(jemi_runner *runner)
{
    jemi_runner_pool *pool = runner->pool;
    jemi_threads_leave(runner->threads_before);
    jemi_generation_unpin(&runner->pin);
    runner->generation = NULL;
    jemi_lock_enter(&pool->lock);
    runner->borrower = 0;
    jemi_lock_count(&pool->lock, -1);
    runner->next = pool->idle;
    pool->idle = runner;
    pool->idle_bytes += bytes_of(runner);
    pthread_cond_signal(&pool->returned);
    jemi_lock_leave(&pool->lock);
}

jemi_workspace *jemi_runner_workspace(const jemi_runner *runner)
{
    return runner->workspace;
}

const jemi_generation *jemi_runner_generation(const jemi_runner *runner)
{
    return runner->generation;
}
