/*
 * Sums run either along whole rows, element by element, which compilers vectorise as it stands, or
 * in the fixed chains of jemi_dot().
 *
 * The eigenvalue solver has two halves. Householder reflections H_i, i = n-1 .. 1, each clear row i
 * left of its subdiagonal element, and A = Q T Q^T with Q = H_{n-1} .. H_1. Rotations then make T
 * diagonal. Q is built and rotated transposed, so that a rotation mixes two rows.
 */
#include "base/linear_algebra.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

enum {
    CHAINS = 8,          // of a sum
    INNER_MAX = 64,      // rows of B that stay in a cache while they meet all rows of A
    TASK_WORK = 1 << 18, // multiply-adds that are worth a thread
    SWEEPS_MAX = 60,     // for one eigenvalue; two are usual
    COLUMNS_MIN = 32,    // that a thread rotates
};

static int64_t grain_of(int64_t work)
{
    return TASK_WORK / (work > 0 ? work : 1) + 1;
}

double jemi_dot(int64_t n, const double *a, const double *b)
{
    double chains[CHAINS] = {0.0};
    int64_t k = 0;
    for (; k + CHAINS <= n; k += CHAINS)
        for (int c = 0; c < CHAINS; c++)
            chains[c] += a[k + c] * b[k + c];
    for (int c = 0; k < n; k++, c++)
        chains[c] += a[k] * b[k];
    return ((chains[0] + chains[4]) + (chains[2] + chains[6])) +
           ((chains[1] + chains[5]) + (chains[3] + chains[7]));
}

// y += a x.
static void add_scaled(int64_t n, double a, const double *restrict x, double *restrict y)
{
    for (int64_t k = 0; k < n; k++)
        y[k] += a * x[k];
}

// ---- products -----------------------------------------------------------------------------------

typedef struct product_block {
    const jemi_product *p;
    int64_t begin, end; // of the inner index
} product_block;

static void add_row(const product_block *block, int64_t i)
{
    const jemi_product *p = block->p;
    const int64_t n = p->lower ? i + 1 : p->columns;
    const double *a = p->a + i * p->a_row;
    double *restrict c = p->c + i * p->columns;
    int64_t k = block->begin;
    for (; k + 4 <= block->end; k += 4) {
        const double a0 = a[k * p->a_inner], a1 = a[(k + 1) * p->a_inner];
        const double a2 = a[(k + 2) * p->a_inner], a3 = a[(k + 3) * p->a_inner];
        const double *b = p->b + k * p->columns;
        const double *b1 = b + p->columns, *b2 = b1 + p->columns, *b3 = b2 + p->columns;
        for (int64_t j = 0; j < n; j++)
            c[j] = c[j] + a0 * b[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
    }
    for (; k < block->end; k++)
        add_scaled(n, a[k * p->a_inner], p->b + k * p->columns, c);
}

static void product_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        add_row(context, i);
}

void jemi_product_add(const jemi_product *product)
{
    for (int64_t k = 0; k < product->inner; k += INNER_MAX) {
        const int64_t left = product->inner - k;
        const int64_t n = left < INNER_MAX ? left : INNER_MAX;
        product_block block = {product, k, k + n};
        jemi_parallel(product->rows, grain_of(n * product->columns), product_task, &block);
    }
}

// ---- Cholesky -----------------------------------------------------------------------------------

// Rows below k, whose elements left of column k are done.
typedef struct column {
    double *a;
    int64_t n, k;
} column;

static void column_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const column *c = context;
    const double *row = c->a + c->k * c->n;
    for (int64_t i = c->k + 1 + begin; i < c->k + 1 + end; i++) {
        double *below = c->a + i * c->n;
        below[c->k] = (below[c->k] - jemi_dot(c->k, below, row)) / row[c->k];
    }
}

bool jemi_cholesky(int64_t n, double *a)
{
    for (int64_t k = 0; k < n; k++) {
        double *row = a + k * n;
        const double pivot = row[k] - jemi_dot(k, row, row);
        if (!(pivot > 0.0 && pivot <= DBL_MAX))
            return false;
        row[k] = sqrt(pivot);
        column c = {a, n, k};
        jemi_parallel(n - k - 1, grain_of(k), column_task, &c);
    }
    return true;
}

void jemi_solve_lower(int64_t n, const double *l, double *x)
{
    for (int64_t k = 0; k < n; k++)
        x[k] = (x[k] - jemi_dot(k, l + k * n, x)) / l[k * n + k];
}

// ---- eigenvalues: to a tridiagonal matrix -------------------------------------------------------

typedef struct eigen {
    int64_t n;
    double *a;           // (n, n); row i: u of H_i = 1 - u u^T / h[i] in its first i elements
    double *diagonal;    // (n), at the end the eigenvalues
    double *subdiagonal; // (n); element i lies between diagonal elements i and i + 1
    double *h;           // (n), 0 where H_i = 1; later the cosines of a sweep
    double *work;        // (n), later its sines
    double *qt;          // (n, n), the vectors; may be NULL
} eigen;

// u and h of row i; returns the element that the reflection leaves on the subdiagonal.
static double make_reflection(const eigen *e, int64_t i)
{
    double *u = e->a + i * e->n;
    const double squares = jemi_dot(i, u, u), last = u[i - 1];
    e->h[i] = 0.0;
    if (jemi_dot(i - 1, u, u) == 0.0)
        return last;
    const double alpha = last > 0.0 ? -sqrt(squares) : sqrt(squares);
    u[i - 1] = last - alpha;
    e->h[i] = squares - last * alpha;
    return alpha;
}

typedef struct reflection {
    const eigen *e;
    int64_t i;
} reflection;

// work = A u over the leading i rows; threads share out columns.
static void image_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const reflection *r = context;
    const eigen *e = r->e;
    const double *u = e->a + r->i * e->n;
    memset(e->work + begin, 0, (size_t)(end - begin) * sizeof *e->work);
    for (int64_t k = 0; k < r->i; k++)
        add_scaled(end - begin, u[k], e->a + k * e->n + begin, e->work + begin);
}

// A -= u q^T + q u^T with q in work.
static void update_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const reflection *r = context;
    const eigen *e = r->e;
    const double *restrict u = e->a + r->i * e->n, *restrict q = e->work;
    for (int64_t k = begin; k < end; k++) {
        double *restrict row = e->a + k * e->n;
        const double uk = u[k], qk = q[k];
        for (int64_t j = 0; j < r->i; j++)
            row[j] -= uk * q[j] + qk * u[j];
    }
}

// A = H A H over the leading i rows and columns: with p = A u / h, q = p - (u^T p / 2h) u.
static void reflect(const eigen *e, int64_t i)
{
    reflection r = {e, i};
    const double *u = e->a + i * e->n, h = e->h[i];
    jemi_parallel(i, grain_of(i), image_task, &r);
    for (int64_t k = 0; k < i; k++)
        e->work[k] /= h;
    add_scaled(i, -0.5 * jemi_dot(i, u, e->work) / h, u, e->work);
    jemi_parallel(i, grain_of(2 * i), update_task, &r);
}

static void tridiagonalise(const eigen *e)
{
    for (int64_t i = e->n - 1; i >= 1; i--) {
        e->diagonal[i] = e->a[i * e->n + i];
        e->subdiagonal[i - 1] = make_reflection(e, i);
        if (e->h[i] > 0.0)
            reflect(e, i);
    }
    e->diagonal[0] = e->a[0];
    e->subdiagonal[e->n - 1] = 0.0;
}

// Rows of Q^T H_i.
static void collect_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const reflection *r = context;
    const double *u = r->e->a + r->i * r->e->n;
    for (int64_t k = begin; k < end; k++) {
        double *row = r->e->qt + k * r->e->n;
        add_scaled(r->i, -jemi_dot(r->i, row, u) / r->e->h[r->i], u, row);
    }
}

// Q^T = H_1 .. H_{n-1}; before H_i only the leading i - 1 rows and columns differ from 1.
static void collect_reflections(const eigen *e)
{
    memset(e->qt, 0, (size_t)(e->n * e->n) * sizeof *e->qt);
    for (int64_t i = 0; i < e->n; i++)
        e->qt[i * e->n + i] = 1.0;
    for (int64_t i = 1; i < e->n; i++) {
        reflection r = {e, i};
        if (e->h[i] > 0.0)
            jemi_parallel(i, grain_of(2 * i), collect_task, &r);
    }
}

// ---- eigenvalues: of a tridiagonal matrix -------------------------------------------------------

// The matrix was scaled to elements of at most 1: what is smaller than this is nothing, and what is
// larger has a square that does not underflow.
static const double tiny = 0x1p-500;

// The end of the block that begins at l: the first subdiagonal element that is negligible.
static int64_t block_end(const eigen *e, int64_t l)
{
    for (; l < e->n - 1; l++) {
        const double size = fabs(e->subdiagonal[l]);
        const double around = fabs(e->diagonal[l]) + fabs(e->diagonal[l + 1]);
        if (size <= DBL_EPSILON * around || size < tiny)
            break;
    }
    return l;
}

// Wilkinson's: the eigenvalue of the block's first two rows that is nearer to the first.
static double shift_from_end(const eigen *e, int64_t l, int64_t m)
{
    const double below = e->subdiagonal[l];
    const double g = (e->diagonal[l + 1] - e->diagonal[l]) / (2.0 * below);
    const double r = sqrt(g * g + 1.0);
    return e->diagonal[m] - e->diagonal[l] + below / (g + (g >= 0.0 ? r : -r));
}

// One implicit QL step on the block l .. m. Its rotations of rows i and i + 1 are left in h
// (cosine) and work (sine); returns the last i that has one.
static int64_t sweep(const eigen *e, int64_t l, int64_t m)
{
    double *d = e->diagonal, *sub = e->subdiagonal;
    double g = shift_from_end(e, l, m), s = 1.0, c = 1.0, p = 0.0;
    for (int64_t i = m - 1; i >= l; i--) {
        const double f = s * sub[i], b = c * sub[i];
        double r = sqrt(f * f + g * g);
        sub[i + 1] = r;
        if (r == 0.0) { // the block falls apart
            d[i + 1] -= p;
            sub[m] = 0.0;
            return i + 1;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        e->h[i] = c;
        e->work[i] = s;
    }
    d[l] -= p;
    sub[l] = g;
    sub[m] = 0.0;
    return l;
}

typedef struct rotations {
    const eigen *e;
    int64_t first, last; // rows `last` .. `first`, downward
} rotations;

static void rotate_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const rotations *r = context;
    for (int64_t i = r->last; i >= r->first; i--) {
        double *restrict row = r->e->qt + i * r->e->n, *restrict next = row + r->e->n;
        const double c = r->e->h[i], s = r->e->work[i];
        for (int64_t k = begin; k < end; k++) {
            const double old = next[k];
            next[k] = s * row[k] + c * old;
            row[k] = c * row[k] - s * old;
        }
    }
}

static void rotate_vectors(const eigen *e, int64_t first, int64_t last)
{
    rotations r = {e, first, last};
    const int64_t grain = grain_of(4 * (last - first + 1));
    if (e->qt != NULL && first <= last)
        jemi_parallel(e->n, grain > COLUMNS_MIN ? grain : COLUMNS_MIN, rotate_task, &r);
}

static jem_status diagonalise(const eigen *e)
{
    for (int64_t l = 0; l < e->n; l++) {
        int64_t m;
        for (int n = 0; (m = block_end(e, l)) > l; n++) {
            if (n == SWEEPS_MAX)
                return jemi_fail(JEM_EBACKEND, "eigenvalue %lld of %lld has not converged",
                                 (long long)l, (long long)e->n);
            const int64_t first = sweep(e, l, m);
            rotate_vectors(e, first, m - 1);
        }
    }
    return JEM_OK;
}

// ---- eigenvalues --------------------------------------------------------------------------------

static void swap_rows(int64_t n, double *a, double *b)
{
    for (int64_t k = 0; k < n; k++) {
        const double held = a[k];
        a[k] = b[k];
        b[k] = held;
    }
}

static void sort_ascending(const eigen *e)
{
    for (int64_t i = 0; i < e->n; i++) {
        int64_t least = i;
        for (int64_t k = i + 1; k < e->n; k++)
            least = e->diagonal[k] < e->diagonal[least] ? k : least;
        if (least == i)
            continue;
        swap_rows(1, e->diagonal + i, e->diagonal + least);
        if (e->qt != NULL)
            swap_rows(e->n, e->qt + i * e->n, e->qt + least * e->n);
    }
}

// The power of two that no element exceeds. Scaling by it is exact.
static double scale_of(int64_t count, const double *a)
{
    double most = 0.0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(a[i]));
    int exponent;
    frexp(most, &exponent);
    return most > 0.0 ? ldexp(1.0, exponent < DBL_MAX_EXP ? exponent : DBL_MAX_EXP - 1) : 1.0;
}

static jem_status solve(const eigen *e)
{
    const double scale = scale_of(e->n * e->n, e->a);
    for (int64_t i = 0; i < e->n * e->n; i++)
        e->a[i] /= scale;
    tridiagonalise(e);
    if (e->qt != NULL)
        collect_reflections(e);
    JEMI_TRY(diagonalise(e));
    sort_ascending(e);
    for (int64_t i = 0; i < e->n; i++)
        e->diagonal[i] *= scale;
    return JEM_OK;
}

jem_status jemi_symmetric_eigen(int64_t n, double *a, double *values, double *vectors)
{
    double *work = jemi_alloc((size_t)n, 3 * sizeof *work);
    if (work == NULL)
        return jemi_fail_memory("eigenvalues");
    const eigen e = {.n = n,
                     .a = a,
                     .diagonal = values,
                     .subdiagonal = work,
                     .h = work + n,
                     .work = work + 2 * n,
                     .qt = vectors};
    const jem_status status = n > 0 ? solve(&e) : JEM_OK;
    jemi_free(work);
    return status;
}
