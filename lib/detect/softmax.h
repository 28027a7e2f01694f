/*
 * Class probabilities of one row in double, at a temperature.
 */
#ifndef JEMI_DETECT_SOFTMAX_H
#define JEMI_DETECT_SOFTMAX_H

#include <stdint.h>

/** Of softmax(logits / temperature). */
typedef struct jemi_softmax {
    int32_t top;    /* the first of the classes with the largest logit */
    double log_sum; /* ln p[k] = (logits[k] - logits[top]) / temperature - log_sum */
} jemi_softmax;

/** p  Out. (n_classes). */
jemi_softmax jemi_softmax_row(const float *logits, int32_t n_classes, double temperature,
                              double *p);

#endif
