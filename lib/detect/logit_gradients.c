/*
 * With p = softmax(f / T): dp[i]/df[k] = p[i] ((i = k) - p[k]) / T. The probabilities are written
 * where the derivatives go, and these replace them.
 */
#include "detect/logit_gradients.h"

#include <math.h>
#include <stdbool.h>

#include "base/elementary.h"
#include "detect/largest.h"
#include "detect/softmax.h"

static jemi_softmax softmax_of(const jem_score_config *config, int64_t n_classes,
                               const float *logits, double *p)
{
    return jemi_softmax_row(logits, (int32_t)n_classes, (double)config->temperature, p);
}

// 1 - p[k], summed from the others: the p of a sure classifier is 1.
static double rest_of(int64_t n_classes, const double *p, int64_t k)
{
    double rest = 0.0;
    for (int64_t i = 0; i < n_classes; i++)
        rest += i != k ? p[i] : 0.0;
    return rest;
}

void jemi_gradient_energy(const jem_score_config *config, int64_t n_classes, const float *logits,
                          double *dlogits)
{
    softmax_of(config, n_classes, logits, dlogits);
    for (int64_t k = 0; k < n_classes; k++)
        dlogits[k] = -dlogits[k];
}

void jemi_gradient_max_softmax(const jem_score_config *config, int64_t n_classes,
                               const float *logits, double *dlogits)
{
    const int32_t top = softmax_of(config, n_classes, logits, dlogits).top;
    const double slope = dlogits[top] / (double)config->temperature;
    const double rest = rest_of(n_classes, dlogits, top);
    for (int64_t k = 0; k < n_classes; k++)
        dlogits[k] *= slope;
    dlogits[top] = -slope * rest;
}

static int64_t largest_but(int64_t n_classes, const float *logits, int64_t but)
{
    int64_t top = -1;
    for (int64_t k = 0; k < n_classes; k++)
        if (k != but && (top < 0 || logits[k] > logits[top]))
            top = k;
    return top;
}

static void clear(int64_t n_classes, double *dlogits)
{
    for (int64_t k = 0; k < n_classes; k++)
        dlogits[k] = 0.0;
}

void jemi_gradient_max_logit(const jem_score_config *config, int64_t n_classes, const float *logits,
                             double *dlogits)
{
    (void)config;
    clear(n_classes, dlogits);
    dlogits[largest_but(n_classes, logits, -1)] = -1.0;
}

void jemi_gradient_margin(const jem_score_config *config, int64_t n_classes, const float *logits,
                          double *dlogits)
{
    (void)config;
    clear(n_classes, dlogits);
    if (n_classes < 2)
        return;
    const int64_t top = largest_but(n_classes, logits, -1);
    dlogits[top] = -1.0;
    dlogits[largest_but(n_classes, logits, top)] = 1.0;
}

// dH/df[k] = -p[k] (log p[k] + H) / T.
void jemi_gradient_entropy(const jem_score_config *config, int64_t n_classes, const float *logits,
                           double *dlogits)
{
    const double temperature = (double)config->temperature;
    const jemi_softmax s = softmax_of(config, n_classes, logits, dlogits);
    const double log_top = (double)logits[s.top] / temperature + s.log_sum;
    double entropy = 0.0;
    for (int64_t k = 0; k < n_classes; k++)
        entropy -= dlogits[k] * ((double)logits[k] / temperature - log_top);
    for (int64_t k = 0; k < n_classes; k++)
        dlogits[k] *= -((double)logits[k] / temperature - log_top + entropy) / temperature;
}

// ---- GEN ---------------------------------------------------------------------------------------

// The sum runs over logits above `least`, and so many of those that equal it.
typedef struct gen_terms {
    double gamma;
    float least;
    int64_t ties;
} gen_terms;

static gen_terms terms_of(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    jemi_largest heap = {.count = 0};
    jemi_largest_add(&heap, n_classes, logits, config->gen_classes);
    gen_terms terms = {(double)config->gen_gamma, heap.values[0], 0};
    for (int64_t i = 0; i < heap.count; i++)
        terms.ties += heap.values[i] == terms.least;
    return terms;
}

// Of G = sum (p (1 - p))^gamma: p dG/dp (1 - p) of one class, 0 where it is not in the sum.
static double gen_slope(gen_terms *terms, float logit, double p, double rest)
{
    if (logit < terms->least || (logit == terms->least && terms->ties-- <= 0))
        return 0.0;
    if (!(p > 0.0 && rest > 0.0))
        return 0.0;
    return terms->gamma * jemi_exp(terms->gamma * (jemi_ln(p) + jemi_ln(rest))) * (rest - p);
}

// dG/df[k] = (c[k] - p[k] sum over i != k of c[i] / (1 - p[i])) / T with the slopes c.
void jemi_gradient_gen(const jem_score_config *config, int64_t n_classes, const float *logits,
                       double *dlogits)
{
    const int32_t top = softmax_of(config, n_classes, logits, dlogits).top;
    const double rest = rest_of(n_classes, dlogits, top);
    double of_top = 0.0, of_others = 0.0; // sums of c / (1 - p)
    gen_terms terms = terms_of(config, n_classes, logits);
    for (int64_t k = 0; k < n_classes; k++) {
        const double p = dlogits[k], left = k == top ? rest : 1.0 - p;
        const double slope = gen_slope(&terms, logits[k], p, left);
        *(k == top ? &of_top : &of_others) += left > 0.0 ? slope / left : 0.0;
    }
    terms = terms_of(config, n_classes, logits);
    for (int64_t k = 0; k < n_classes; k++) {
        const double p = dlogits[k], left = k == top ? rest : 1.0 - p;
        const double slope = gen_slope(&terms, logits[k], p, left);
        const double own = left > 0.0 ? slope / left : 0.0;
        const double others = k == top ? of_others : of_top + of_others - own;
        dlogits[k] = (slope - p * others) / (double)config->temperature;
    }
}
