/*
 * Building sorts the vectors into cells; a query multiplies panels.
 */
#include "detect/bank.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "detect/largest.h"
#include "kernels/panels.h"

enum { PANEL = JEMI_BANK_PANEL };

// A query visits at least so many cells, and so many vectors for each that it is asked for. Of 2,000
// test images of Fashion-MNIST, against 6,646 training images in 81 cells of the released model, four
// cells had the nearest for 96 %, and the distances found were 0.25 % too large on average
// (2026-11-28); eight would have it for 99 %, at twice the price.
enum { CELLS_VISITED = 4, VECTORS_PER_NEIGHBOUR = 32 };

// ---- searching ---------------------------------------------------------------------------------

static void multiply_pivots(const jemi_bank *bank, const float *unit, float *products)
{
    jemi_multiply_panels(bank->pivots, jemi_bank_panels(bank->n_cells), bank->rank, unit, products);
}

enum { PANELS = 8 }; // at a time

static void visit_cell(const jemi_bank *bank, int64_t cell, const float *unit, int64_t k,
                       jemi_largest *nearest)
{
    float products[PANELS * PANEL];
    const int64_t end = bank->begin[cell + 1];
    int64_t left = bank->counts[cell];
    for (int64_t p = bank->begin[cell]; p < end; p += PANELS, left -= PANELS * PANEL) {
        const int64_t n = end - p < PANELS ? end - p : PANELS;
        jemi_multiply_panels(bank->panels + p * bank->rank * PANEL, n, bank->rank, unit, products);
        jemi_largest_add(nearest, left < n * PANEL ? left : n * PANEL, products, k);
    }
}

float jemi_bank_similarity(const jemi_bank *bank, const float *unit, int64_t k)
{
    float pivots[JEMI_BANK_CELLS_MAX];
    jemi_largest nearest = {.count = 0};
    int64_t visited = 0;
    multiply_pivots(bank, unit, pivots);
    for (int64_t c = 0; c < bank->n_cells; c++) {
        if (c >= CELLS_VISITED && visited >= VECTORS_PER_NEIGHBOUR * k)
            break;
        const int64_t cell = jemi_find_top(bank->n_cells, pivots);
        pivots[cell] = -INFINITY;
        visit_cell(bank, cell, unit, k, &nearest);
        visited += bank->counts[cell];
    }
    return nearest.values[0];
}

// The vector of a cell that has exactly this similarity; NULL where none has.
static const float *find_in_cell(const jemi_bank *bank, int64_t cell, const float *unit,
                                 float similarity)
{
    float products[PANELS * PANEL];
    const int64_t end = bank->begin[cell + 1];
    int64_t left = bank->counts[cell];
    for (int64_t p = bank->begin[cell]; p < end; p += PANELS, left -= PANELS * PANEL) {
        const float *panels = bank->panels + p * bank->rank * PANEL;
        const int64_t n = end - p < PANELS ? end - p : PANELS;
        jemi_multiply_panels(panels, n, bank->rank, unit, products);
        for (int64_t v = 0; v < n * PANEL && v < left; v++)
            if (products[v] == similarity)
                return panels + v / PANEL * bank->rank * PANEL + v % PANEL;
    }
    return NULL;
}

// Cells that the query did not visit are looked into as well: where similarities are equal, so are
// the distances.
const float *jemi_bank_neighbour(const jemi_bank *bank, const float *unit, int64_t k)
{
    const float similarity = jemi_bank_similarity(bank, unit, k);
    const float *found = NULL;
    for (int64_t c = 0; c < bank->n_cells && found == NULL; c++)
        found = find_in_cell(bank, c, unit, similarity);
    return found;
}

// ---- building ----------------------------------------------------------------------------------

int64_t jemi_bank_count_panels(int64_t n_cells, const int64_t *counts)
{
    int64_t panels = 0;
    for (int64_t c = 0; c < n_cells; c++)
        panels += jemi_bank_panels(counts[c]);
    return panels;
}

jem_status jemi_bank_create(jemi_bank *bank, int64_t rank, int64_t n_cells, const int64_t *counts)
{
    bank->rank = rank;
    bank->n_cells = n_cells;
    bank->counts = jemi_alloc((size_t)n_cells, sizeof *bank->counts);
    bank->begin = jemi_calloc((size_t)n_cells + 1, sizeof *bank->begin);
    if (bank->counts == NULL || bank->begin == NULL)
        return jemi_fail_memory("bank of features");
    for (int64_t c = 0; c < n_cells; c++) {
        bank->counts[c] = counts[c];
        bank->n += counts[c];
        bank->begin[c + 1] = bank->begin[c] + jemi_bank_panels(counts[c]);
    }
    const size_t panel = (size_t)rank * PANEL;
    bank->pivots = jemi_calloc((size_t)jemi_bank_panels(n_cells) * panel, sizeof(float));
    bank->panels = jemi_calloc((size_t)bank->begin[n_cells] * panel, sizeof(float));
    if (bank->pivots == NULL || bank->panels == NULL)
        return jemi_fail_memory("bank of features");
    return JEM_OK;
}

static void put_vector(float *panels, int64_t index, int64_t rank, const float *x)
{
    float *panel = panels + index / PANEL * rank * PANEL + index % PANEL;
    for (int64_t e = 0; e < rank; e++)
        panel[e * PANEL] = x[e];
}

static const float *row_at(const jemi_bank_rows *rows, int64_t i)
{
    return rows->x + rows->chosen[i] * rows->stride;
}

// Pivots are taken at even distances, so from all classes where rows lie class by class.
static void put_pivots(jemi_bank *bank, const jemi_bank_rows *rows)
{
    for (int64_t c = 0; c < bank->n_cells; c++)
        put_vector(bank->pivots, c, rows->rank, row_at(rows, c * rows->n / bank->n_cells));
}

typedef struct assignment {
    const jemi_bank *pivots;
    const jemi_bank_rows *rows;
    int64_t *cells; // (n), of each row
} assignment;

static void assign_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const assignment *a = context;
    float products[JEMI_BANK_CELLS_MAX];
    for (int64_t i = begin; i < end; i++) {
        multiply_pivots(a->pivots, row_at(a->rows, i), products);
        a->cells[i] = jemi_find_top(a->pivots->n_cells, products);
    }
}

// A bank that has nothing but pivots.
static jem_status choose_cells(const jemi_bank_rows *rows, int64_t n_cells, jemi_bank *pivots,
                               int64_t *cells, int64_t *counts)
{
    enum { GRAIN = 64 }; // rows that are worth a thread
    JEMI_TRY(jemi_bank_create(pivots, rows->rank, n_cells, counts));
    put_pivots(pivots, rows);
    jemi_parallel(rows->n, GRAIN, assign_rows, &(assignment){pivots, rows, cells});
    for (int64_t i = 0; i < rows->n; i++)
        counts[cells[i]]++;
    return JEM_OK;
}

// @param next  (n_cells), zeroed: where each cell's next vector goes.
static void fill_cells(jemi_bank *bank, const jemi_bank_rows *rows, const int64_t *cells,
                       int64_t *next)
{
    put_pivots(bank, rows);
    for (int64_t i = 0; i < rows->n; i++)
        put_vector(bank->panels, bank->begin[cells[i]] * PANEL + next[cells[i]]++, rows->rank,
                   row_at(rows, i));
}

int64_t jemi_bank_cells(int64_t n)
{
    if (n <= JEMI_BANK_WHOLE)
        return 1;
    const int64_t cells = (int64_t)sqrt((double)n); // then pivots cost as much as a cell
    return cells < JEMI_BANK_CELLS_MAX ? cells : JEMI_BANK_CELLS_MAX;
}

jem_status jemi_bank_build(jemi_bank *bank, const jemi_bank_rows *rows)
{
    const int64_t n_cells = jemi_bank_cells(rows->n);
    int64_t *cells = jemi_alloc((size_t)rows->n, sizeof *cells);
    int64_t *counts = jemi_calloc((size_t)n_cells, sizeof *counts);
    jemi_bank pivots = {0};
    jem_status status = cells != NULL && counts != NULL
                            ? choose_cells(rows, n_cells, &pivots, cells, counts)
                            : jemi_fail_memory("bank of features");
    if (status == JEM_OK)
        status = jemi_bank_create(bank, rows->rank, n_cells, counts);
    if (status == JEM_OK) {
        memset(counts, 0, (size_t)n_cells * sizeof *counts);
        fill_cells(bank, rows, cells, counts);
    }
    jemi_bank_fini(&pivots);
    jemi_free(cells);
    jemi_free(counts);
    return status;
}

void jemi_bank_fini(jemi_bank *bank)
{
    jemi_free(bank->counts);
    jemi_free(bank->begin);
    jemi_free(bank->pivots);
    jemi_free(bank->panels);
    *bank = (jemi_bank){0};
}

size_t jemi_bank_bytes(const jemi_bank *bank)
{
    if (bank->n_cells == 0)
        return 0;
    const int64_t panels = jemi_bank_panels(bank->n_cells) + bank->begin[bank->n_cells];
    return (size_t)(panels * bank->rank * PANEL) * sizeof(float) +
           (size_t)(2 * bank->n_cells + 1) * sizeof *bank->begin;
}
