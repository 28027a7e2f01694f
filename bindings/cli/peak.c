/*
 * The measurement: chains of dependent multiply-adds, enough of them side by side to hide the
 * latency of each (4 cycles, 2 a cycle: 8; here 12), in registers only, on every thread at once.
 */
#include "peak.h"

#include <omp.h>
#include <string.h>

#include "cli.h"

enum { ACCUMULATORS = 12, ROUNDS = 2000000, RUNS = 7 };

// `v` = v * a + b with a < 1 stays finite. GCC contracts the expression to one instruction where
// the target has it; the empty asm keeps each accumulator in a register and the loop alive.
#define DEFINE_LOOP(name, attributes, lanes)                                                       \
    typedef float name##_vector __attribute__((vector_size((lanes)*4)));                           \
    attributes static void name(int64_t rounds)                                                    \
    {                                                                                              \
        name##_vector v0 = {1}, v1 = v0, v2 = v0, v3 = v0, v4 = v0, v5 = v0, v6 = v0, v7 = v0,     \
                      v8 = v0, v9 = v0, v10 = v0, v11 = v0;                                        \
        const name##_vector a = v0 * 0.5f, b = v0 * 0.25f;                                         \
        for (int64_t i = 0; i < rounds; i++) {                                                     \
            v0 = v0 * a + b, v1 = v1 * a + b, v2 = v2 * a + b, v3 = v3 * a + b;                    \
            v4 = v4 * a + b, v5 = v5 * a + b, v6 = v6 * a + b, v7 = v7 * a + b;                    \
            v8 = v8 * a + b, v9 = v9 * a + b, v10 = v10 * a + b, v11 = v11 * a + b;                \
            __asm__ volatile(""                                                                    \
                             : KEEP(v0), KEEP(v1), KEEP(v2), KEEP(v3), KEEP(v4), KEEP(v5),         \
                               KEEP(v6), KEEP(v7), KEEP(v8), KEEP(v9), KEEP(v10), KEEP(v11));      \
        }                                                                                          \
    }

typedef struct loop {
    void (*run)(int64_t rounds);
    int products; // of one instruction
    const char *instructions;
    bool bf16;
} loop;

#if defined(__x86_64__)
#define KEEP(v) "+v"(v)
DEFINE_LOOP(loop_avx512, __attribute__((target("avx512f"), noinline)), 16)
#undef KEEP
#define KEEP(v) "+x"(v)
DEFINE_LOOP(loop_avx2, __attribute__((target("avx2,fma"), noinline)), 8)
DEFINE_LOOP(loop_sse2, __attribute__((noinline)), 4)

// Pairs of bfloat16, 0.5 and 0.5. The instruction itself, as not every compiler knows it.
__attribute__((target("avx512f"), noinline)) static void loop_bf16(int64_t rounds)
{
    typedef uint32_t pairs __attribute__((vector_size(64)));
    const pairs halves = (pairs){0} + 0x3f003f00u;
    loop_avx512_vector sums[ACCUMULATORS] = {{0}};
    for (int64_t i = 0; i < rounds; i++)
#pragma GCC unroll 12
        for (int k = 0; k < ACCUMULATORS; k++)
            __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(sums[k]) : "v"(halves));
}

// Of the set that the library is limited to.
static loop choose_loop(bool bf16)
{
    const bool avx512 = strcmp(jem_isa(), "avx512") == 0;
    if (bf16 && avx512 && __builtin_cpu_supports("avx512bf16"))
        return (loop){loop_bf16, 32, "AVX-512 BF16 (vdpbf16ps)", true};
    if (avx512)
        return (loop){loop_avx512, 16, "AVX-512", false};
    if (strcmp(jem_isa(), "avx2") == 0)
        return (loop){loop_avx2, 8, "AVX2 + FMA", false};
    return (loop){loop_sse2, 4, "SSE2", false};
}
#else
#if defined(__aarch64__)
#define KEEP(v) "+w"(v)
#else
#define KEEP(v) "+m"(v)
#endif
DEFINE_LOOP(loop_plain, __attribute__((noinline)), 4)

static loop choose_loop(bool bf16)
{
    (void)bf16;
    return (loop){loop_plain, 4, "128-bit vectors", false};
}
#endif

cli_peak cli_peak_measure(int32_t threads, int32_t precision)
{
    const loop chosen = choose_loop(precision == JEM_PRECISION_BF16);
    const double flops = 2.0 * ACCUMULATORS * chosen.products * (double)ROUNDS * threads;
    double best = 0.0;
    for (int run = 0; run < RUNS; run++) {
        const double begin = cli_seconds();
#pragma omp parallel num_threads(threads)
        chosen.run(ROUNDS);
        const double gflops = 1e-9 * flops / (cli_seconds() - begin);
        best = gflops > best ? gflops : best;
    }
    return (cli_peak){best, chosen.bf16 ? "bf16" : "f32", chosen.instructions};
}
