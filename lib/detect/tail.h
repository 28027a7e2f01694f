/*
 * How far out in the tails of a sample a value lies, for values beyond the sample as well.
 *
 * What it gives is a scale on which scores of different kinds can be compared, not yet a p-value:
 * whatever is made of it is calibrated again.
 */
#ifndef JEMI_DETECT_TAIL_H
#define JEMI_DETECT_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include <jem/jem.h>

/** Zeroed = none. */
typedef struct jemi_tail {
    int64_t n;
    float *sorted;      /* (n), ascending */
    float above, below; /* mean distance of the outer twentieth from where it begins, either side */
} jemi_tail;

/** @param tail  Zeroed before. @param values  In. (n), n >= 1, infinite ones are allowed. */
jem_status jemi_tail_fit(jemi_tail *tail, int64_t n, const float *values);
void jemi_tail_fini(jemi_tail *tail);

/**
 * Minus the logarithm of the part of rows that lie as far out: (1 + number >= value) / (n + 1), and
 * beyond the largest value as if the tail were exponential.
 *
 * @param two_sided  Low values are far out as well; both sides count half.
 */
double jemi_tail_surprise(const jemi_tail *tail, float value, bool two_sided);

/**
 * How fast the surprise rises with the value, as if both tails were exponential from the middle on:
 * 1 / `above`, or -1 / `below` of two sides where the lower one is more surprising. Inside of the
 * sample the surprise itself rises by steps, with about that slope in the outer twentieth.
 */
double jemi_tail_slope(const jemi_tail *tail, float value, bool two_sided);

#endif
