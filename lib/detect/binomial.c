#include "detect/binomial.h"

#include <math.h>
#include <stdbool.h>

#include "base/elementary.h"

#define HALF_LN_2_PI 0.91893853320467274178

enum {
    SUMMED = 16,     // factorials up to here are products
    BISECTIONS = 50, // of an interval of at most 1
};

// From SUMMED on by Stirling's series, off by less than 3e-12.
static double ln_factorial(int64_t n)
{
    double sum = 0.0;
    if (n < SUMMED) {
        for (int64_t i = 2; i <= n; i++)
            sum += jemi_ln((double)i);
        return sum;
    }
    const double x = (double)n, xx = x * x;
    return (x + 0.5) * jemi_ln(x) - x + HALF_LN_2_PI +
           (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * xx)) / xx) / x;
}

// Whether P(Binomial(n, p) <= k) > level, for p >= k / n: adds up from the largest term down.
static bool tail_exceeds(int64_t n, int64_t k, double ln_choose, double p, double level)
{
    const double odds = (1.0 - p) / p;
    double sum = 0.0,
           term = jemi_exp(ln_choose + (double)k * jemi_ln(p) + (double)(n - k) * jemi_ln(1.0 - p));
    for (int64_t i = k; term > sum * 0x1p-60 && sum <= level; i--) {
        sum += term;
        term *= (double)i / (double)(n - i + 1) * odds; // 0 after i = 0
    }
    return sum > level;
}

// The median of Binomial(n, k / n) is k, so the limit lies above k / n.
double jemi_binomial_limit(int64_t n, int64_t k, double level)
{
    const double ln_choose = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    double low = (double)k / (double)n, high = 1.0;
    for (int i = 0; i < BISECTIONS; i++) {
        const double middle = 0.5 * (low + high);
        if (tail_exceeds(n, k, ln_choose, middle, level))
            low = middle;
        else
            high = middle;
    }
    return high;
}
