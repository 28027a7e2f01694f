#ifndef JEMI_BASE_CLOCK_H
#define JEMI_BASE_CLOCK_H

#include <stdint.h>

/** A monotonic clock, in seconds and in nanoseconds. */
double jemi_seconds(void);
int64_t jemi_nanoseconds(void);

#endif
