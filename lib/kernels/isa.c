/*
 * The choice of an instruction set, and the entries of the room: each calls what the set in use has
 * in its table.
 */
#include "kernels/isa.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "kernels/list.h"

extern const jemi_kernel_table jemi_portable_table;

typedef struct set {
    const jemi_kernel_table *table;
    bool (*is_available)(void);
} set;

#if defined(__x86_64__)

extern const jemi_kernel_table jemi_avx512_table, jemi_avx2_table;

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_bf16(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

#elif defined(__aarch64__)

extern const jemi_kernel_table jemi_neon_table;

#endif

#if !defined(__x86_64__)

static bool has_bf16(void)
{
    return false;
}

#endif

static bool is_always(void)
{
    return true;
}

// The fastest first.
static const set sets[] = {
#if defined(__x86_64__)
    {&jemi_avx512_table, has_avx512},
    {&jemi_avx2_table, has_avx2},
#elif defined(__aarch64__)
    {&jemi_neon_table, is_always},
#endif
    {&jemi_portable_table, is_always},
};

enum { SETS = sizeof sets / sizeof sets[0] };

// NULL until somebody asks: then whoever asks first sets it, and all would set the same.
static const jemi_kernel_table *_Atomic chosen;

static const jemi_kernel_table *table_at(int index)
{
    for (int i = 0; i < SETS; i++)
        if (sets[i].is_available() && index-- == 0)
            return sets[i].table;
    return NULL;
}

static const jemi_kernel_table *in_use(void)
{
    const jemi_kernel_table *table = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (table == NULL) {
        table = table_at(0);
        atomic_store_explicit(&chosen, table, memory_order_relaxed);
    }
    return table;
}

int jemi_isa_count(void)
{
    int count = 0;
    while (table_at(count) != NULL)
        count++;
    return count;
}

const char *jemi_isa_name(int index)
{
    return table_at(index)->name;
}

const char *jemi_isa_in_use(void)
{
    return in_use()->name;
}

bool jemi_isa_limit(const char *name)
{
    int index = 0;
    while (name != NULL && table_at(index) != NULL && strcmp(table_at(index)->name, name) != 0)
        index++;
    if (table_at(index) == NULL)
        return false;
    chosen = table_at(index);
    return true;
}

bool jemi_kernels_available(void)
{
    return in_use() != &jemi_portable_table;
}

bool jemi_avx512_available(void)
{
    return strcmp(in_use()->name, "avx512") == 0;
}

bool jemi_bf16_available(void)
{
    return jemi_avx512_available() && has_bf16();
}

#define ENTRY(type, name, parameters, arguments)                                                   \
    type jemi_##name parameters                                                                    \
    {                                                                                              \
        return in_use()->name arguments;                                                           \
    }

JEMI_KERNEL_LIST(ENTRY)
