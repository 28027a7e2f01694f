/*
 * Which way a row has to move for a detector's score to rise.
 */
#ifndef JEMI_DETECT_DETECTOR_GRADIENT_H
#define JEMI_DETECT_DETECTOR_GRADIENT_H

#include "detect/detector_rows.h"

/** The memory of one call. Zeroed = none. */
typedef struct jemi_detector_gradient {
    double *slopes;    /* (rows, 2 width + rank + n_classes), of one row at a time */
    float *cotangents; /* (rows, width), of the penultimate features */
} jemi_detector_gradient;

/** JEM_EUNSUPPORTED when a kind that counts, number `only` or with -1 any, has no derivative. */
jem_status jemi_detector_check_gradient(const jem_detector *detector, int32_t only);

/** For blocks of up to `rows` rows. Zeroed before; fini'd by the caller, also after a failure. */
jem_status jemi_detector_gradient_create(jemi_detector_gradient *gradient,
                                         const jem_detector *detector, const jem_model *model,
                                         int64_t rows);
void jemi_detector_gradient_fini(jemi_detector_gradient *gradient);

/**
 * The input gradient of the score of kind number `only`, with -1 of the combined one, by the slopes
 * of jemi_calibration_slopes(). 0 where a row overflows, or its gradient.
 *
 * @param work  Of jemi_detector_score_rows() for the same arguments.
 * @param x     In. (n, C, H, W).
 * @param dx    Out. (n, C, H, W).
 */
jem_status jemi_detector_gradient_rows(const jemi_detector_gradient *gradient,
                                       const jem_detector *detector, const jem_model *model,
                                       jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                       const jemi_detector_work *work, float *dx);

#endif
