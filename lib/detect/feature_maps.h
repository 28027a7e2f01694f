/*
 * Rows of features through the maps of fitted statistics.
 */
#ifndef JEMI_DETECT_FEATURE_MAPS_H
#define JEMI_DETECT_FEATURE_MAPS_H

#include "detect/feature_stats.h"

/** What the maps give of some rows. Arrays of maps that are not fitted are NULL. */
typedef struct jemi_feature_maps {
    int64_t n;
    float *z; /* rows of jemi_linear_map_stride() floats, as all of these */
    float *unit_z;
    float *tied, *background, *unit;
    double *squares; /* (n), |h|^2 */
    double *beside;  /* (n), |h|^2 - |z|^2, from 0 on */
} jemi_feature_maps;

/** z of row i, about 0. */
static inline double jemi_feature_coordinate(const jemi_feature_maps *maps,
                                             const jemi_feature_stats *stats, int64_t i, int64_t k)
{
    return (double)maps->z[i * jemi_linear_map_stride(stats->rank) + k] + (double)stats->origin[k];
}

/** |h|^2 of row i less its part in ViM's principal space, from 0 on. */
double jemi_feature_beside_principal(const jemi_feature_maps *maps, const jemi_feature_stats *stats,
                                     int64_t i);

/** Room for n rows. `maps` is zeroed before. */
jem_status jemi_feature_maps_create(jemi_feature_maps *maps, const jemi_feature_stats *stats,
                                    int64_t n);
void jemi_feature_maps_fini(jemi_feature_maps *maps);

/**
 * Rows begin .. end - 1. Threads may fill other rows at once.
 *
 * @param features  (n, stride of the width), padded with zeros.
 */
void jemi_feature_maps_fill(const jemi_feature_maps *maps, const jemi_feature_stats *stats,
                            int64_t begin, int64_t end, const float *features);

#endif
