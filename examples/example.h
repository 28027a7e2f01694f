/*
 * What the examples share: giving up with libjem's sentence, and two moons to learn from.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jem/jem.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        const jem_status status = (call);                                                          \
        if (status != JEM_OK) {                                                                    \
            fprintf(stderr, "%s: %s\n", jem_status_string(status), jem_last_error());              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Two interleaved half circles, one per class: x (n, 2), y (n). */
static inline void two_moons(int64_t n, float *x, int64_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        const float angle = 3.14159265f * (float)rand() / (float)RAND_MAX;
        const float blur_x = 0.1f * ((float)rand() / (float)RAND_MAX - 0.5f);
        const float blur_y = 0.1f * ((float)rand() / (float)RAND_MAX - 0.5f);
        y[i] = i % 2;
        x[2 * i] = (y[i] ? 1.0f - cosf(angle) : cosf(angle)) - 0.5f + blur_x;
        x[2 * i + 1] = (y[i] ? 0.5f - sinf(angle) : sinf(angle)) - 0.25f + blur_y;
    }
}

#endif
