/*
 * Series after a reduction of the argument, as sums and products alone, none of them contracted.
 *
 *     e^x = 2^n e^r,                  x = n ln 2 + r,  |r| <= ln 2 / 2
 *     ln x = e ln 2 + 2 artanh s,     x = 2^e m,  m in [sqrt(1/2), sqrt(2)),  s = (m - 1) / (m + 1)
 *     (1 + cos(pi s)) / 2 = sin^2 u,  u = pi (1 - s) / 2
 */
#include "base/elementary.h"

#include <math.h>
#include <string.h>

// ln 2 in two parts; the first has 21 zeros at its end, so that its products with n are exact.
static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;

// c[0] + c[1] x + ..
static inline double series(double x, const double *c, int count)
{
    double sum = c[count - 1];
    for (int k = count - 2; k >= 0; k--)
        sum = sum * x + c[k];
    return sum;
}

double jemi_exp(double x)
{
    static const double c[] = {
        1.0 / 2,         1.0 / 6,           1.0 / 24,          1.0 / 120,     1.0 / 720,
        1.0 / 5040,      1.0 / 40320,       1.0 / 362880,      1.0 / 3628800, 1.0 / 39916800.,
        1.0 / 479001600, 1.0 / 6227020800., 1.0 / 87178291200.};
    if (!(x >= -708.0 && x <= 709.0))
        return x < -708.0 ? 0.0 : x > 709.0 ? (double)INFINITY : x;
    const double shift = 0x1.8p52;
    const double shifted = x * 0x1.71547652b82fep0 + shift; // the integer n in the lowest bits
    const double n = shifted - shift;
    const double r = (x - n * ln2_high) - n * ln2_low;
    const double e = 1.0 + (r + r * r * series(r, c, sizeof c / sizeof c[0]));
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale * e;
}

double jemi_ln(double x)
{
    static const double c[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13,
                               1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    if (!(x < (double)INFINITY))
        return x;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    double e = (double)((int64_t)(bits >> 52) - 1023);
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e += 1.0;
    }
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    const double rest = 2.0 * s * z * series(z, c, sizeof c / sizeof c[0]);
    return e * ln2_high + (2.0 * s + (rest + e * ln2_low));
}

double jemi_power(double base, int64_t n)
{
    double product = 1.0;
    for (; n > 0; n /= 2) {
        if (n % 2 != 0)
            product *= base;
        base *= base;
    }
    return product;
}

double jemi_half_cosine(double s)
{
    static const double c[] = {-1.0 / 6,
                               1.0 / 120,
                               -1.0 / 5040,
                               1.0 / 362880,
                               -1.0 / 39916800,
                               1.0 / 6227020800.,
                               -1.0 / 1307674368000.,
                               1.0 / 355687428096000.,
                               -1.0 / 121645100408832000.,
                               1.0 / 51090942171709440000.};
    if (s <= 0.0)
        return 1.0;
    const double u = 0x1.921fb54442d18p0 * (1.0 - s), z = u * u;
    const double sine = u + u * z * series(z, c, sizeof c / sizeof c[0]);
    return sine * sine;
}
