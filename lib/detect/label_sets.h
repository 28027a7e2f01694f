/*
 * Sets of labels that hold the true one with a promised probability (Sadinle, Lei & Wasserman 2019:
 * least ambiguous sets), by conformal prediction: a label belongs to the set when it is at least as
 * probable as the labels of so many held-out rows were.
 */
#ifndef JEMI_DETECT_LABEL_SETS_H
#define JEMI_DETECT_LABEL_SETS_H

#include <jem/jem.h>

/** 1 - softmax(f / temperature) of every label, 1 where logits are not finite. @param surprises  Out.
 *  (n_classes). */
void jemi_label_surprises(int64_t n_classes, const float *logits, double temperature,
                          double *surprises);

/**
 * Labels whose surprise is at most this belong to the set.
 *
 * @param n         Of held-out rows. @param sorted  Their surprises, ascending.
 * @param coverage  JEMI_RATE_MIN .. JEMI_RATE_MAX.
 * @return JEM_OK; JEM_EINVAL where there are too few rows.
 */
jem_status jemi_label_limit(int64_t n, const float *sorted, double coverage, float *limit);

#endif
