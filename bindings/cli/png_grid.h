/*
 * Pictures: equal images in a grid, written as PNG.
 */
#ifndef JEM_CLI_PNG_GRID_H
#define JEM_CLI_PNG_GRID_H

#include "output.h"

typedef struct cli_png_grid {
    int64_t rows, columns; /* cells; the last ones may stay empty */
    int32_t channels;      /* 1 = gray, 3 = colour */
    int32_t height, width; /* of one image */
    int32_t scale;         /* each pixel becomes scale x scale */
    int64_t n;
    const uint8_t *images; /* (n, H, W, C), row of cells after row of cells */
} cli_png_grid;

/** Refuses pictures of more than 2^31 bytes and channels other than 1 and 3. */
cli_status cli_png_check(const cli_png_grid *grid, cli_error *err);

cli_status cli_png_write(const cli_png_grid *grid, const char *path, cli_error *err);

#endif
