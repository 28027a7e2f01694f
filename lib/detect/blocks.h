/*
 * How many rows are worked on at a time where each needs memory of its own.
 */
#ifndef JEMI_DETECT_BLOCKS_H
#define JEMI_DETECT_BLOCKS_H

#include <stdint.h>

enum {
    JEMI_BLOCK_ROWS = 256,      /* at most: so many that products are efficient */
    JEMI_BLOCK_FLOATS = 1 << 22 /* of one array, unless a single row has more */
};

/** Of n rows, n >= 1, with so many floats each. */
static inline int64_t jemi_block_rows(int64_t n, int64_t width)
{
    int64_t rows = JEMI_BLOCK_FLOATS / width;
    rows = rows < JEMI_BLOCK_ROWS ? rows : JEMI_BLOCK_ROWS;
    rows = rows < n ? rows : n;
    return rows > 1 ? rows : 1;
}

#endif
