/*
 * The formulas stand at JEM_SCORE_* in jem.h. T is the temperature: f / T takes the place of f.
 */
#include "detect/logit_scores.h"

#include <math.h>
#include <stdbool.h>

#include "base/elementary.h"
#include "detect/largest.h"
#include "ebm/density.h"

// The largest logit, and the largest of the others.
typedef struct top_two {
    int64_t index;
    double first, second;
} top_two;

static top_two find_top_two(int64_t n_classes, const float *logits)
{
    top_two top = {0, (double)logits[0], -INFINITY};
    for (int64_t k = 1; k < n_classes; k++)
        if ((double)logits[k] > top.first) {
            top = (top_two){k, (double)logits[k], top.first};
        } else if ((double)logits[k] > top.second) {
            top.second = (double)logits[k];
        }
    return top;
}

// logsumexp of f / T. The one of T = 1 has the bits of jem_energy().
static double logsumexp_at(double temperature, int64_t n_classes, const float *logits)
{
    if (temperature == 1.0)
        return jemi_logsumexp(logits, n_classes, NULL);
    const double largest = find_top_two(n_classes, logits).first;
    double sum = 0.0;
    for (int64_t k = 0; k < n_classes; k++)
        sum += jemi_exp(((double)logits[k] - largest) / temperature);
    return largest / temperature + jemi_ln(sum);
}

double jemi_score_energy(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    const double temperature = (double)config->temperature;
    return -temperature * logsumexp_at(temperature, n_classes, logits);
}

double jemi_score_max_softmax(const jem_score_config *config, int64_t n_classes,
                              const float *logits)
{
    const double temperature = (double)config->temperature;
    const double largest = find_top_two(n_classes, logits).first;
    return -jemi_exp(largest / temperature - logsumexp_at(temperature, n_classes, logits));
}

double jemi_score_max_logit(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    (void)config;
    return -find_top_two(n_classes, logits).first;
}

double jemi_score_margin(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    (void)config;
    const top_two top = find_top_two(n_classes, logits);
    return n_classes > 1 ? top.second - top.first : 0.0;
}

double jemi_score_entropy(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    const double temperature = (double)config->temperature;
    const double f = logsumexp_at(temperature, n_classes, logits);
    double entropy = 0.0;
    for (int64_t k = 0; k < n_classes; k++) {
        const double log_p = (double)logits[k] / temperature - f;
        entropy -= log_p * jemi_exp(log_p);
    }
    return entropy;
}

// ---- GEN ---------------------------------------------------------------------------------------

// p^gamma (1 - p)^gamma from both logarithms.
static double gen_term(double gamma, double log_p, double rest)
{
    return rest > 0.0 ? jemi_exp(gamma * (log_p + jemi_ln(rest))) : 0.0;
}

// 1 - p of the most probable class is summed from the others, as the p of a sure classifier is 1.
double jemi_score_gen(const jem_score_config *config, int64_t n_classes, const float *logits)
{
    const double temperature = (double)config->temperature, gamma = (double)config->gen_gamma;
    const double f = logsumexp_at(temperature, n_classes, logits);
    const top_two top = find_top_two(n_classes, logits);
    double others = 0.0;
    for (int64_t k = 0; k < n_classes; k++)
        if (k != top.index)
            others += jemi_exp((double)logits[k] / temperature - f);
    jemi_largest heap = {.count = 0};
    jemi_largest_add(&heap, n_classes, logits, config->gen_classes);
    double sum = 0.0;
    bool top_is_done = false;
    for (int64_t i = 0; i < heap.count; i++) {
        const double log_p = (double)heap.values[i] / temperature - f;
        const bool is_top = !top_is_done && (double)heap.values[i] == top.first;
        sum += gen_term(gamma, log_p, is_top ? others : 1.0 - jemi_exp(log_p));
        top_is_done = top_is_done || is_top;
    }
    return sum;
}
