/*
 * Half of the rows measure each kind, the other half their combination: a combination that is
 * measured on rows which helped to make it would not be exchangeable with a new row's.
 */
#include "detect/calibration.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "detect/sorted.h"

// ---- one score from several --------------------------------------------------------------------

float jemi_calibration_combine(const jemi_calibration *calibration, const float *scores,
                               bool rejected, int32_t *top)
{
    double sum = 0.0, largest = -INFINITY;
    int32_t index = 0;
    for (int32_t k = 0; k < calibration->n_kinds && calibration->combine != 0; k++) {
        const double surprise =
            jemi_tail_surprise(&calibration->tails[k], scores[k], calibration->two_sided[k]);
        sum += surprise;
        if (surprise > largest) {
            largest = surprise;
            index = k;
        }
    }
    if (top != NULL)
        *top = index;
    if (rejected)
        return INFINITY;
    if (calibration->combine == 0)
        return scores[0];
    return (float)(calibration->combine == JEM_COMBINE_SUM ? sum : largest);
}

void jemi_calibration_slopes(const jemi_calibration *calibration, const float *scores,
                             double *slopes)
{
    int32_t top;
    jemi_calibration_combine(calibration, scores, false, &top);
    for (int32_t k = 0; k < calibration->n_kinds; k++) {
        const bool counts = k == top || calibration->combine == JEM_COMBINE_SUM;
        slopes[k] = !counts                     ? 0.0
                    : calibration->combine == 0 ? 1.0
                                                : jemi_tail_slope(&calibration->tails[k], scores[k],
                                                                  calibration->two_sided[k]);
    }
}

// ---- fitting -----------------------------------------------------------------------------------

static int64_t group_of(const jemi_calibration *calibration, int64_t label)
{
    return calibration->n_groups > 1 && label >= 0 ? label : 0;
}

// Row i of n measures the kinds, rather than their combination: one of every two neighbours does,
// drawn by the seed; an odd one at the end does not.
static bool measures_kinds(uint64_t seed, int64_t n, int64_t i)
{
    const jemi_random_key key = jemi_random_key_make(seed, JEMI_RANDOM_CALIBRATION, 0);
    const bool drawn = (jemi_random_u32(key, 0, (uint32_t)(i / 2), 0) & 1) != 0;
    return i / 2 < n / 2 && (i % 2 != 0) == drawn;
}

static jem_status fit_tails(jemi_calibration *c, uint64_t seed, const jemi_scored_rows *rows)
{
    float *values = jemi_alloc((size_t)rows->n, sizeof *values);
    if (values == NULL)
        return jemi_fail_memory("calibration");
    jem_status status = JEM_OK;
    for (int32_t k = 0; k < c->n_kinds && status == JEM_OK; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < rows->n; i++)
            if (measures_kinds(seed, rows->n, i))
                values[n++] = rows->scores[i * c->n_kinds + k];
        status = n > 0 ? jemi_tail_fit(&c->tails[k], n, values)
                       : jemi_fail(JEM_EINVAL, "n is %lld; expected more rows to calibrate with",
                                   (long long)rows->n);
    }
    jemi_free(values);
    return status;
}

// Scores of each group side by side, then sorted.
static void fill_groups(jemi_calibration *c, uint64_t seed, const jemi_scored_rows *rows)
{
    for (int32_t g = 0; g < c->n_groups; g++) {
        c->begin[g] = c->n;
        for (int64_t i = 0; i < rows->n; i++)
            if (group_of(c, rows->labels[i]) == g &&
                (c->combine == 0 || !measures_kinds(seed, rows->n, i)))
                c->sorted[c->n++] = jemi_calibration_combine(c, rows->scores + i * c->n_kinds,
                                                             rows->rejected[i], NULL);
        jemi_sort_floats(c->n - c->begin[g], c->sorted + c->begin[g]);
    }
    c->begin[c->n_groups] = c->n;
}

jem_status jemi_calibration_allocate(jemi_calibration *c, const bool *two_sided, int64_t n)
{
    const size_t kinds = (size_t)c->n_kinds, groups = (size_t)c->n_groups;
    c->tails = jemi_calloc(kinds, sizeof *c->tails);
    c->two_sided = jemi_calloc(kinds, sizeof *c->two_sided);
    c->begin = jemi_calloc(groups + 1, sizeof *c->begin);
    c->sorted = jemi_alloc((size_t)n, sizeof *c->sorted);
    if (c->tails == NULL || c->two_sided == NULL || c->begin == NULL || c->sorted == NULL)
        return jemi_fail_memory("calibration");
    for (size_t k = 0; k < kinds; k++)
        c->two_sided[k] = two_sided[k];
    return JEM_OK;
}

jem_status jemi_calibration_set_labels(jemi_calibration *calibration, int64_t n,
                                       const float *label_scores)
{
    calibration->label_scores = jemi_alloc((size_t)n, sizeof *label_scores);
    if (calibration->label_scores == NULL)
        return jemi_fail_memory("label sets");
    calibration->n_labelled = n;
    memcpy(calibration->label_scores, label_scores, (size_t)n * sizeof *label_scores);
    jemi_sort_floats(n, calibration->label_scores);
    return JEM_OK;
}

jem_status jemi_calibration_fit(jemi_calibration *calibration, const bool *two_sided, uint64_t seed,
                                const jemi_scored_rows *rows)
{
    JEMI_TRY(jemi_calibration_allocate(calibration, two_sided, rows->n));
    if (calibration->combine != 0)
        JEMI_TRY(fit_tails(calibration, seed, rows));
    fill_groups(calibration, seed, rows);
    return rows->label_scores != NULL
               ? jemi_calibration_set_labels(calibration, rows->n, rows->label_scores)
               : JEM_OK;
}

void jemi_calibration_fini(jemi_calibration *calibration)
{
    for (int32_t k = 0; k < calibration->n_kinds && calibration->tails != NULL; k++)
        jemi_tail_fini(&calibration->tails[k]);
    jemi_free(calibration->tails);
    jemi_free(calibration->two_sided);
    jemi_free(calibration->begin);
    jemi_free(calibration->sorted);
    jemi_free(calibration->thresholds);
    jemi_free(calibration->label_scores);
    *calibration = (jemi_calibration){0};
}

// ---- thresholds --------------------------------------------------------------------------------

jemi_conformal jemi_calibration_group(const jemi_calibration *calibration, int64_t label)
{
    const int64_t g = group_of(calibration, label), begin = calibration->begin[g];
    return (jemi_conformal){calibration->begin[g + 1] - begin, calibration->sorted + begin};
}

float jemi_calibration_threshold(const jemi_calibration *calibration, int64_t label)
{
    return calibration->thresholds->of_group[group_of(calibration, label)];
}

bool jemi_calibration_flags(const jemi_calibration *calibration, int64_t label, float score)
{
    return score > jemi_calibration_threshold(calibration, label) || score == INFINITY;
}

// " of predicted class 3", where there are classes.
typedef char group_name[48];

static void name_group(const jemi_calibration *c, int32_t g, group_name name)
{
    name[0] = '\0';
    if (c->n_groups > 1)
        jemi_format(name, sizeof(group_name), " of predicted class %d", (int)g);
}

static jem_status check_count(const jemi_calibration *c, int32_t g, double fpr, double confidence)
{
    const int64_t n = c->begin[g + 1] - c->begin[g], least = jemi_conformal_least(fpr, confidence);
    group_name name;
    if (n >= least)
        return JEM_OK;
    name_group(c, g, name);
    return jemi_fail(JEM_EINVAL,
                     "%lld rows%s calibrate the threshold; expected at least %lld for a "
                     "false-positive rate of %g%s%s",
                     (long long)n, name, (long long)least, fpr,
                     confidence > 0.0 ? " with that confidence" : "",
                     c->combine != 0 ? ", and as many again that measure the kinds" : "");
}

// Rows that are always flagged must not be more than the rate allows.
static jem_status check_infinite(const jemi_calibration *c, int32_t g, double fpr, int64_t rank)
{
    const jemi_conformal scores = jemi_calibration_group(c, g);
    const int64_t infinite = scores.n - jemi_count_below(scores.n, scores.sorted, INFINITY, false);
    group_name name;
    if (infinite < rank)
        return JEM_OK;
    name_group(c, g, name);
    return jemi_fail(JEM_EINVAL,
                     "%lld of %lld rows%s that calibrate the threshold are always flagged, as they "
                     "lie outside of the input range or overflow; expected fewer than %lld for a "
                     "false-positive rate of %g",
                     (long long)infinite, (long long)scores.n, name, (long long)rank, fpr);
}

static jem_status set_group(const jemi_calibration *c, int32_t g, jemi_thresholds *thresholds)
{
    const jemi_conformal scores = jemi_calibration_group(c, g);
    JEMI_TRY(check_count(c, g, thresholds->fpr, thresholds->confidence));
    const int64_t rank = jemi_conformal_rank(scores.n, thresholds->fpr, thresholds->confidence);
    JEMI_TRY(check_infinite(c, g, thresholds->fpr, rank));
    thresholds->of_group[g] = jemi_conformal_threshold(&scores, rank);
    return JEM_OK;
}

// What is new is complete before it takes its place: see jemi_learnt.
jem_status jemi_calibration_set_threshold(jemi_calibration *calibration, double fpr,
                                          double confidence)
{
    jemi_thresholds *old = calibration->thresholds, *next;
    next = jemi_alloc(1, sizeof *next + (size_t)calibration->n_groups * sizeof next->of_group[0]);
    if (next == NULL)
        return jemi_fail_memory("thresholds");
    next->fpr = fpr;
    next->confidence = confidence;
    jem_status status = JEM_OK;
    for (int32_t g = 0; g < calibration->n_groups && status == JEM_OK; g++)
        status = set_group(calibration, g, next);
    if (status != JEM_OK) {
        jemi_free(next);
        return status;
    }
    atomic_thread_fence(memory_order_release);
    calibration->thresholds = next;
    jemi_free(old);
    return JEM_OK;
}
