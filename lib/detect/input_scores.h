/*
 * Outlier scores that take gradients by the input. All are higher = more out-of-distribution.
 */
#ifndef JEMI_DETECT_INPUT_SCORES_H
#define JEMI_DETECT_INPUT_SCORES_H

#include "model/pass.h"

/** A chunk of rows in a pass with input gradients. */
typedef struct jemi_input_rows {
    const jem_model *model;
    const float *x; /* (chunk->n, C, H, W), finite */
    float *moved;   /* of the same size, for the score to use; NULL unless it moves rows */
} jemi_input_rows;

/** @param scores  Out. (chunk->n); +infinity where a row overflows, on its way or at its end. */
typedef jem_status jemi_input_score(const jem_score_config *config, const jemi_input_rows *rows,
                                    jemi_chunk *chunk, float *scores);

jemi_input_score jemi_score_gradient_norm, jemi_score_odin, jemi_score_refine,
    jemi_score_refine_distance;

#endif
