/*
 * How an image is cut into tiles of 4x4, and in which order a block of them is worked on.
 *
 * Tiles of the last row and column are as small as what is left, or 2 where that is 1. They need
 * fewer places than whole ones. Those that need a place shall follow each other, so that a matrix
 * product takes them in one go: a block holds first tiles with small columns, then whole ones, then
 * those with small rows, then those with both.
 */
#ifndef JEMI_KERNELS_WINOGRAD_TILES_H
#define JEMI_KERNELS_WINOGRAD_TILES_H

#include <stdbool.h>
#include <stdint.h>

enum { JEMI_WINOGRAD_TILE = 4 };

typedef struct jemi_tile {
    int64_t image, row, column; /* of its first pixel */
    int rows, columns;          /* its size: 4, 3 or 2 */
} jemi_tile;

/** All images' tiles, numbered from 0. */
typedef struct jemi_tile_grid {
    int64_t h, w;                /* of what is cut */
    int64_t down, across;        /* tiles of an image */
    int last_rows, last_columns; /* sizes of the last tiles */
} jemi_tile_grid;

/** Some consecutive tiles in the order above. */
typedef struct jemi_tile_block {
    int tiles;
    int high_end;             /* tiles with all rows are the first */
    int wide_begin, wide_end; /* where those with all columns are */
} jemi_tile_block;

typedef struct jemi_tile_range {
    int begin, end;
} jemi_tile_range;

jemi_tile_grid jemi_tile_grid_make(int64_t h, int64_t w);

/** Tiles `first` .. first + tiles - 1 into `at`. */
jemi_tile_block jemi_tile_grid_block(const jemi_tile_grid *grid, int64_t first, int tiles,
                                     jemi_tile *at);

/** Which of a block's tiles need the place (row, column) of `patch` x patch? */
jemi_tile_range jemi_tile_block_range(const jemi_tile_block *block, const jemi_tile_grid *grid,
                                      int patch, int row, int column);

/**
 * Does a tile of this size, in one dimension, need that place of `patch`? Smaller ones do without
 * the last points before infinity, which is the last place.
 */
static inline bool jemi_tile_needs(int patch, int size, int place)
{
    return place == patch - 1 || place < patch - 1 - (JEMI_WINOGRAD_TILE - size);
}

#endif
