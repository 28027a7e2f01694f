/*
 * Fetches the pixels of tiles into the cache before they are needed. A tile is short runs of
 * several lines at once, which processors do not foresee by themselves.
 *
 * Inlined by order: GCC removes calls of a function that does nothing but prefetch.
 */
#ifndef JEMI_KERNELS_WINOGRAD_FETCH_H
#define JEMI_KERNELS_WINOGRAD_FETCH_H

#include "kernels/winograd_scheme.h"

enum { JEMI_FETCH_AHEAD = 2 }; /* tiles from the one that is worked on to the one that is fetched */

/** Not where the core's cache may still hold source and destination from the last time. */
static inline bool jemi_fetch_pays(const jemi_winograd *c)
{
    const int64_t cached_floats_max = 1 << 19;
    return c->n * (c->in * c->src_h * c->src_w + c->out * c->dst_h * c->dst_w) > cached_floats_max;
}

static inline const jemi_tile *jemi_tile_ahead(const jemi_tile *at, int tiles, int t)
{
    return &at[jemi_min(t + JEMI_FETCH_AHEAD, tiles - 1)];
}

/** Where they lie: (row + i, column + j) * step + (down, right) in the planes of a tensor. */
typedef struct jemi_tile_pixels {
    int64_t blocks, h, w;
    int64_t step, down, right;
} jemi_tile_pixels;

/**
 * The pixels that the tile before has not read. Patches with all places begin one pixel before the
 * tile, hence the offset of one.
 */
static inline jemi_tile_pixels jemi_source_pixels(const jemi_winograd *c,
                                                  const jemi_winograd_scheme *s, int phase)
{
    return (jemi_tile_pixels){
        .blocks = c->in / JEMI_LANES,
        .h = c->src_h,
        .w = c->src_w,
        .step = c->transposed ? 1 : c->stride,
        .down = s->phases[phase].rows == s->patch,
        .right = s->phases[phase].columns == s->patch,
    };
}

static inline jemi_tile_pixels jemi_destination_pixels(const jemi_winograd *c,
                                                       const jemi_winograd_scheme *s, int phase)
{
    const bool phases = c->transposed && c->stride == 2;
    return (jemi_tile_pixels){
        .blocks = c->out / JEMI_LANES,
        .h = c->dst_h,
        .w = c->dst_w,
        .step = phases ? 2 : 1,
        .down = phases && s->phases[phase].rows == s->patch,
        .right = phases && s->phases[phase].columns == s->patch,
    };
}

/**
 * At an edge some of them do not exist: no harm is done.
 *
 * @param to_write  A constant.
 */
static inline __attribute__((always_inline)) void jemi_fetch_tile(bool to_write, const float *data,
                                                                  const jemi_tile_pixels *p,
                                                                  const jemi_tile *at,
                                                                  int64_t block)
{
    const int64_t plane = (at->image * p->blocks + block) * p->h;
    for (int i = 0; i < JEMI_WINOGRAD_TILE; i++) {
        const int64_t line = (plane + (at->row + i) * p->step + p->down) * p->w + p->right;
        for (int j = 0; j < JEMI_WINOGRAD_TILE; j++) {
            const float *pixel = data + (line + (at->column + j) * p->step) * JEMI_LANES;
            if (to_write)
                __builtin_prefetch(pixel, 1);
            else
                __builtin_prefetch(pixel, 0);
        }
    }
}

#endif
