/*
 * One number that turns logits into calibrated probabilities (Guo et al. 2017, section 4.2).
 */
#ifndef JEMI_DETECT_TEMPERATURE_H
#define JEMI_DETECT_TEMPERATURE_H

#include <stdint.h>

/** The temperature of least NLL among those that a model takes. n >= 1, n_classes >= 2. */
double jemi_fit_temperature(int64_t n, int64_t n_classes, const float *logits,
                            const int64_t *labels);

#endif
