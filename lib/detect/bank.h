/*
 * Unit vectors, and the similarity (cosine) of another one to the k-th nearest of them.
 *
 * The vectors lie in cells, each around a pivot that is one of them, and a query visits the cells
 * of the most similar pivots alone (an inverted file, Sivic & Zisserman 2003): it finds the nearest
 * of those, which may lie a little farther away than the nearest of all. A bank of one cell is
 * searched whole. The same bits on every machine.
 */
#ifndef JEMI_DETECT_BANK_H
#define JEMI_DETECT_BANK_H

#include <stdint.h>

#include <jem/jem.h>

/** Vectors side by side in memory: element e of vector v of a panel is at e * 16 + v. */
enum { JEMI_BANK_PANEL = 16 };

/** Banks of up to so many vectors have one cell. */
enum { JEMI_BANK_WHOLE = 1024, JEMI_BANK_CELLS_MAX = 256 };

/** Zeroed = none. Panels that are not full end with zeros. */
typedef struct jemi_bank {
    int64_t rank, n; /* elements of a vector, vectors */
    int64_t n_cells;
    int64_t *counts; /* (n_cells), vectors of each cell; they begin with a panel of their own */
    int64_t *begin;  /* (n_cells + 1), first panel of each cell */
    float *pivots;   /* (panels of n_cells vectors, rank, 16) */
    float *panels;   /* (begin[n_cells], rank, 16) */
} jemi_bank;

/** Vectors to build it from: number chosen[i] begins at x + chosen[i] * stride. */
typedef struct jemi_bank_rows {
    int64_t n, rank, stride;
    const float *x;
    const int64_t *chosen; /* (n) */
} jemi_bank_rows;

static inline int64_t jemi_bank_panels(int64_t n)
{
    return (n + JEMI_BANK_PANEL - 1) / JEMI_BANK_PANEL;
}

/** How many cells a bank of n vectors has. */
int64_t jemi_bank_cells(int64_t n);

/** @param bank  Zeroed before; fini'd by the caller, also after a failure. @param rows  n >= 1. */
jem_status jemi_bank_build(jemi_bank *bank, const jemi_bank_rows *rows);
void jemi_bank_fini(jemi_bank *bank);

/** Of cells that hold so many vectors. */
int64_t jemi_bank_count_panels(int64_t n_cells, const int64_t *counts);

/** Room for cells of these counts, all values zero; n and begin follow from the counts. */
jem_status jemi_bank_create(jemi_bank *bank, int64_t rank, int64_t n_cells, const int64_t *counts);

/** @param unit  (rank). @param k  From 1 on; the farthest where there are fewer than k. */
float jemi_bank_similarity(const jemi_bank *bank, const float *unit, int64_t k);

/**
 * The vector that has that similarity; its elements lie JEMI_BANK_PANEL apart.
 *
 * @param unit  As above, finite.
 */
const float *jemi_bank_neighbour(const jemi_bank *bank, const float *unit, int64_t k);

size_t jemi_bank_bytes(const jemi_bank *bank);

#endif
