/*
 * The geometry of an attack: how far a point may be from the row that it began as, and where values
 * may lie.
 */
#ifndef JEMI_DETECT_ATTACK_BALL_H
#define JEMI_DETECT_ATTACK_BALL_H

#include <jem/jem.h>

#include "base/random.h"

/**
 * The points that are allowed for a row x: |point - x| <= eps in the norm, and each value in its
 * channel's range. A value of x that lies outside of that range may stay, or move towards it.
 */
typedef struct jemi_ball {
    int32_t norm;            /* JEM_NORM_* */
    float eps;               /* INFINITY = the range alone */
    int64_t row_len;         /* channels * pixels */
    int64_t pixels;          /* values of a channel */
    const float *low, *high; /* (channels) */
} jemi_ball;

/** The distance of a point in the norm; of L0, the number of values that differ. */
double jemi_ball_distance(const jemi_ball *ball, const float *x, const float *point);

/** The allowed point near to this one, in place; of L0 the range alone is kept. Exact: the distance
 *  of the floats, computed in double, is not above eps. */
void jemi_ball_project(const jemi_ball *ball, const float *x, float *point);

/** Each value to its range alone. */
void jemi_ball_clip(const jemi_ball *ball, const float *x, float *point);

/**
 * out = the projection of point - step * direction, with the sign of the gradient as the direction
 * for Linf, the gradient of length 1 for L2. `out` may be any of the arrays but x.
 */
void jemi_ball_descend(const jemi_ball *ball, const float *x, const float *point, const float *grad,
                       double step, float *out);

/** An allowed point: uniform in the Linf cube or the L2 ball, then projected. eps is finite. */
void jemi_ball_draw(const jemi_ball *ball, const float *x, jemi_random_key key, uint32_t row,
                    uint64_t moment, float *point);

#endif
