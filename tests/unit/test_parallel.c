/*
 * Loops shared among threads: every element is computed once, by a worker that nobody else is at
 * the time, in no more threads than the call allows; inside of a loop, from many threads at once,
 * after a fork, and where no thread can be started. Hundreds of thousands of loops lose no wake-up.
 */
#define _GNU_SOURCE // CPU_COUNT
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/processors.h"
#include "base/threads.h"
#include "base/workers.h"
#include "support.h"

enum { ELEMENTS_MAX = 1 << 17, WIDTH_MAX = 100 };

// What a loop must not do is noted here, as a check inside of a worker would not be seen.
typedef struct account {
    int64_t count, grain;
    int width;
    _Atomic uint8_t *times; // that each element has been computed
    atomic_bool busy[WIDTH_MAX];
    _Atomic int two_at_once, bad_range, bad_worker, nested_wide;
    _Atomic int64_t by_worker[WIDTH_MAX];
    int work; // of one element, in turns of an empty loop
} account;

static void make_account(account *a, int64_t count, int64_t grain, int width)
{
    memset(a, 0, sizeof *a);
    a->count = count;
    a->grain = grain;
    a->width = width;
    a->times = calloc((size_t)count + 1, sizeof *a->times);
    ck_assert_ptr_nonnull(a->times);
}

static void count_elements(void *context, int64_t begin, int64_t end, int worker)
{
    account *a = context;
    if (begin < 0 || begin >= end || end > a->count || begin % a->grain != 0 ||
        (end != a->count && end % a->grain != 0)) {
        a->bad_range++;
        return;
    }
    if (worker < 0 || worker >= a->width) {
        a->bad_worker++;
        return;
    }
    if (atomic_exchange(&a->busy[worker], true))
        a->two_at_once++;
    a->nested_wide += jemi_parallel_width() != 1;
    for (int64_t i = begin; i < end; i++) {
        atomic_fetch_add(&a->times[i], 1);
        for (volatile int turn = 0; turn < a->work; turn++) {
        }
    }
    a->by_worker[worker] += end - begin;
    atomic_store(&a->busy[worker], false);
}

static void check_account(account *a)
{
    ck_assert_int_eq(a->two_at_once, 0);
    ck_assert_int_eq(a->bad_range, 0);
    ck_assert_int_eq(a->bad_worker, 0);
    ck_assert_int_eq(a->nested_wide, 0);
    for (int64_t i = 0; i < a->count; i++)
        ck_assert_msg(a->times[i] == 1, "element %lld of %lld was computed %d times", (long long)i,
                      (long long)a->count, a->times[i]);
    free((void *)a->times);
}

static void run_counted(int64_t count, int64_t grain, int width)
{
    static account a;
    make_account(&a, count, grain, width);
    const int before = jemi_threads_enter(width);
    ck_assert_int_eq(jemi_parallel_width(), width);
    jemi_parallel(count, grain, count_elements, &a);
    ck_assert_int_eq(jemi_parallel_width(), width);
    jemi_threads_leave(before);
    check_account(&a);
}

START_TEST(test_every_element_once)
{
    static const int64_t counts[] = {0, 1, 2, 3, 64, 1000, 65536, ELEMENTS_MAX};
    static const int64_t grains[] = {1, 3, 1000, ELEMENTS_MAX};
    static const int widths[] = {1, 2, 3, 8, 64, 65, WIDTH_MAX};
    for (int c = 0; c < COUNT(counts); c++)
        for (int g = 0; g < COUNT(grains); g++)
            for (int w = 0; w < COUNT(widths); w++)
                run_counted(counts[c], grains[g], widths[w]);
}
END_TEST

// ---- helpers come -------------------------------------------------------------------------------

static void sleep_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void sleep_and_count(void *context, int64_t begin, int64_t end, int worker)
{
    sleep_ms(5);
    count_elements(context, begin, end, worker);
}

START_TEST(test_helpers_share)
{
    static account a;
    make_account(&a, 40, 1, 4);
    const int before = jemi_threads_enter(4);
    jemi_parallel(40, 1, sleep_and_count, &a);
    jemi_threads_leave(before);
    for (int worker = 0; worker < 4; worker++)
        ck_assert_msg(a.by_worker[worker] > 0, "worker %d had nothing to do", worker);
    check_account(&a);
}
END_TEST

// ---- no lost wake-up ----------------------------------------------------------------------------

START_TEST(test_many_loops)
{
    alarm(600); // a hang ends here
    const int before = jemi_threads_enter(3);
    for (int round = 0; round < 100000; round++) {
        static account a;
        static _Atomic uint8_t times[64];
        const int64_t count = 2 + round % 60;
        memset(&a, 0, sizeof a);
        memset((void *)times, 0, sizeof times);
        a.count = count;
        a.grain = 1;
        a.width = 3;
        a.times = times;
        jemi_parallel(count, 1, count_elements, &a);
        for (int64_t i = 0; i < count; i++)
            ck_assert_int_eq(times[i], 1);
        ck_assert_int_eq(a.two_at_once + a.bad_range + a.bad_worker + a.nested_wide, 0);
        if (round % 5000 == 0)
            sleep_ms(2); // the workers fall asleep
    }
    jemi_threads_leave(before);
}
END_TEST

// ---- loops in loops -----------------------------------------------------------------------------

static void nested(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    account *inner = context;
    for (int64_t i = begin; i < end; i++) {
        inner[i].width = 1; // so its worker must be 0
        jemi_parallel(inner[i].count, inner[i].grain, count_elements, &inner[i]);
    }
}

START_TEST(test_nested)
{
    static account inner[20];
    for (int i = 0; i < COUNT(inner); i++)
        make_account(&inner[i], 1000, 7, 1);
    const int before = jemi_threads_enter(4);
    jemi_parallel(COUNT(inner), 1, nested, inner);
    jemi_threads_leave(before);
    for (int i = 0; i < COUNT(inner); i++)
        check_account(&inner[i]);
}
END_TEST

// ---- many callers -------------------------------------------------------------------------------

enum { CALLERS = 8 };

static void *call_often(void *unused)
{
    (void)unused;
    account *a = malloc(sizeof *a);
    const int before = jemi_threads_enter(2);
    for (int i = 0; i < 300; i++) {
        make_account(a, 1 + i * 7 % 500, 1 + i % 5, 2);
        jemi_parallel(a->count, a->grain, count_elements, a);
        check_account(a);
    }
    jemi_threads_leave(before);
    free(a);
    return NULL;
}

START_TEST(test_many_callers)
{
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, NULL), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    const int others = jemi_processors_known() - 1;
    ck_assert_int_le(jemi_workers_count(), others > 1 ? others : 1);
}
END_TEST

enum { HOLDERS = 4 };

typedef struct hold {
    _Atomic int holding;
    atomic_bool over;
} hold;

static void hold_first(void *context, int64_t begin, int64_t end, int worker)
{
    hold *h = context;
    (void)end;
    (void)worker;
    if (begin != 0)
        return;
    h->holding++;
    while (!h->over)
        sleep_ms(1);
}

static void *hold_a_loop(void *context)
{
    const int before = jemi_threads_enter(2);
    jemi_parallel(2, 1, hold_first, context);
    jemi_threads_leave(before);
    return NULL;
}

// With as many callers as processors nobody helps: a loop is one call of its task.
START_TEST(test_no_help_where_all_processors_are_taken)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    for (int cpu = 0; CPU_COUNT(&mask) > HOLDERS && cpu < CPU_SETSIZE; cpu++)
        CPU_CLR(cpu, &mask);
    sched_setaffinity(0, sizeof mask, &mask);
    const int processors = jemi_processors_count();
    static hold h;
    pthread_t holders[HOLDERS];
    for (int i = 0; i < processors; i++)
        ck_assert_int_eq(pthread_create(&holders[i], NULL, hold_a_loop, &h), 0);
    while (h.holding < processors)
        sleep_ms(1);
    static account a;
    make_account(&a, 100000, 1, 4);
    a.work = 100;
    const int before = jemi_threads_enter(4);
    jemi_parallel(a.count, a.grain, count_elements, &a);
    jemi_threads_leave(before);
    h.over = true;
    for (int i = 0; i < processors; i++)
        pthread_join(holders[i], NULL);
    ck_assert_int_eq(a.by_worker[0], a.count);
    check_account(&a);
}
END_TEST

// ---- no threads ---------------------------------------------------------------------------------

// Root has no limit of processes, so the limit is one of address space that no stack fits in.
START_TEST(test_threads_that_cannot_start)
{
    struct rlimit before, limit;
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    char line[256];
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    pages = strtol(line, NULL, 10);
    static account a;
    make_account(&a, 1000, 1, 8);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (256 << 10);
    setrlimit(RLIMIT_AS, &limit);
    const int width = jemi_threads_enter(8);
    jemi_parallel(1000, 1, count_elements, &a);
    jemi_threads_leave(width);
    setrlimit(RLIMIT_AS, &before);
    ck_assert_int_eq(jemi_workers_count(), 0);
    ck_assert_int_eq(a.by_worker[0], 1000);
    check_account(&a);
}
END_TEST

// ---- fork ---------------------------------------------------------------------------------------

static void expect_child(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %x", status);
}

START_TEST(test_fork_between_loops)
{
    run_counted(1000, 1, 4);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        if (jemi_workers_count() != 0)
            _exit(1);
        run_counted(1000, 1, 4);
        _exit(jemi_workers_count() > 0 ? 0 : 2);
    }
    expect_child(child);
    run_counted(1000, 1, 4);
}
END_TEST

static void fork_in_first(void *context, int64_t begin, int64_t end, int worker)
{
    pid_t *child = context;
    if (begin == 0) {
        sleep_ms(20); // helpers are in their pieces
        *child = fork();
    } else if (worker != 0) {
        sleep_ms(100);
    }
    (void)end;
}

// The child's loop ends without the helpers, and says so; its next loop is whole.
START_TEST(test_fork_in_a_loop)
{
    fflush(NULL);
    pid_t child = -1;
    const int before = jemi_threads_enter(4);
    jemi_parallel(4, 1, fork_in_first, &child);
    const bool forked = jemi_parallel_forked();
    if (child == 0) {
        alarm(60);
        run_counted(1000, 1, 4);
        _exit(forked && !jemi_parallel_forked() ? 0 : 1);
    }
    jemi_threads_leave(before);
    ck_assert(!forked);
    expect_child(child);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_every_element_once);
    tcase_add_test(tcase, test_helpers_share);
    tcase_add_test(tcase, test_many_loops);
    tcase_add_test(tcase, test_nested);
    tcase_add_test(tcase, test_many_callers);
    tcase_add_test(tcase, test_no_help_where_all_processors_are_taken);
    tcase_add_test(tcase, test_threads_that_cannot_start);
    tcase_add_test(tcase, test_fork_between_loops);
    tcase_add_test(tcase, test_fork_in_a_loop);
}

int main(void)
{
    return support_main("parallel loops", add_tests);
}
