/*
 * Values sorted once: which values are equal, and in which order they come. Whatever is then
 * counted per group of equal values does not depend on the order of the rows.
 */
#ifndef JEMI_DETECT_RANKING_H
#define JEMI_DETECT_RANKING_H

#include <jem/jem.h>

/** Groups of equal values, numbered from the smallest value on. */
typedef struct jemi_ranking {
    int64_t n_groups;
    uint32_t *group; /* (n), of each value */
} jemi_ranking;

/** Of `n` values, 1 .. 2^32 - 2, none of them NaN. */
jem_status jemi_ranking_make(jemi_ranking *ranking, int64_t n, const double *values);
/** Of a ranking that was made, or zeroed. */
void jemi_ranking_free(jemi_ranking *ranking);

/** Ascending. For qsort(). */
int jemi_compare_doubles(const void *a, const void *b);

#endif
