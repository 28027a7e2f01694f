/*
 * What a monitor keeps of its calibration: edges among its scores, and for each edge how large the
 * part of in-distribution scores above it can be.
 *
 * The edges are order statistics, the r-th largest of n scores for r = (n + 1) / 2, / 4, / 8 .. Let S be the part of the law of in-distribution scores that lies strictly above one. Write scores
 * as a monotone function of uniform numbers: a score strictly above the r-th largest has a number
 * above the r-th largest number, so that S is at most a Beta(r, n + 1 - r) variable, with equality
 * where scores do not tie. A bound that this variable exceeds with probability delta / m at each of
 * m edges holds at all of them with probability 1 - delta over the calibration. Ties need neither
 * randomness nor care: they only make S smaller.
 */
#ifndef JEMI_DETECT_MONITOR_LAW_H
#define JEMI_DETECT_MONITOR_LAW_H

#include <stdbool.h>
#include <stdint.h>

#include <jem/jem.h>

enum {
    JEMI_MONITOR_SIDES = 2, /* scores, and scores with their sign reversed */
    JEMI_MONITOR_EDGES = 16 /* of a side: down to one score in 65536 */
};

typedef struct jemi_monitor_side {
    int64_t n;                        /* edges */
    double edges[JEMI_MONITOR_EDGES]; /* descending, distinct */
    double bounds[JEMI_MONITOR_EDGES];
} jemi_monitor_side;

/** All members have 8 bytes, so that snapshots and digests may take it as words. Zeroed before. */
typedef struct jemi_monitor_law {
    double alpha, tolerance;
    int64_t n_calibrated, n_sides;
    jemi_monitor_side sides[JEMI_MONITOR_SIDES];
} jemi_monitor_law;

/** The part of alpha that is the calibration's; the rest is the stream's. */
#define JEMI_MONITOR_CALIBRATION_SHARE 0.5

/** @param scores  In. (n), n >= 1, without NaN. @return JEM_OK, JEM_ENOMEM. */
jem_status jemi_monitor_law_fit(jemi_monitor_law *law, const jem_monitor_config *config, int64_t n,
                                const float *scores);

/** Whether it can be what jemi_monitor_law_fit() makes: bytes from outside may hold anything. */
bool jemi_monitor_law_is_sound(const jemi_monitor_law *law);

#endif
