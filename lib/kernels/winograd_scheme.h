/*
 * What tells one Winograd algorithm from another: its transforms. Between winograd.c, which does
 * the rest, and the files that hold a scheme each.
 *
 * A transformed tile is patch x patch places; at each, a vector of channels is multiplied by a
 * matrix. A scheme may have several phases: sources that are summed, or destinations; each uses the
 * places of some first rows and columns.
 */
#ifndef JEMI_KERNELS_WINOGRAD_SCHEME_H
#define JEMI_KERNELS_WINOGRAD_SCHEME_H

#include "kernels/simd/v16.h"
#include "kernels/winograd_layer.h"
#include "kernels/winograd_tiles.h"

enum { JEMI_WINOGRAD_PHASES = 4 };

static inline int64_t jemi_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/** From place to place: an odd number of cache lines, so that they do not share cache sets. */
static inline int64_t jemi_place_stride(int64_t floats)
{
    return floats + JEMI_LANES;
}

/** 16 channels of a transformed tile: the vector of place p lies at data + p * stride. */
typedef struct jemi_tile_places {
    float *data;
    int64_t stride;
} jemi_tile_places;

typedef struct jemi_winograd_scheme {
    int patch;
    int in_phases, out_phases; /* one of them is 1 */
    struct {
        int rows, columns;
    } phases[JEMI_WINOGRAD_PHASES]; /* the first has all places */
    /* G g G^T of 16 kernels for the places of a phase, each `stride` floats on. */
    void (*transform_weights)(const float kernels[9][JEMI_LANES], bool transposed, int phase,
                              float *values, int64_t stride);
    /* B^T d B of a block of 16 channels. */
    void (*transform_input)(const jemi_winograd *conv, const float *x, const jemi_tile *at,
                            int64_t block, int phase, jemi_tile_places to);
    /* A^T m A and the epilogue. */
    void (*transform_output)(const jemi_winograd *conv, jemi_tile_places from, int phase,
                             const jemi_tile *at, int64_t block, float *y);
    /* Weights' gradient, forward schemes only: A dy A^T, and then G^T (values) G of 16 kernels. */
    void (*transform_gradient)(const jemi_winograd *conv, const float *dy, const jemi_tile *at,
                               int64_t block, jemi_tile_places to);
    void (*gather_weights)(const float *values, int64_t stride, float kernels[9][JEMI_LANES]);
} jemi_winograd_scheme;

static inline int jemi_winograd_places(const jemi_winograd_scheme *scheme, int phase)
{
    return scheme->phases[phase].rows * scheme->phases[phase].columns;
}

extern const jemi_winograd_scheme JEMI_KERNEL(winograd_stride1);
extern const jemi_winograd_scheme JEMI_KERNEL(winograd_stride2);
extern const jemi_winograd_scheme JEMI_KERNEL(winograd_stride2_transposed);

#endif
