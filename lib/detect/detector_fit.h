/*
 * What a detector learns: from training rows, then from held-out rows.
 */
#ifndef JEMI_DETECT_DETECTOR_FIT_H
#define JEMI_DETECT_DETECTOR_FIT_H

#include "base/progress.h"
#include "detect/detector.h"
#include "detect/feature_fit.h"

/** Rows of the caller's. */
typedef struct jemi_detector_data {
    int64_t n;
    const float *x;        /* (n, C, H, W), finite */
    const int64_t *labels; /* (n); NULL: a fit takes those that the model predicts, a calibration
                              makes no label sets */
} jemi_detector_data;

/** Which statistics its kinds need. */
jemi_feature_request jemi_detector_needs(const jem_detector *detector);

/** A calibration of its kinds as jemi_calibration_fit() begins. @param two_sided  Out. (n_kinds). */
jemi_calibration jemi_detector_calibration(const jem_detector *detector, bool *two_sided);

/** How many visits of rows the progress of a fit counts. */
int64_t jemi_detector_fit_visits(int64_t n);

/** On any error the detector is as before. */
jem_status jemi_detector_fit(jem_detector *detector, const jem_model *model,
                             const jemi_detector_data *data, jemi_progress *progress);

/** The same. The threshold is that of the config. */
jem_status jemi_detector_calibrate(jem_detector *detector, const jem_model *model,
                                   const jemi_detector_data *data, jemi_progress *progress);

#endif
