/*
 * Matrices that many rows are multiplied by, through the kernels of the executor: the same bits on
 * every instruction set and at any thread count.
 *
 * Rows on both sides are padded with zeros to whole blocks of 16 floats.
 */
#ifndef JEMI_DETECT_LINEAR_MAP_H
#define JEMI_DETECT_LINEAR_MAP_H

#include <stdint.h>

#include <jem/jem.h>

/** Zeroed = none. */
typedef struct jemi_linear_map {
    int64_t in, out;
    float *matrix; /* (out, in) */
    float *bias;   /* (out) */
    float *packed;
} jemi_linear_map;

/** Floats of a padded row. */
int64_t jemi_linear_map_stride(int64_t width);

/** Room for matrix and bias; both are to be filled, and then packed. `map` is zeroed before. */
jem_status jemi_linear_map_create(jemi_linear_map *map, int64_t in, int64_t out);
void jemi_linear_map_pack(jemi_linear_map *map);
void jemi_linear_map_fini(jemi_linear_map *map);

/** y = A x + b for rows of jemi_linear_map_stride() floats. */
void jemi_linear_map_run(const jemi_linear_map *map, int64_t n, const float *x, float *y);

#endif
