/*
 * What this machine can compute: the speed of 32-bit multiply-adds that no program exceeds.
 */
#ifndef JEM_CLI_PEAK_H
#define JEM_CLI_PEAK_H

#include <stdint.h>

/** GFLOP/s (two per multiply-add) of `threads` threads together, measured now, and by which
 *  instructions. */
double cli_peak_gflops(int32_t threads, const char **instructions);

#endif
