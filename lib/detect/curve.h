/*
 * The points of a curve for a caller's arrays, whose size he may ask for first.
 */
#ifndef JEMI_DETECT_CURVE_H
#define JEMI_DETECT_CURVE_H

#include <jem/jem.h>

typedef struct jemi_curve {
    int64_t room;     /* 0: the arrays are not looked at */
    int64_t n_points; /* out, also where the room is too small */
    double *x, *y;    /* (room) */
} jemi_curve;

/** Sets n_points. JEM_EINVAL where there is room, but not for so many. */
jem_status jemi_curve_set_points(jemi_curve *curve, int64_t n_points);

#endif
