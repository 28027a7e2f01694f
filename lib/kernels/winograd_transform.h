/*
 * Transforms of tiles in two dimensions, from a scheme's transforms of one: first lines, each along
 * itself, then columns. A tile may be smaller in either, and each size has its own code.
 *
 * All is inlined into the scheme's file, where functions and axes are constants.
 */
#ifndef JEMI_KERNELS_WINOGRAD_TRANSFORM_H
#define JEMI_KERNELS_WINOGRAD_TRANSFORM_H

#include "kernels/epilogue_v16.h"
#include "kernels/winograd_scheme.h"

enum { JEMI_WINOGRAD_PATCH = 6 }; /* at most */

typedef struct jemi_axis {
    int size;      /* of the tile in this dimension: 4, 3 or 2 */
    int more;      /* pixels that the source has beyond these */
    bool infinity; /* the last place is needed */
} jemi_axis;

/** Pixels to places, or places to pixels. Places that an axis does not need are left alone. */
typedef void jemi_transform_1d(jemi_axis axis, const v16 *from, v16 *to);

/** Every `step`th pixel of an image from (row, column) on. What lies outside is zero. */
typedef struct jemi_pixels {
    int64_t h, w, row, column, step;
} jemi_pixels;

typedef v16 jemi_lines[JEMI_WINOGRAD_PATCH][JEMI_WINOGRAD_PATCH];

static inline jemi_axis jemi_axis_sized(jemi_axis axis, int size)
{
    axis.size = size;
    return axis;
}

static inline bool jemi_axis_needs(jemi_axis axis, int patch, int place)
{
    return place == patch - 1 ? axis.infinity : jemi_tile_needs(patch, axis.size, place);
}

/** One block of 16 channels of a tile's image. */
static inline const float *jemi_source_image(const jemi_winograd *c, const float *x,
                                             const jemi_tile *at, int64_t block)
{
    return x + (at->image * (c->in / JEMI_LANES) + block) * c->src_h * c->src_w * JEMI_LANES;
}

static inline const float *jemi_destination_image(const jemi_winograd *c, const float *y,
                                                  const jemi_tile *at, int64_t block)
{
    return y + (at->image * (c->out / JEMI_LANES) + block) * c->dst_h * c->dst_w * JEMI_LANES;
}

// ---- pixels to places --------------------------------------------------------------------------

V16_INLINE void jemi_transform_lines(jemi_transform_1d *transform, jemi_axis across, int lines,
                                     const float *image, const jemi_pixels *p, jemi_lines t)
{
    static const float zeros[2 * JEMI_WINOGRAD_PATCH * JEMI_LANES];
    v16_inside inside[JEMI_WINOGRAD_PATCH];
    for (int j = 0; j < across.size + across.more; j++)
        inside[j] = v16_inside_if((uint64_t)(p->column + j * p->step) < (uint64_t)p->w);
    for (int i = 0; i < lines; i++) {
        const int64_t row = p->row + i * p->step;
        const float *line =
            (uint64_t)row < (uint64_t)p->h ? image + (row * p->w + p->column) * JEMI_LANES : zeros;
        v16 d[JEMI_WINOGRAD_PATCH];
        for (int j = 0; j < across.size + across.more; j++)
            d[j] = v16_load_if(inside[j], line + j * p->step * JEMI_LANES);
        transform(across, d, t[i]);
    }
}

V16_INLINE void jemi_transform_columns(jemi_transform_1d *transform, int patch, jemi_axis down,
                                       jemi_axis across, jemi_lines t, jemi_tile_places to)
{
    for (int j = 0; j < patch; j++) {
        if (!jemi_axis_needs(across, patch, j))
            continue;
        v16 column[JEMI_WINOGRAD_PATCH], places[JEMI_WINOGRAD_PATCH];
        for (int i = 0; i < down.size + down.more; i++)
            column[i] = t[i][j];
        transform(down, column, places);
        for (int i = 0; i < patch; i++)
            if (jemi_axis_needs(down, patch, i))
                v16_store(to.data + (i * patch + j) * to.stride, places[i]);
    }
}

/** All places of a tile. The axes' sizes are those of `at`. */
V16_INLINE void jemi_transform_tile(jemi_transform_1d *transform, int patch, jemi_axis down,
                                    jemi_axis across, const float *image, const jemi_pixels *p,
                                    const jemi_tile *at, jemi_tile_places to)
{
    const int lines = at->rows + down.more;
    jemi_lines t;
    across.size = at->columns;
    switch (at->columns) {
    case 2:
        jemi_transform_lines(transform, jemi_axis_sized(across, 2), lines, image, p, t);
        break;
    case 3:
        jemi_transform_lines(transform, jemi_axis_sized(across, 3), lines, image, p, t);
        break;
    default:
        jemi_transform_lines(transform, jemi_axis_sized(across, 4), lines, image, p, t);
    }
    switch (at->rows) {
    case 2:
        jemi_transform_columns(transform, patch, jemi_axis_sized(down, 2), across, t, to);
        break;
    case 3:
        jemi_transform_columns(transform, patch, jemi_axis_sized(down, 3), across, t, to);
        break;
    default:
        jemi_transform_columns(transform, patch, jemi_axis_sized(down, 4), across, t, to);
    }
}

// ---- places to pixels --------------------------------------------------------------------------

V16_INLINE void jemi_restore_columns(jemi_transform_1d *restore, int patch, jemi_axis down,
                                     jemi_axis across, jemi_tile_places from, jemi_lines t)
{
    for (int j = 0; j < patch; j++) {
        if (!jemi_axis_needs(across, patch, j))
            continue;
        v16 column[JEMI_WINOGRAD_PATCH], pixels[JEMI_WINOGRAD_TILE];
        for (int i = 0; i < patch; i++)
            if (jemi_axis_needs(down, patch, i))
                column[i] = v16_load(from.data + (i * patch + j) * from.stride);
        restore(down, column, pixels);
        for (int i = 0; i < down.size; i++)
            t[i][j] = pixels[i];
    }
}

// Stores what lies inside of the plane.
V16_INLINE void jemi_restore_lines(jemi_transform_1d *restore, jemi_axis across, int lines,
                                   const jemi_epilogue *epilogue, v16 bias, const jemi_pixels *p,
                                   int64_t plane, jemi_lines t, float *y)
{
    const jemi_epilogue then = *epilogue; // which no store can change
    for (int i = 0; i < lines && p->row + i * p->step < p->h; i++) {
        const int64_t line = plane + (p->row + i * p->step) * p->w + p->column;
        v16 pixels[JEMI_WINOGRAD_TILE];
        restore(across, t[i], pixels);
        for (int j = 0; j < across.size && p->column + j * p->step < p->w; j++)
            jemi_epilogue_finish(&then, v16_add(pixels[j], bias), (line + j * p->step) * JEMI_LANES,
                                 y);
    }
}

/** A tile of the destination, after its epilogue. The axes' sizes are those of `at`. */
V16_INLINE void jemi_restore_tile(jemi_transform_1d *restore, int patch, jemi_axis down,
                                  jemi_axis across, const jemi_winograd *c, jemi_tile_places from,
                                  const jemi_pixels *p, const jemi_tile *at, int64_t block,
                                  float *y)
{
    const int64_t plane = (at->image * (c->out / JEMI_LANES) + block) * c->dst_h * c->dst_w;
    const v16 bias = jemi_epilogue_bias(&c->then, block);
    jemi_lines t;
    across.size = at->columns;
    switch (at->rows) {
    case 2:
        jemi_restore_columns(restore, patch, jemi_axis_sized(down, 2), across, from, t);
        break;
    case 3:
        jemi_restore_columns(restore, patch, jemi_axis_sized(down, 3), across, from, t);
        break;
    default:
        jemi_restore_columns(restore, patch, jemi_axis_sized(down, 4), across, from, t);
    }
    switch (at->columns) {
    case 2:
        jemi_restore_lines(restore, jemi_axis_sized(across, 2), at->rows, &c->then, bias, p, plane,
                           t, y);
        break;
    case 3:
        jemi_restore_lines(restore, jemi_axis_sized(across, 3), at->rows, &c->then, bias, p, plane,
                           t, y);
        break;
    default:
        jemi_restore_lines(restore, jemi_axis_sized(across, 4), at->rows, &c->then, bias, p, plane,
                           t, y);
    }
}

#endif
