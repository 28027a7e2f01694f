/*
 * What this machine can compute by the instruction set in use: the speed of multiply-adds that no
 * program exceeds.
 */
#ifndef JEM_CLI_PEAK_H
#define JEM_CLI_PEAK_H

#include <stdint.h>

typedef struct cli_peak {
    double gflops;            /* two per multiply-add, of all threads together */
    const char *precision;    /* "f32" or "bf16" */
    const char *instructions; /* what it was measured by */
} cli_peak;

/** Measured now. JEM_PRECISION_BF16 means factors of bfloat16; f32 where there are none. */
cli_peak cli_peak_measure(int32_t threads, int32_t precision);

#endif
