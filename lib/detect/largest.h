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

/** All of them where there are no more than `most`, 1 .. JEMI_LARGEST_MAX. */
void jemi_find_largest(int64_t n, const float *values, int64_t most, jemi_largest *heap);

/** The k-th largest of them, 1 <= k <= n: any k, but a walk over all values for each of 32 bits. */
float jemi_kth_largest(int64_t n, const float *values, int64_t k);

#endif
