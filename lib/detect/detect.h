/*
 * The decision.
 */
#ifndef JEMI_DETECT_DETECT_H
#define JEMI_DETECT_DETECT_H

#include "detect/detector.h"

/** Raw scores of its kind number k, or with -1 combined ones. @param x  Finite. */
jem_status jemi_detector_score(const jem_detector *detector, const jem_model *model, int32_t k,
                               int64_t n, const float *x, float *scores);

/** @param x  Finite. @param members  Out. (n, K), 1 for labels that surprise by at most `limit`. */
jem_status jemi_detector_label_sets(const jem_detector *detector, const jem_model *model,
                                    float limit, int64_t n, const float *x, uint8_t *members);

/** @param x  Of any content. @param stride  Bytes from one verdict to the next. */
jem_status jemi_detect(const jem_detector *detector, const jem_model *model, int64_t n,
                       const float *x, jem_verdict *verdicts, size_t stride);

#endif
