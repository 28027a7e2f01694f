/*
 * Half of the rows measure each kind, the other half their combination: a combination that is
 * measured on rows which helped to make it would not be exchangeable with a new row's.
 */
#include "detect/calibration.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "detect/sorted.h"

// ---- one score from several --------------------------------------------------------------------

float jemi_calibration_combine(const jemi_calibration *calibration, const float *scores,
                               int32_t *top)
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
    if (calibration->combine == 0)
        return scores[0];
    return (float)(calibration->combine == JEM_COMBINE_SUM ? sum : largest);
}

// ---- fitting -----------------------------------------------------------------------------------

static int64_t group_of(const jemi_calibration *calibration, int64_t label)
{
    return calibration->n_groups > 1 && label >= 0 ? label : 0;
}

// Row i measures the kinds, rather than their combination.
static bool measures_kinds(uint64_t seed, int64_t i)
{
    const jemi_random_key key = jemi_random_key_make(seed, JEMI_RANDOM_CALIBRATION, 0);
    return (jemi_random_u32(key, 0, (uint32_t)i, 0) & 1) != 0;
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
            if (measures_kinds(seed, i))
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
            if (group_of(c, rows->labels[i]) == g && (c->combine == 0 || !measures_kinds(seed, i)))
                c->sorted[c->n++] =
                    jemi_calibration_combine(c, rows->scores + i * c->n_kinds, NULL);
        jemi_sort_floats(c->n - c->begin[g], c->sorted + c->begin[g]);
    }
    c->begin[c->n_groups] = c->n;
}

static jem_status allocate(jemi_calibration *c, const bool *two_sided, int64_t n)
{
    const size_t kinds = (size_t)c->n_kinds, groups = (size_t)c->n_groups;
    c->tails = jemi_calloc(kinds, sizeof *c->tails);
    c->two_sided = jemi_calloc(kinds, sizeof *c->two_sided);
    c->begin = jemi_calloc(groups + 1, sizeof *c->begin);
    c->sorted = jemi_alloc((size_t)n, sizeof *c->sorted);
    c->thresholds = jemi_alloc(groups, sizeof *c->thresholds);
    if (c->tails == NULL || c->two_sided == NULL || c->begin == NULL || c->sorted == NULL ||
        c->thresholds == NULL)
        return jemi_fail_memory("calibration");
    for (size_t k = 0; k < kinds; k++)
        c->two_sided[k] = two_sided[k];
    for (size_t g = 0; g < groups; g++)
        c->thresholds[g] = INFINITY;
    return JEM_OK;
}

jem_status jemi_calibration_fit(jemi_calibration *calibration, const bool *two_sided, uint64_t seed,
                                const jemi_scored_rows *rows)
{
    JEMI_TRY(allocate(calibration, two_sided, rows->n));
    if (calibration->combine != 0)
        JEMI_TRY(fit_tails(calibration, seed, rows));
    fill_groups(calibration, seed, rows);
    return JEM_OK;
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
    return calibration->thresholds[group_of(calibration, label)];
}

static jem_status check_group(const jemi_calibration *c, int32_t g, double fpr, double confidence)
{
    const int64_t n = c->begin[g + 1] - c->begin[g], least = jemi_conformal_least(fpr, confidence);
    if (n >= least)
        return JEM_OK;
    char of_class[48] = "";
    if (c->n_groups > 1)
        jemi_format(of_class, sizeof of_class, " of predicted class %d", (int)g);
    return jemi_fail(JEM_EINVAL,
                     "%lld rows%s calibrate the threshold; expected at least %lld for a "
                     "false-positive rate of %g%s%s",
                     (long long)n, of_class, (long long)least, fpr,
                     confidence > 0.0 ? " with that confidence" : "",
                     c->combine != 0 ? ", and as many again that measure the kinds" : "");
}

jem_status jemi_calibration_set_threshold(jemi_calibration *calibration, double fpr,
                                          double confidence)
{
    for (int32_t g = 0; g < calibration->n_groups; g++)
        JEMI_TRY(check_group(calibration, g, fpr, confidence));
    for (int32_t g = 0; g < calibration->n_groups; g++) {
        const jemi_conformal scores = jemi_calibration_group(calibration, g);
        calibration->thresholds[g] =
            jemi_conformal_threshold(&scores, jemi_conformal_rank(scores.n, fpr, confidence));
    }
    calibration->fpr = fpr;
    calibration->confidence = confidence;
    return JEM_OK;
}
