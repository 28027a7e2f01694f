/*
 * Telling out-of-distribution from in-distribution rows. Every figure is made of how many rows of
 * either kind have each distinct score, and of one walk over these.
 */
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "detect/bootstrap.h"
#include "detect/metrics.h"
#include "detect/ranking.h"

enum { FIGURES = JEMI_FIGURES(jem_detection) };

// Rows of either kind in each group, groups ascending by score.
typedef struct tally {
    int64_t n_groups, n_in, n_out;
    int32_t *in, *out; // (n_groups), one block
} tally;

static jem_status tally_make(tally *t, int64_t n_groups, const jemi_detection_scores *scores)
{
    *t = (tally){.n_groups = n_groups, .n_in = scores->n_in, .n_out = scores->n_out};
    t->in = jemi_calloc((size_t)n_groups, 2 * sizeof *t->in);
    if (t->in == NULL)
        return jemi_fail_memory("counts of scores");
    t->out = t->in + n_groups;
    return JEM_OK;
}

static void tally_free(tally *t)
{
    jemi_free(t->in);
}

// In-distribution rows come first.
static jem_status rank_scores(const jemi_detection_scores *scores, jemi_ranking *ranking)
{
    const int64_t n = scores->n_in + scores->n_out;
    double *values = jemi_alloc((size_t)n, sizeof *values);
    if (values == NULL)
        return jemi_fail_memory("scores");
    for (int64_t i = 0; i < n; i++)
        values[i] = i < scores->n_in ? scores->in[i] : scores->out[i - scores->n_in];
    const jem_status status = jemi_ranking_make(ranking, n, values);
    jemi_free(values);
    return status;
}

static jem_status tally_scores(const jemi_detection_scores *scores, tally *t)
{
    jemi_ranking ranking = {0};
    jem_status status = rank_scores(scores, &ranking);
    if (status == JEM_OK)
        status = tally_make(t, ranking.n_groups, scores);
    if (status == JEM_OK) {
        for (int64_t i = 0; i < scores->n_in; i++)
            t->in[ranking.group[i]]++;
        for (int64_t i = 0; i < scores->n_out; i++)
            t->out[ranking.group[scores->n_in + i]]++;
    }
    jemi_ranking_free(&ranking);
    return status;
}

// ---- figures ------------------------------------------------------------------------------------

static double auroc_of(const tally *t)
{
    double pairs = 0.0, below = 0.0;
    for (int64_t g = 0; g < t->n_groups; g++) {
        pairs += t->out[g] * (below + 0.5 * t->in[g]);
        below += t->in[g];
    }
    return pairs / ((double)t->n_in * (double)t->n_out);
}

// One kind of rows as the positives, in the order in which a moving threshold takes them.
typedef struct direction {
    const int32_t *positive, *negative; // of the first group
    int64_t step, n_groups;
    double n_positive, n_negative;
} direction;

static direction out_positive(const tally *t)
{
    const int64_t last = t->n_groups - 1;
    return (direction){.positive = t->out + last,
                       .negative = t->in + last,
                       .step = -1,
                       .n_groups = t->n_groups,
                       .n_positive = (double)t->n_out,
                       .n_negative = (double)t->n_in};
}

static direction in_positive(const tally *t)
{
    return (direction){.positive = t->in,
                       .negative = t->out,
                       .step = 1,
                       .n_groups = t->n_groups,
                       .n_positive = (double)t->n_in,
                       .n_negative = (double)t->n_out};
}

static double average_precision(direction d)
{
    double precision = 0.0, taken = 0.0, right = 0.0;
    for (int64_t k = 0; k < d.n_groups; k++) {
        const int32_t positive = d.positive[k * d.step];
        right += positive;
        taken += positive + (double)d.negative[k * d.step];
        if (positive > 0)
            precision += positive * (right / taken);
    }
    return precision / d.n_positive;
}

static double fpr_at(direction d, double tpr)
{
    double right = 0.0, wrong = 0.0;
    for (int64_t k = 0; k < d.n_groups && right / d.n_positive < tpr; k++) {
        right += d.positive[k * d.step];
        wrong += d.negative[k * d.step];
    }
    return wrong / d.n_negative;
}

static void compute_figures(const tally *t, double tpr, jem_detection *out)
{
    out->auroc = auroc_of(t);
    out->aupr_out = average_precision(out_positive(t));
    out->aupr_in = average_precision(in_positive(t));
    out->fpr_in_positive = fpr_at(in_positive(t), tpr);
    out->fpr_out_positive = fpr_at(out_positive(t), tpr);
}

jem_status jemi_auroc(const jemi_detection_scores *scores, double *auroc)
{
    tally t = {0};
    const jem_status status = tally_scores(scores, &t);
    if (status == JEM_OK)
        *auroc = auroc_of(&t);
    tally_free(&t);
    return status;
}

jem_status jemi_detection_metrics(const jemi_detection_scores *scores, double tpr,
                                  jem_detection *out)
{
    tally t = {0};
    const jem_status status = tally_scores(scores, &t);
    if (status == JEM_OK)
        compute_figures(&t, tpr, out);
    tally_free(&t);
    return status;
}

// ---- the curve ----------------------------------------------------------------------------------

static void fill_curve(const tally *t, jemi_curve *curve)
{
    const direction d = out_positive(t);
    double right = 0.0, wrong = 0.0;
    curve->x[0] = curve->y[0] = 0.0;
    for (int64_t k = 0; k < d.n_groups; k++) {
        right += d.positive[k * d.step];
        wrong += d.negative[k * d.step];
        curve->x[k + 1] = wrong / d.n_negative;
        curve->y[k + 1] = right / d.n_positive;
    }
}

jem_status jemi_roc_curve(const jemi_detection_scores *scores, jemi_curve *curve)
{
    tally t = {0};
    jem_status status = tally_scores(scores, &t);
    if (status == JEM_OK)
        status = jemi_curve_set_points(curve, t.n_groups + 1);
    if (status == JEM_OK && curve->room > 0)
        fill_curve(&t, curve);
    tally_free(&t);
    return status;
}

// ---- intervals ----------------------------------------------------------------------------------

typedef struct resampling {
    const jemi_detection_scores *scores;
    double tpr;
    jemi_random_key key_in, key_out;
    jemi_ranking ranking;
    tally *tallies; // one per worker
    int n_tallies;
} resampling;

static void resample_figures(void *context, int32_t resample, int worker, double *figures)
{
    const resampling *r = context;
    tally *t = &r->tallies[worker];
    memset(t->in, 0, (size_t)t->n_groups * 2 * sizeof *t->in);
    jemi_resample(r->key_in, resample, t->n_in, r->ranking.group, t->in);
    jemi_resample(r->key_out, resample, t->n_out, r->ranking.group + t->n_in, t->out);
    jem_detection found;
    compute_figures(t, r->tpr, &found);
    memcpy(figures, jemi_figures_of(&found), FIGURES * sizeof *figures);
}

static jem_status prepare_resampling(resampling *r)
{
    JEMI_TRY(rank_scores(r->scores, &r->ranking));
    r->n_tallies = jemi_parallel_width();
    r->tallies = jemi_calloc((size_t)r->n_tallies, sizeof *r->tallies);
    if (r->tallies == NULL)
        return jemi_fail_memory("counts of scores");
    for (int i = 0; i < r->n_tallies; i++)
        JEMI_TRY(tally_make(&r->tallies[i], r->ranking.n_groups, r->scores));
    return JEM_OK;
}

jem_status jemi_detection_intervals(const jemi_detection_scores *scores, double tpr,
                                    const jem_bootstrap_config *bootstrap, jem_detection *low,
                                    jem_detection *high)
{
    resampling r = {
        .scores = scores,
        .tpr = tpr,
        .key_in = jemi_random_key_make(bootstrap->seed, JEMI_RANDOM_BOOTSTRAP, 0),
        .key_out = jemi_random_key_make(bootstrap->seed, JEMI_RANDOM_BOOTSTRAP_OUT, 0),
    };
    jem_status status = prepare_resampling(&r);
    if (status == JEM_OK)
        status = jemi_bootstrap(bootstrap, FIGURES, resample_figures, &r, jemi_figures_of(low),
                                jemi_figures_of(high));
    for (int i = 0; r.tallies != NULL && i < r.n_tallies; i++)
        tally_free(&r.tallies[i]);
    jemi_free(r.tallies);
    jemi_ranking_free(&r.ranking);
    return status;
}
