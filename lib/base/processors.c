#define _GNU_SOURCE
#include "base/processors.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { PATH = 4096 };

static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const bool good = fgets(line, size, file) != NULL;
    fclose(file);
    return good;
}

static int round_up(long long quota, long long period)
{
    return quota > 0 && period > 0 && quota / period < 100000 ? (int)((quota + period - 1) / period)
                                                              : 0;
}

// Version 2: "max 100000" or "150000 100000".
static int quota_of_unified(const char *folder)
{
    char path[PATH + 32], line[128];
    long long quota, period;
    jemi_format(path, sizeof path, "%s/cpu.max", folder);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2)
        return 0;
    return round_up(quota, period);
}

// Version 1: a quota of -1 is none.
static int quota_of_controller(const char *folder)
{
    char path[PATH + 32], line[128];
    long long quota, period;
    jemi_format(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &quota) != 1)
        return 0;
    jemi_format(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &period) != 1)
        return 0;
    return round_up(quota, period);
}

static int smaller(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

// Of a group and all above it. In a container the group's name may be one that is not seen there;
// its files are then those of the mount point.
static int quota_up_from(const char *mount, const char *group, int (*quota_of)(const char *))
{
    char folder[PATH];
    const size_t root = strlen(mount);
    jemi_format(folder, sizeof folder, "%s%s", mount, group);
    int quota = quota_of(mount);
    for (size_t end = strlen(folder); end > root; folder[end] = '\0') {
        quota = smaller(quota, quota_of(folder));
        while (end > root && folder[--end] != '/') {
        }
    }
    return quota;
}

// "cpu,cpuacct" names the controller cpu.
static bool names_cpu(const char *controllers, size_t length)
{
    for (const char *at = controllers; at < controllers + length;) {
        const size_t name = strcspn(at, ",:");
        if (name == 3 && strncmp(at, "cpu", 3) == 0)
            return true;
        at += name + 1;
    }
    return false;
}

// "0::/group" of version 2, "4:cpu,cpuacct:/group" of version 1.
static int quota_of_line(const char *line, const char *mount)
{
    const char *controllers = strchr(line, ':');
    const char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL)
        return 0;
    char where[PATH];
    controllers++;
    group++;
    if (group == controllers + 1)
        return quota_up_from(mount, group, quota_of_unified);
    const size_t length = (size_t)(group - 1 - controllers);
    if (!names_cpu(controllers, length))
        return 0;
    jemi_format(where, sizeof where, "%s/%.*s", mount, (int)length, controllers);
    const int quota = quota_up_from(where, group, quota_of_controller);
    jemi_format(where, sizeof where, "%s/cpu", mount);
    return smaller(quota, quota_up_from(where, group, quota_of_controller));
}

int jemi_processors_quota(const char *membership, const char *mount)
{
    FILE *file = fopen(membership, "re");
    if (file == NULL)
        return 0;
    char line[PATH];
    int quota = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        quota = smaller(quota, quota_of_line(line, mount));
    }
    fclose(file);
    return quota;
}

// The mask of a machine with more than 1024 processors does not fit a cpu_set_t.
static int count_affinity(void)
{
    enum { MOST = 1 << 16 };
    for (size_t n = CPU_SETSIZE; n <= MOST; n *= 4) {
        cpu_set_t *set = jemi_calloc(1, CPU_ALLOC_SIZE(n));
        if (set == NULL)
            return 1;
        const bool good = sched_getaffinity(0, CPU_ALLOC_SIZE(n), set) == 0;
        const int count = good ? CPU_COUNT_S(CPU_ALLOC_SIZE(n), set) : 0;
        jemi_free(set);
        if (good)
            return count;
    }
    return 1;
}

static _Atomic int known;

int jemi_processors_count(void)
{
    const int mask = count_affinity();
    const int count = smaller(mask, jemi_processors_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
    atomic_store_explicit(&known, count, memory_order_relaxed);
    return count;
}

int jemi_processors_known(void)
{
    const int count = atomic_load_explicit(&known, memory_order_relaxed);
    return count > 0 ? count : jemi_processors_count();
}
