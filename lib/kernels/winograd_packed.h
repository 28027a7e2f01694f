/*
 * How winograd.c finds its weights: transformed ahead, or as kernels that are transformed while they
 * are used (jemi_winograd_keeps_kernels() says which).
 *
 * Rows are source channels, columns destination channels, of the direction that is computed. Columns
 * are read JEMI_WINOGRAD_COLUMNS at a time, and 16 where so many are not left.
 */
#ifndef JEMI_KERNELS_WINOGRAD_PACKED_H
#define JEMI_KERNELS_WINOGRAD_PACKED_H

#include "kernels/winograd_scheme.h"

enum { JEMI_WINOGRAD_COLUMNS = V16_TILE_VECTORS * JEMI_LANES };

/** How many of `columns` are read together with `column`: JEMI_WINOGRAD_COLUMNS, or the last 16. */
static inline int64_t jemi_winograd_width(int64_t column, int64_t columns)
{
    const int64_t left = columns - column / JEMI_WINOGRAD_COLUMNS * JEMI_WINOGRAD_COLUMNS;
    return left < JEMI_WINOGRAD_COLUMNS ? JEMI_LANES : JEMI_WINOGRAD_COLUMNS;
}

/** Rows of kernels that are transformed at a time: so many that sums are seldom stored and fetched. */
enum { JEMI_WINOGRAD_DEPTH = 256 };

const jemi_winograd_scheme *JEMI_KERNEL(winograd_scheme_of)(int64_t stride, bool transposed);

/** From place to place of what jemi_winograd_transform() writes, in floats. */
static inline int64_t jemi_winograd_transformed_stride(void)
{
    return jemi_place_stride(JEMI_WINOGRAD_DEPTH * JEMI_WINOGRAD_COLUMNS);
}

/**
 * Transforms rows first .. first + depth - 1 of the columns from `column` on, for the places of a
 * phase.
 *
 * @param depth   At most JEMI_WINOGRAD_DEPTH.
 * @param values  Out. (place, row, column), places jemi_winograd_transformed_stride() apart.
 */
typedef void jemi_winograd_transform(const jemi_winograd *conv, int phase, int64_t column,
                                     int64_t first, int64_t depth, float *values);
jemi_winograd_transform JEMI_KERNEL(winograd_transform);

#endif
