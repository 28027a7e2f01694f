/*
 * How many processors there are to use, of made-up control groups and of this process; and teams of
 * OpenMP's where a thread cannot be started.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/openmp.h"
#include "base/processors.h"
#include "base/threads.h"
#include "support.h"

static char dir[200];

static void write_file(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", dir, path);
    for (char *at = whole + strlen(dir) + 1; (at = strchr(at, '/')) != NULL; *at++ = '/') {
        *at = '\0';
        mkdir(whole, 0700);
    }
    support_write_file(whole, text, strlen(text));
}

typedef struct groups {
    const char *name, *membership;
    const char *files[6][2]; // path below the mount, content
    int quota;
} groups;

static const groups cases[] = {
    {"no group", "", {{NULL}}, 0},
    {"no quota", "0::/a\n", {{"a/cpu.max", "max 100000\n"}}, 0},
    {"half a processor", "0::/a\n", {{"a/cpu.max", "50000 100000\n"}}, 1},
    {"one and a half", "0::/a\n", {{"a/cpu.max", "150000 100000\n"}}, 2},
    {"the parent has less",
     "0::/a/b/c\n",
     {{"a/b/c/cpu.max", "800000 100000\n"}, {"a/cpu.max", "300000 100000\n"}},
     3},
    {"the child has less",
     "0::/a/b\n",
     {{"a/b/cpu.max", "200000 100000\n"}, {"a/cpu.max", "300000 100000\n"}},
     2},
    {"a container sees its own as the root", "0::/docker/1f\n", {{"cpu.max", "200000 50000\n"}}, 4},
    {"of the root", "0::/\n", {{"cpu.max", "200000 100000\n"}}, 2},
    {"not of a sibling", "0::/a\n", {{"b/cpu.max", "100000 100000\n"}}, 0},
    {"version 1",
     "3:memory:/m\n4:cpu,cpuacct:/a/b\n0::/\n",
     {{"cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n"},
      {"cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n"},
      {"cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n"},
      {"cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     3},
    {"version 1, linked as cpu",
     "4:cpuacct,cpu:/a\n",
     {{"cpu/a/cpu.cfs_quota_us", "100000\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}},
     1},
    {"not of cpuset", "4:cpuset:/a\n", {{"cpuset/a/cpu.cfs_quota_us", "100000\n"}}, 0},
    {"nonsense", "::::\n0::\nx\n", {{"cpu.max", "\n"}}, 0},
    {"numbers that are none", "0::/\n", {{"cpu.max", "-5 100000\n"}}, 0},
    {"a period of 0", "0::/\n", {{"cpu.max", "100000 0\n"}}, 0},
    {"more than a machine has", "0::/\n", {{"cpu.max", "9223372036854775807 1\n"}}, 0},
};

START_TEST(test_quota)
{
    const groups *c = &cases[_i];
    support_make_dir(dir, sizeof dir);
    for (int i = 0; i < COUNT(c->files) && c->files[i][0] != NULL; i++)
        write_file(c->files[i][0], c->files[i][1]);
    write_file("membership", c->membership);
    char membership[256];
    snprintf(membership, sizeof membership, "%s/membership", dir);
    const int quota = jemi_processors_quota(membership, dir);
    ck_assert_msg(quota == c->quota, "%s: %d, expected %d", c->name, quota, c->quota);
}
END_TEST

START_TEST(test_affinity)
{
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_ge(jemi_processors_count(), 1);
    ck_assert_int_le(jemi_processors_count(), CPU_COUNT(&all));
    CPU_ZERO(&one);
    int first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(jemi_processors_count(), 1);
    ck_assert_int_eq(jemi_threads_default(), 1);
    jem_exec_config config;
    MUST(jem_exec_config_init(&config, sizeof config));
    ck_assert_int_eq(config.threads, 1);
    sched_setaffinity(0, sizeof all, &all);
}
END_TEST

// ---- threads that cannot be started -------------------------------------------------------------

// Leaves room for `bytes` more.
static void limit_memory(size_t bytes)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    ck_assert(file != NULL && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    const rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {now + bytes, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
}

START_TEST(test_teams_that_cannot_be)
{
    ck_assert(jemi_openmp_can_have(1));
    ck_assert(jemi_openmp_can_have(2));
    limit_memory(1 << 20);
    ck_assert(jemi_openmp_can_have(2)); // it has had them
    ck_assert(!jemi_openmp_can_have(40));
    limit_memory((size_t)1 << 40);
    ck_assert(!jemi_openmp_can_have(40)); // not so soon
    sleep(2);
    ck_assert(jemi_openmp_can_have(40));
}
END_TEST

enum { FEATURES = 64, CLASSES = 10, ROWS = 300 };

typedef struct results {
    float logits[ROWS * CLASSES], drawn[ROWS * FEATURES];
} results;

// A network whose products are oneDNN's, where there is one, in every kind of call.
static jem_status compute(int32_t threads, results *r)
{
    jem_exec_config exec = support_exec(0, threads);
    exec.kernel = "onednn";
    jem_model *model = support_model("mlp-1000-1000", FEATURES, CLASSES, &exec);
    float *x = support_uniform(ROWS * FEATURES, 1);
    const jem_sampler_config config = support_sampler_config(ROWS, 2);
    jem_sampler *sampler = support_sampler(model, &config);
    jem_status status = jem_logits(model, ROWS, x, r->logits);
    if (status == JEM_OK)
        status = jem_sampler_draw(model, sampler, ROWS, r->drawn, NULL, NULL, NULL);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    free(x);
    return status;
}

// In little address space the stacks of many threads leave no room for their workspaces: that is said.
START_TEST(test_host_without_threads)
{
    static results few, many;
    MUST(compute(1, &few));
    limit_memory(400 << 20);
    const jem_status status = compute(1024, &many);
    ck_assert(status == JEM_OK || status == JEM_ENOMEM);
    limit_memory((size_t)1 << 40);
    MUST(compute(1024, &many));
    support_same_bits(&few, &many, sizeof few, "logits and rows drawn");
}
END_TEST

static void tear_down(void)
{
    if (dir[0] != '\0') {
        char command[256];
        snprintf(command, sizeof command, "rm -r '%s'", dir);
        ck_assert_int_eq(system(command), 0);
    }
}

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_loop_test(tcase, test_quota, 0, COUNT(cases));
    tcase_add_test(tcase, test_affinity);
    tcase_add_test(tcase, test_teams_that_cannot_be);
    tcase_add_test(tcase, test_host_without_threads);
}

int main(void)
{
    return support_main("processors", add_tests);
}
