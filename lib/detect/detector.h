/*
 * The detector handle: which scores it takes, statistics of training rows, calibration.
 */
#ifndef JEMI_DETECT_DETECTOR_H
#define JEMI_DETECT_DETECTOR_H

#include <stdatomic.h>

#include "base/claim.h"
#include "detect/calibration.h"
#include "detect/feature_stats.h"
#include "detect/score_kinds.h"
#include "model/model.h"

/** More than there are kinds. */
enum { JEMI_KINDS_MAX = 32 };

struct jem_detector {
    jem_detector_config config;
    jem_score_config scores;
    jemi_fingerprint fingerprint;
    int32_t n_kinds;
    const jemi_score_kind *kinds[JEMI_KINDS_MAX];
    jemi_claim claim; /* of calls that change it */
    /* What it was fitted or calibrated to: */
    int32_t precision;
    uint64_t digest; /* of the parameters */
    _Atomic uint64_t
        verified; /* version of the last generation that was found to have it; 0 = none */
    int64_t n_fitted;
    jemi_feature_stats stats;
    jemi_calibration calibration;
};

jem_status jemi_detector_create(jem_detector **out, const jem_model *model,
                                const jem_detector_config *config, const jem_score_config *scores);
/** Accepts NULL. */
void jemi_detector_destroy(jem_detector *detector);

/** Whether one of its kinds is made of that, JEM_SOURCE_*. */
bool jemi_detector_wants(const jem_detector *detector, int32_t source);

/** Kinds of features without statistics: JEM_EINVAL. */
jem_status jemi_detector_check_fitted(const jem_detector *detector);
jem_status jemi_detector_check_calibrated(const jem_detector *detector);

/** JEM_EMISMATCH unless these are the parameters, and this the precision, that it belongs to. */
jem_status jemi_detector_check_model(const jem_detector *detector, const jem_model *model,
                                     const jemi_runner *runner);

/** The digest of what a runner computes with. */
uint64_t jemi_detector_digest(const jem_model *model, const jemi_runner *runner);

size_t jemi_detector_bytes(const jem_detector *detector);

#endif
