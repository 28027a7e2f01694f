/*
 * Why a detector objects to rows, and to what near them it would not.
 */
#ifndef JEMI_DETECT_EXPLAIN_H
#define JEMI_DETECT_EXPLAIN_H

#include "detect/detector.h"

/** As in jem_explain(). */
typedef struct jemi_explained {
    int64_t n;
    const float *x; /* (n, C, H, W), of any content */
    float *map;     /* (n, C, H, W) */
    float *usual;   /* (n, C, H, W); NULL = not wanted */
    float *scores;  /* (n, 2); NULL = not wanted */
} jemi_explained;

/** @param only  The kind's number, -1 = all of them combined. @param config  Checked. */
jem_status jemi_explain(const jem_detector *detector, const jem_model *model, int32_t only,
                        const jem_explain_config *config, const jemi_explained *rows);

#endif
