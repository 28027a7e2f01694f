/*
 * Precision and recall of samples by the balls around rows that reach to their k-th neighbours.
 * Rows are compared in tiles that stay in a cache while all others pass by. Distances are squared,
 * and exactly 0 between equal rows.
 */
#include <math.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "detect/metrics.h"
#include "kernels/vector.h"

enum { TILE = 16 };

// ---- radii --------------------------------------------------------------------------------------

// The k smallest of the values that were put in: a heap whose root is the largest of them.
static void replace_root(double *heap, int32_t k, double value)
{
    int32_t hole = 0;
    for (int32_t child; (child = 2 * hole + 1) < k; hole = child) {
        if (child + 1 < k && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= value)
            break;
        heap[hole] = heap[child];
    }
    heap[hole] = value;
}

typedef struct radii {
    const jemi_features *set;
    int32_t k;
    double *heaps;   // of each worker (TILE, k)
    double *squares; // (n), out
} radii;

static void radii_of_tile(const radii *r, int64_t first, int64_t end, double *heaps)
{
    const jemi_features *set = r->set;
    for (int64_t i = 0; i < (end - first) * r->k; i++)
        heaps[i] = (double)INFINITY;
    for (int64_t j = 0; j < set->n; j++)
        for (int64_t i = first; i < end; i++) {
            double *heap = heaps + (i - first) * r->k;
            const double d = jemi_sum_squares_difference(set->x + i * set->width,
                                                         set->x + j * set->width, set->width);
            if (i != j && d < heap[0])
                replace_root(heap, r->k, d);
        }
    for (int64_t i = first; i < end; i++)
        r->squares[i] = heaps[(i - first) * r->k];
}

static void radii_task(void *context, int64_t begin, int64_t end, int worker)
{
    const radii *r = context;
    double *heaps = r->heaps + (int64_t)worker * TILE * r->k;
    for (int64_t i = begin; i < end; i += TILE)
        radii_of_tile(r, i, i + TILE < end ? i + TILE : end, heaps);
}

static jem_status find_radii(const jemi_features *set, int32_t k, double *squares)
{
    const size_t heaps = (size_t)jemi_parallel_width() * TILE;
    radii r = {set, k, jemi_alloc(heaps, (size_t)k * sizeof *r.heaps), squares};
    if (r.heaps == NULL)
        return jemi_fail_memory("nearest neighbours");
    jemi_parallel(set->n, TILE, radii_task, &r);
    jemi_free(r.heaps);
    return JEM_OK;
}

// ---- manifolds ----------------------------------------------------------------------------------

typedef struct manifold {
    const jemi_features *set, *rows;
    const double *squares; // of the set's radii
    uint8_t *inside;       // (rows->n), out
} manifold;

static void look_up_tile(const manifold *m, int64_t first, int64_t end)
{
    const int64_t width = m->set->width;
    for (int64_t i = first; i < end; i++)
        m->inside[i] = 0;
    for (int64_t j = 0; j < m->set->n; j++)
        for (int64_t i = first; i < end; i++)
            if (!m->inside[i] &&
                jemi_sum_squares_difference(m->rows->x + i * width, m->set->x + j * width, width) <=
                    m->squares[j])
                m->inside[i] = 1;
}

static void look_up_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    for (int64_t i = begin; i < end; i += TILE)
        look_up_tile(context, i, i + TILE < end ? i + TILE : end);
}

// The share of rows that lie within the manifold of a set.
static jem_status share_inside(const jemi_features *set, const jemi_features *rows, int32_t k,
                               double *share)
{
    double *squares = jemi_alloc((size_t)set->n, sizeof *squares);
    manifold m = {set, rows, squares, jemi_alloc((size_t)rows->n, sizeof *m.inside)};
    jem_status status = squares != NULL && m.inside != NULL ? JEM_OK : jemi_fail_memory("radii");
    if (status == JEM_OK)
        status = find_radii(set, k, squares);
    if (status == JEM_OK) {
        jemi_parallel(rows->n, TILE, look_up_task, &m);
        int64_t count = 0;
        for (int64_t i = 0; i < rows->n; i++)
            count += m.inside[i];
        *share = (double)count / (double)rows->n;
    }
    jemi_free(squares);
    jemi_free(m.inside);
    return status;
}

jem_status jemi_precision_recall(const jemi_features *real, const jemi_features *samples, int32_t k,
                                 double *precision, double *recall)
{
    JEMI_TRY(share_inside(real, samples, k, precision));
    return share_inside(samples, real, k, recall);
}
