/*
 * Products of one vector with many that lie side by side.
 */
#ifndef JEMI_KERNELS_PANELS_H
#define JEMI_KERNELS_PANELS_H

#include <stdint.h>

/**
 * Products of x with n * 16 vectors, each summed in the order of its elements. Serial.
 *
 * @param panels    In. (n, rank, 16): element e of vector v of a panel is at e * 16 + v.
 * @param x         In. (rank).
 * @param products  Out. (n, 16).
 */
void jemi_multiply_panels(const float *panels, int64_t n, int64_t rank, const float *x,
                          float *products);

#endif
