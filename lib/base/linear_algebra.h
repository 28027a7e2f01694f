/*
 * Dense matrices in double: products, Cholesky factors, eigenvalues of symmetric matrices.
 *
 * Matrices are row-major and contiguous. Every number is made by + - * / and sqrt in a fixed order,
 * so the bits are the same on every machine and at any thread count. Large sizes use the threads of
 * the call.
 */
#ifndef JEMI_BASE_LINEAR_ALGEBRA_H
#define JEMI_BASE_LINEAR_ALGEBRA_H

#include <stdbool.h>
#include <stdint.h>

#include <jem/jem.h>

/** The sum of a[k] * b[k]. */
double jemi_dot(int64_t n, const double *a, const double *b);

/** C += A B, A (rows, inner) with any strides. */
typedef struct jemi_product {
    int64_t rows, inner, columns;
    const double *a;        /* element (i, k) is a[i * a_row + k * a_inner] */
    int64_t a_row, a_inner; /* so that A may be the transpose of what lies in memory */
    const double *b;        /* (inner, columns) */
    double *c;              /* (rows, columns), overlaps neither factor */
    bool lower;             /* elements above the diagonal of C are left alone */
} jemi_product;

void jemi_product_add(const jemi_product *product);

/**
 * A = L L^T. The lower triangle of `a` (n, n) becomes L; what lies above the diagonal is neither
 * read nor written. False, with `a` half done, unless A is positive definite in the arithmetic of
 * doubles.
 */
bool jemi_cholesky(int64_t n, double *a);

/** Solves L y = x in place. Reads the lower triangle of `l` (n, n), whose diagonal is not 0. */
void jemi_solve_lower(int64_t n, const double *l, double *x);

/**
 * Eigenvalues of a symmetric matrix, ascending, and orthonormal eigenvectors: Householder
 * reduction to a tridiagonal matrix, then implicit QL (Golub & Van Loan, Matrix Computations,
 * section 8.3). Errors are some units in the last place of the largest |eigenvalue|.
 *
 * @param a        (n, n), both triangles, finite. Overwritten.
 * @param values   Out. (n).
 * @param vectors  Out, may be NULL. (n, n), row k is the vector of values[k].
 * @return JEM_OK, JEM_ENOMEM; JEM_EBACKEND should the iteration not converge, of which no example
 *         is known.
 */
jem_status jemi_symmetric_eigen(int64_t n, double *a, double *values, double *vectors);

#endif
