/*
 * Figures of merit: of a classifier's probabilities, and of an outlier score.
 */
#ifndef JEMI_DETECT_METRICS_H
#define JEMI_DETECT_METRICS_H

#include <jem/jem.h>

/** metrics->struct_size is left alone. n >= 1. */
void jemi_classification_metrics(int64_t n, int32_t n_classes, const float *logits,
                                 const int64_t *labels, jem_metrics *metrics);

jem_status jemi_auroc(int64_t n_usual, const float *usual, int64_t n_unusual, const float *unusual,
                      double *auroc);

#endif
