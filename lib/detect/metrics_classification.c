/*
 * A classifier's probabilities against the labels. A row is judged once; a figure is then a sum
 * over the judged rows, each as often as it was drawn. Rows are sorted by confidence, as bins of
 * equal mass need it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "detect/bootstrap.h"
#include "detect/metrics.h"
#include "detect/softmax.h"

enum { FIGURES = JEMI_FIGURES(jem_classification) };

typedef struct judged_row {
    double confidence, correct; // 0 or 1
    double nll, brier;
    int64_t row;
} judged_row;

typedef struct judgement {
    const jemi_labelled_logits *from;
    judged_row *rows;      // (n), ascending by confidence
    double *probabilities; // (n, classes) in the caller's order; NULL: computed when asked for
} judgement;

// Sums of one way of counting rows.
typedef struct bin_sums {
    double *gaps;          // (bins), of confidence - correct
    double *gaps_by_mass;  // (bins)
    double *gaps_by_class; // (classes, bins), of probability - (label is the class)
    double *p;             // (classes), of the present row
} bin_sums;

static size_t class_bins(const jemi_labelled_logits *from)
{
    return (size_t)from->classes * (size_t)from->bins;
}

static jem_status bin_sums_make(const jemi_labelled_logits *from, bin_sums *sums)
{
    const size_t bins = (size_t)from->bins;
    sums->gaps = jemi_alloc(2 * bins + class_bins(from) + (size_t)from->classes, sizeof *sums->p);
    if (sums->gaps == NULL)
        return jemi_fail_memory("calibration bins");
    sums->gaps_by_mass = sums->gaps + bins;
    sums->gaps_by_class = sums->gaps_by_mass + bins;
    sums->p = sums->gaps_by_class + class_bins(from);
    return JEM_OK;
}

static void bin_sums_free(bin_sums *sums)
{
    jemi_free(sums->gaps);
}

// ---- judging ------------------------------------------------------------------------------------

static judged_row judge_row(const jemi_labelled_logits *from, int64_t i, double *p)
{
    const float *logits = from->logits + i * from->classes;
    const int64_t label = from->labels[i];
    const jemi_softmax s = jemi_softmax_row(logits, from->classes, from->temperature, p);
    double squares = 0.0;
    for (int32_t k = 0; k < from->classes; k++) {
        const double miss = p[k] - (k == label);
        squares += miss * miss;
    }
    return (judged_row){.confidence = p[s.top],
                        .correct = s.top == label,
                        .nll =
                            s.log_sum - ((double)logits[label] - logits[s.top]) / from->temperature,
                        .brier = squares,
                        .row = i};
}

// By confidence; equal ones in the caller's order, so that sums have one order.
static int compare_rows(const void *a, const void *b)
{
    const judged_row *x = a, *y = b;
    if (x->confidence != y->confidence)
        return x->confidence > y->confidence ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

static void judgement_free(judgement *j)
{
    jemi_free(j->rows);
    jemi_free(j->probabilities);
}

// With `p` (classes) for the probabilities of a row; NULL: all of them are saved.
static jem_status judge(const jemi_labelled_logits *from, double *p, judgement *j)
{
    *j = (judgement){.from = from, .rows = jemi_alloc((size_t)from->n, sizeof *j->rows)};
    if (p == NULL)
        j->probabilities = jemi_alloc((size_t)from->n, (size_t)from->classes * sizeof *p);
    if (j->rows == NULL || (p == NULL && j->probabilities == NULL))
        return jemi_fail_memory("judged rows");
    for (int64_t i = 0; i < from->n; i++)
        j->rows[i] = judge_row(from, i, p != NULL ? p : j->probabilities + i * from->classes);
    qsort(j->rows, (size_t)from->n, sizeof *j->rows, compare_rows);
    return JEM_OK;
}

// ---- bins ---------------------------------------------------------------------------------------

static int32_t width_bin(double p, int32_t bins)
{
    const int32_t bin = (int32_t)(p * bins);
    return bin < bins ? bin : bins - 1;
}

// Walks along sorted rows of which some may count more than once.
typedef struct mass_walk {
    int64_t n, seen, below; // rows in all, before this one, and with a lower confidence
    double confidence;
} mass_walk;

static int32_t mass_bin(mass_walk *walk, double confidence, int32_t bins, int32_t times)
{
    if (confidence != walk->confidence)
        walk->below = walk->seen;
    walk->confidence = confidence;
    walk->seen += times;
    return (int32_t)(walk->below * bins / walk->n);
}

static void add_class_gaps(const judgement *j, const judged_row *row, int32_t times, bin_sums *sums)
{
    const jemi_labelled_logits *from = j->from;
    const double *p = sums->p;
    if (j->probabilities != NULL)
        p = j->probabilities + row->row * from->classes;
    else
        jemi_softmax_row(from->logits + row->row * from->classes, from->classes, from->temperature,
                         sums->p);
    for (int32_t k = 0; k < from->classes; k++)
        sums->gaps_by_class[(int64_t)k * from->bins + width_bin(p[k], from->bins)] += times * p[k];
    const int64_t label = from->labels[row->row];
    sums->gaps_by_class[label * from->bins + width_bin(p[label], from->bins)] -= times;
}

static double mean_gap(const double *gaps, size_t count, int64_t n)
{
    double sum = 0.0;
    for (size_t b = 0; b < count; b++)
        sum += fabs(gaps[b]);
    return sum / (double)n;
}

// ---- figures ------------------------------------------------------------------------------------

static void add_row(const judgement *j, const judged_row *row, int32_t times, mass_walk *walk,
                    bin_sums *sums, jem_classification *out)
{
    const int32_t bins = j->from->bins;
    const double gap = times * (row->confidence - row->correct);
    sums->gaps[width_bin(row->confidence, bins)] += gap;
    sums->gaps_by_mass[mass_bin(walk, row->confidence, bins, times)] += gap;
    add_class_gaps(j, row, times, sums);
    out->accuracy += times * row->correct;
    out->nll += times * row->nll;
    out->brier += times * row->brier;
}

// With counts (n) for how often each of the caller's rows counts, n in all; NULL: once.
static void compute_figures(const judgement *j, const int32_t *counts, bin_sums *sums,
                            jem_classification *out)
{
    const jemi_labelled_logits *from = j->from;
    const size_t bins = (size_t)from->bins;
    *out = (jem_classification){0};
    memset(sums->gaps, 0, (2 * bins + class_bins(from)) * sizeof *sums->gaps);
    mass_walk walk = {.n = from->n, .confidence = -1.0};
    for (int64_t i = 0; i < from->n; i++) {
        const int32_t times = counts != NULL ? counts[j->rows[i].row] : 1;
        if (times > 0)
            add_row(j, &j->rows[i], times, &walk, sums, out);
    }
    out->accuracy /= (double)from->n;
    out->nll /= (double)from->n;
    out->brier /= (double)from->n;
    out->ece = mean_gap(sums->gaps, bins, from->n);
    out->ece_adaptive = mean_gap(sums->gaps_by_mass, bins, from->n);
    out->ece_classwise = mean_gap(sums->gaps_by_class, class_bins(from), from->n) / from->classes;
}

jem_status jemi_classification_metrics(const jemi_labelled_logits *from, jem_classification *out)
{
    judgement j = {0};
    bin_sums sums = {0};
    jem_status status = bin_sums_make(from, &sums);
    if (status == JEM_OK)
        status = judge(from, sums.p, &j);
    if (status == JEM_OK)
        compute_figures(&j, NULL, &sums, out);
    judgement_free(&j);
    bin_sums_free(&sums);
    return status;
}

// ---- reliability --------------------------------------------------------------------------------

static void fill_bins(const judgement *j, int32_t kind, int64_t *count, double *confidence,
                      double *accuracy)
{
    const int32_t bins = j->from->bins;
    memset(count, 0, (size_t)bins * sizeof *count);
    memset(confidence, 0, (size_t)bins * sizeof *confidence);
    memset(accuracy, 0, (size_t)bins * sizeof *accuracy);
    mass_walk walk = {.n = j->from->n, .confidence = -1.0};
    for (int64_t i = 0; i < j->from->n; i++) {
        const judged_row *row = &j->rows[i];
        const int32_t by_mass = mass_bin(&walk, row->confidence, bins, 1);
        const int32_t bin = kind == JEM_BINS_MASS ? by_mass : width_bin(row->confidence, bins);
        count[bin]++;
        confidence[bin] += row->confidence;
        accuracy[bin] += row->correct;
    }
    for (int32_t b = 0; b < bins; b++) {
        const double n = count[b] > 0 ? (double)count[b] : 1.0;
        confidence[b] /= n;
        accuracy[b] /= n;
    }
}

jem_status jemi_reliability(const jemi_labelled_logits *from, int32_t kind, int64_t *count,
                            double *confidence, double *accuracy)
{
    judgement j = {0};
    double *p = jemi_alloc((size_t)from->classes, sizeof *p);
    if (p == NULL)
        return jemi_fail_memory("probabilities");
    const jem_status status = judge(from, p, &j);
    if (status == JEM_OK)
        fill_bins(&j, kind, count, confidence, accuracy);
    judgement_free(&j);
    jemi_free(p);
    return status;
}

// ---- intervals ----------------------------------------------------------------------------------

typedef struct resample_worker {
    bin_sums sums;
    int32_t *counts; // (n)
} resample_worker;

typedef struct resampling {
    judgement judgement;
    jemi_random_key key;
    resample_worker *workers;
    int n_workers;
} resampling;

static void resample_figures(void *context, int32_t resample, int worker, double *figures)
{
    const resampling *r = context;
    resample_worker *w = &r->workers[worker];
    const int64_t n = r->judgement.from->n;
    memset(w->counts, 0, (size_t)n * sizeof *w->counts);
    jemi_resample(r->key, resample, n, NULL, w->counts);
    jem_classification found;
    compute_figures(&r->judgement, w->counts, &w->sums, &found);
    memcpy(figures, jemi_figures_of(&found), FIGURES * sizeof *figures);
}

static jem_status prepare_resampling(const jemi_labelled_logits *from, resampling *r)
{
    JEMI_TRY(judge(from, NULL, &r->judgement));
    r->n_workers = jemi_parallel_width();
    r->workers = jemi_calloc((size_t)r->n_workers, sizeof *r->workers);
    if (r->workers == NULL)
        return jemi_fail_memory("resampling");
    for (int i = 0; i < r->n_workers; i++) {
        JEMI_TRY(bin_sums_make(from, &r->workers[i].sums));
        r->workers[i].counts = jemi_alloc((size_t)from->n, sizeof *r->workers[i].counts);
        if (r->workers[i].counts == NULL)
            return jemi_fail_memory("counts of rows");
    }
    return JEM_OK;
}

static void resampling_free(resampling *r)
{
    for (int i = 0; r->workers != NULL && i < r->n_workers; i++) {
        bin_sums_free(&r->workers[i].sums);
        jemi_free(r->workers[i].counts);
    }
    jemi_free(r->workers);
    judgement_free(&r->judgement);
}

jem_status jemi_classification_intervals(const jemi_labelled_logits *from,
                                         const jem_bootstrap_config *bootstrap,
                                         jem_classification *low, jem_classification *high)
{
    resampling r = {.key = jemi_random_key_make(bootstrap->seed, JEMI_RANDOM_BOOTSTRAP, 0)};
    jem_status status = prepare_resampling(from, &r);
    if (status == JEM_OK)
        status = jemi_bootstrap(bootstrap, FIGURES, resample_figures, &r, jemi_figures_of(low),
                                jemi_figures_of(high));
    resampling_free(&r);
    return status;
}
