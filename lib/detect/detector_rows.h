/*
 * Rows through the model, and all that a detector's kinds make of them.
 */
#ifndef JEMI_DETECT_DETECTOR_ROWS_H
#define JEMI_DETECT_DETECTOR_ROWS_H

#include "detect/blocks.h"
#include "detect/detector.h"
#include "detect/feature_maps.h"

/** Rows of a block: so many that products are efficient and their features stay in cache. */
enum { JEMI_DETECTOR_ROWS = JEMI_BLOCK_ROWS };

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
    float *scores;   /* (rows, n_kinds) */
    float *column;   /* (rows), of a kind of the input gradient */
    int64_t *labels; /* (rows), the most probable class; -1 where logits are not finite */
    bool *rejected;  /* (rows), it overflows, or lies outside of the range where that counts */
} jemi_detector_work;

/** For blocks of up to `rows` rows. Zeroed before; fini'd by the caller, also after a failure. */
jem_status jemi_detector_work_create(jemi_detector_work *work, const jem_detector *detector,
                                     int64_t rows);
void jemi_detector_work_fini(jemi_detector_work *work);

/** Rows of the next block, when `left` are left. */
static inline int64_t jemi_detector_block(int64_t left)
{
    return left < JEMI_DETECTOR_ROWS ? left : JEMI_DETECTOR_ROWS;
}

/**
 * All that `work` holds, of n finite rows; scores of kind number `only` alone unless it is -1. Of a
 * row that overflows all scores are +infinity.
 */
jem_status jemi_detector_score_rows(const jem_detector *detector, const jem_model *model,
                                    jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                    jemi_detector_work *work);

/** The last layer, as a runner's parameters have it. */
typedef struct jemi_head {
    const float *weights; /* (n_classes, width) */
    const float *bias;    /* (n_classes) */
} jemi_head;

jemi_head jemi_detector_head(const jem_model *model, const jemi_runner *runner);

/** Row i of a block that was scored, of a detector with kinds of features. */
jemi_feature_row jemi_detector_feature_row(const jem_detector *detector,
                                           const jemi_detector_work *work, const jemi_head *head,
                                           int64_t i);

/** The most probable class of a row of logits, -1 where they are not finite. */
int64_t jemi_detector_label(int64_t n_classes, const float *logits);

#endif
