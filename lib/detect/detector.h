/*
 * The detector handle: which scores it takes, and what it has learnt.
 */
#ifndef JEMI_DETECT_DETECTOR_H
#define JEMI_DETECT_DETECTOR_H

#include "base/claim.h"
#include "detect/belonging.h"
#include "detect/calibration.h"
#include "detect/feature_stats.h"
#include "detect/score_kinds.h"

/** More than there are kinds. */
enum { JEMI_KINDS_MAX = 32 };

/** Zeroed = nothing. */
typedef struct jemi_learnt {
    jemi_belonging model;
    _Atomic uint64_t verified;    /* see jemi_belonging_check() */
    int64_t n_fitted;             /* training rows; 0 = not fitted */
    jemi_feature_stats *stats;    /* NULL = not fitted */
    jemi_calibration calibration; /* n = 0: not calibrated */
} jemi_learnt;

/**
 * What was learnt is exchanged as a whole, by one store, and freed only then: the child of a fork
 * finds the old or the new.
 */
struct jem_detector {
    jem_detector_config config;
    jem_score_config scores;
    jemi_fingerprint fingerprint;
    int32_t n_kinds;
    const jemi_score_kind *kinds[JEMI_KINDS_MAX];
    jemi_claim claim;              /* of calls that change it */
    _Atomic(jemi_learnt *) learnt; /* never NULL */
};

/** Of the config: kinds that there are and that say something of so many classes; else `failure`. */
jem_status jemi_detector_check_kinds(const jem_detector_config *config, int32_t classes,
                                     jem_status failure);

jem_status jemi_detector_create(jem_detector **out, const jem_model *model,
                                const jem_detector_config *config, const jem_score_config *scores);
/** Accepts NULL. */
void jemi_detector_destroy(jem_detector *detector);

static inline jemi_learnt *jemi_detector_learnt(const jem_detector *detector)
{
    return atomic_load_explicit(&((jem_detector *)detector)->learnt, memory_order_acquire);
}

/** Takes over `next`. What the two share, the old one gives up without freeing it. */
void jemi_detector_exchange(jem_detector *detector, jemi_learnt *next);
/** Accepts NULL. */
void jemi_learnt_destroy(jemi_learnt *learnt);

/** Whether one of its kinds is made of that, JEM_SOURCE_*. */
bool jemi_detector_wants(const jem_detector *detector, int32_t source);

/** Kinds of features, of which number `only` is one or -1, without statistics: JEM_EINVAL. */
jem_status jemi_detector_check_fitted(const jem_detector *detector, int32_t only);
jem_status jemi_detector_check_calibrated(const jem_detector *detector);

/** JEM_EMISMATCH unless the model is the one that something was learnt about, if anything was. */
jem_status jemi_detector_check_model(const jem_detector *detector, const jem_model *model,
                                     const jemi_runner *runner);

size_t jemi_detector_bytes(const jem_detector *detector);

#endif
