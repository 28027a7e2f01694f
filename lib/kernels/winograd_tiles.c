/*
 * The order is made by counting: so many tiles of each kind come before the next kind's.
 */
#include "kernels/winograd_tiles.h"

enum { TILE = JEMI_WINOGRAD_TILE };

enum { SMALL_COLUMNS, WHOLE, SMALL_ROWS, SMALL, KINDS };

static int size_at(int64_t at, int64_t length)
{
    const int64_t left = length - at;
    return left >= TILE ? TILE : left < 2 ? 2 : (int)left;
}

jemi_tile_grid jemi_tile_grid_make(int64_t h, int64_t w)
{
    jemi_tile_grid grid = {h, w, (h + TILE - 1) / TILE, (w + TILE - 1) / TILE, 0, 0};
    grid.last_rows = size_at((grid.down - 1) * TILE, h);
    grid.last_columns = size_at((grid.across - 1) * TILE, w);
    return grid;
}

static jemi_tile tile_at(const jemi_tile_grid *grid, int64_t tile)
{
    const int64_t in_image = tile % (grid->across * grid->down);
    const int64_t row = in_image / grid->across * TILE, column = in_image % grid->across * TILE;
    return (jemi_tile){tile / (grid->across * grid->down), row, column, size_at(row, grid->h),
                       size_at(column, grid->w)};
}

static int kind_of(const jemi_tile *tile)
{
    if (tile->rows < TILE)
        return tile->columns < TILE ? SMALL : SMALL_ROWS;
    return tile->columns < TILE ? SMALL_COLUMNS : WHOLE;
}

jemi_tile_block jemi_tile_grid_block(const jemi_tile_grid *grid, int64_t first, int tiles,
                                     jemi_tile *at)
{
    int next[KINDS + 1] = {0};
    for (int t = 0; t < tiles; t++) {
        const jemi_tile tile = tile_at(grid, first + t);
        next[kind_of(&tile) + 1]++;
    }
    for (int kind = 1; kind < KINDS; kind++)
        next[kind] += next[kind - 1];
    const jemi_tile_block block = {tiles, next[SMALL_ROWS], next[WHOLE], next[SMALL]};
    for (int t = 0; t < tiles; t++) {
        const jemi_tile tile = tile_at(grid, first + t);
        at[next[kind_of(&tile)]++] = tile;
    }
    return block;
}

jemi_tile_range jemi_tile_block_range(const jemi_tile_block *block, const jemi_tile_grid *grid,
                                      int patch, int row, int column)
{
    const bool low_too = jemi_tile_needs(patch, grid->last_rows, row);
    const bool narrow_too = jemi_tile_needs(patch, grid->last_columns, column);
    return (jemi_tile_range){
        narrow_too ? 0 : block->wide_begin,
        !low_too     ? block->high_end
        : narrow_too ? block->tiles
                     : block->wide_end,
    };
}
