/*
 * Elementary functions in double that have the same bits on every machine. Those of the C library do
 * not: glibc, for one, takes a variant with fused multiply-adds where the processor has them.
 *
 * All are off by less than 4 units in the last place.
 */
#ifndef JEMI_BASE_ELEMENTARY_H
#define JEMI_BASE_ELEMENTARY_H

#include <stdint.h>

/** e^x; 0 below -708, infinity above 709. */
double jemi_exp(double x);

/** ln x of a normal x > 0; infinity and NaN are passed through. */
double jemi_ln(double x);

/** base^n, n >= 0. Off by up to n units in the last place. */
double jemi_power(double base, int64_t n);

/** (1 + cos(pi s)) / 2 for s in 0..1: exactly 1 and 0 at the ends. */
double jemi_half_cosine(double s);

#endif
