/*
 * The largest few of many numbers.
 */
#ifndef JEMI_DETECT_LARGEST_H
#define JEMI_DETECT_LARGEST_H

#include <stdint.h>

enum { JEMI_LARGEST_MAX = 1000 };

/** A heap whose root, values[0], is the smallest of them. */
typedef struct jemi_largest {
    int64_t count;
    float values[JEMI_LARGEST_MAX];
} jemi_largest;

/** Keeps the largest `most`, 1 .. JEMI_LARGEST_MAX, of what it holds and these. Begins with count 0. */
void jemi_largest_add(jemi_largest *heap, int64_t n, const float *values, int64_t most);

/** The place of the largest, the first of those that tie. n >= 1. */
int64_t jemi_find_top(int64_t n, const float *values);

/** The k-th largest of them, 1 <= k <= n: any k, but a walk over all values for each of 32 bits. */
float jemi_kth_largest(int64_t n, const float *values, int64_t k);

#endif
