/*
 * Rows through the model, and all that a detector's kinds make of them.
 */
#ifndef JEMI_DETECT_DETECTOR_ROWS_H
#define JEMI_DETECT_DETECTOR_ROWS_H

#include "detect/detector.h"
#include "detect/feature_maps.h"

/** Rows of a block: so many that products are efficient and their features stay in cache. */
enum { JEMI_DETECTOR_ROWS = 256 };

/** Logits and features of some rows. */
typedef struct jemi_detector_values {
    float *logits;   /* (n, n_classes) */
    float *features; /* (n, padded width), as linear maps want them; NULL = not wanted */
} jemi_detector_values;

/** @param x  In. Finite. @param values  Out. Of a row that overflows, not all finite. */
jem_status jemi_detector_values_of(const jem_model *model, jemi_runner *runner, int64_t n,
                                   const float *x, const jemi_detector_values *values);

/** The memory of one call. Zeroed = none. */
typedef struct jemi_detector_work {
    jemi_detector_values values;
    jemi_feature_maps maps;
    float *scores; /* (JEMI_DETECTOR_ROWS, n_kinds) */
    float *column; /* (JEMI_DETECTOR_ROWS), of a kind of the input gradient */
} jemi_detector_work;

/** Zeroed before; fini'd by the caller, also after a failure. */
jem_status jemi_detector_work_create(jemi_detector_work *work, const jem_detector *detector);
void jemi_detector_work_fini(jemi_detector_work *work);

/**
 * All kinds' scores, or those of kind number `only` unless it is -1, of n <= JEMI_DETECTOR_ROWS finite rows into work->scores, and their logits; a
 * row that overflows has +infinity everywhere.
 */
jem_status jemi_detector_score_rows(const jem_detector *detector, const jem_model *model,
                                    jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                    jemi_detector_work *work);

/** The most probable class of a row of logits, -1 where they are not finite. */
int64_t jemi_detector_label(int64_t n_classes, const float *logits);

#endif
