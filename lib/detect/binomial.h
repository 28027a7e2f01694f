/*
 * An upper confidence limit of a probability (Clopper & Pearson 1934), and with it the upper quantiles
 * of order statistics: the part of a law beyond the r-th largest of n values is Beta(r, n + 1 - r)
 * distributed, and P(Beta(r, n + 1 - r) > p) = P(Binomial(n, p) <= r - 1).
 */
#ifndef JEMI_DETECT_BINOMIAL_H
#define JEMI_DETECT_BINOMIAL_H

#include <stdint.h>

/**
 * The p with P(Binomial(n, p) <= k) = level, rounded up in its last bits.
 *
 * @param k  0 .. n - 1. @param level  Above 0, at most 1/2.
 */
double jemi_binomial_limit(int64_t n, int64_t k, double level);

#endif
