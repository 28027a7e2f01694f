/*
 * Figures of repeated measurements.
 */
#ifndef JEM_CLI_MEDIAN_H
#define JEM_CLI_MEDIAN_H

#include <stdint.h>

/** Sorts, the smallest first. */
void cli_sort(double *values, int64_t n);

/** Of sorted values, n >= 1. */
double cli_median(const double *sorted, int64_t n);

#endif
