/*
 * Figures of merit made of logits, scores and features.
 */
#include <math.h>

#include "api/check.h"
#include "base/environment.h"
#include "base/threads.h"
#include "detect/metrics.h"
#include "detect/temperature.h"

enum { CLASSES_MAX = 100000, BINS_MAX = 10000, WIDTH_MAX = 16384, RESAMPLES_MAX = 1000000 };

// ---- checks -------------------------------------------------------------------------------------

static jem_status check_count(int64_t n, const char *name)
{
    return jemi_check_range_int(n, 1, INT32_MAX, name);
}

static jem_status check_logits(int64_t n, int32_t classes, const float *logits)
{
    JEMI_TRY(check_count(n, "n"));
    JEMI_TRY(jemi_check_range_int(classes, 1, CLASSES_MAX, "classes"));
    return jemi_check_finite(logits, n, classes, "logits");
}

static jem_status check_labelled(const jemi_labelled_logits *from)
{
    JEMI_TRY(check_logits(from->n, from->classes, from->logits));
    JEMI_TRY(jemi_check_pointer(from->labels, "labels"));
    JEMI_TRY(jemi_check_labels(from->labels, from->n, from->classes, "labels"));
    JEMI_TRY(jemi_check_range(from->temperature, 1e-6, 1e6, "temperature"));
    return jemi_check_range_int(from->bins, 1, BINS_MAX, "bins");
}

// Infinite scores have a place among the others; NaN has none.
static jem_status check_ordered(int64_t n, const float *values, const char *name)
{
    JEMI_TRY(jemi_check_pointer(values, name));
    for (int64_t i = 0; i < n; i++)
        if (isnan(values[i]))
            return jemi_fail(JEM_EINVAL, "%s is nan at row %lld; expected numbers", name,
                             (long long)i);
    return JEM_OK;
}

static jem_status check_scores(const jemi_detection_scores *scores)
{
    JEMI_TRY(check_count(scores->n_in, "n_in"));
    JEMI_TRY(check_count(scores->n_out, "n_out"));
    JEMI_TRY(check_ordered(scores->n_in, scores->in, "scores_in"));
    return check_ordered(scores->n_out, scores->out, "scores_out");
}

static jem_status check_losses(int64_t n, const float *uncertainty, const float *loss)
{
    JEMI_TRY(check_count(n, "n"));
    JEMI_TRY(check_ordered(n, uncertainty, "uncertainty"));
    JEMI_TRY(jemi_check_pointer(loss, "loss"));
    for (int64_t i = 0; i < n; i++)
        if (!(loss[i] >= 0.0f && loss[i] <= 1.0f))
            return jemi_fail(JEM_EINVAL, "loss is %g at row %lld; expected 0..1", (double)loss[i],
                             (long long)i);
    return JEM_OK;
}

static jem_status check_tpr(double tpr)
{
    if (!(tpr > 0.0 && tpr <= 1.0))
        return jemi_fail(JEM_EINVAL, "tpr is %g; expected a share above 0, at most 1", tpr);
    return JEM_OK;
}

static jem_status check_curve(const jemi_curve *curve, const char *x_name, const char *y_name)
{
    if (curve->room < 0)
        return jemi_fail(JEM_EINVAL, "room is %lld; expected 0 or more", (long long)curve->room);
    if (curve->room > 0)
        JEMI_TRY(jemi_check_pointer(curve->x, x_name));
    return curve->room > 0 ? jemi_check_pointer(curve->y, y_name) : JEM_OK;
}

static jem_status check_features(const jemi_features *set, int64_t n_min, const char *count,
                                 const char *name)
{
    JEMI_TRY(jemi_check_range_int(set->width, 1, WIDTH_MAX, "width"));
    JEMI_TRY(jemi_check_range_int(set->n, n_min, INT32_MAX, count));
    return jemi_check_finite(set->x, set->n, set->width, name);
}

static jem_status check_result(const void *result, const char *name, const char *type)
{
    JEMI_TRY(jemi_check_pointer(result, name));
    return jemi_config_check_out(result, type);
}

static jem_status check_ends(const void *low, const void *high, const char *type)
{
    JEMI_TRY(check_result(low, "low", type));
    return check_result(high, "high", type);
}

JEM_API jem_status jem_bootstrap_config_init(jem_bootstrap_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_bootstrap_config defaults = {
        .struct_size = sizeof defaults, .level = 0.95, .resamples = 1000};
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults,
                            "jem_bootstrap_config");
}

static jem_status check_bootstrap(const jem_bootstrap_config *config, jem_bootstrap_config *own)
{
    JEMI_TRY(jem_bootstrap_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_bootstrap_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_bootstrap_config"));
    JEMI_TRY(jemi_check_range_int(own->resamples, 1, RESAMPLES_MAX, "resamples"));
    if (!(own->level > 0.0 && own->level < 1.0))
        return jemi_fail(JEM_EINVAL, "level is %g; expected a share between 0 and 1", own->level);
    return JEM_OK;
}

// ---- classification -----------------------------------------------------------------------------

JEM_API jem_status jem_classification_metrics(int64_t n, int32_t classes, const float *logits,
                                              const int64_t *labels, double temperature,
                                              int32_t bins, jem_classification *metrics)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_labelled_logits from = {n, classes, bins, logits, labels, temperature};
    JEMI_TRY(check_labelled(&from));
    JEMI_TRY(check_result(metrics, "metrics", "jem_classification"));
    jem_classification own;
    JEMI_TRY(jemi_classification_metrics(&from, &own));
    jemi_config_write(metrics, &own, sizeof own);
    return JEM_OK;
}

JEM_API jem_status jem_fit_temperature(int64_t n, int32_t classes, const float *logits,
                                       const int64_t *labels, float *temperature)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_logits(n, classes, logits));
    JEMI_TRY(jemi_check_range_int(classes, 2, CLASSES_MAX, "classes"));
    JEMI_TRY(jemi_check_pointer(labels, "labels"));
    JEMI_TRY(jemi_check_labels(labels, n, classes, "labels"));
    JEMI_TRY(jemi_check_pointer(temperature, "temperature"));
    *temperature = (float)jemi_fit_temperature(n, classes, logits, labels);
    return JEM_OK;
}

JEM_API jem_status jem_reliability(int64_t n, int32_t classes, const float *logits,
                                   const int64_t *labels, double temperature, int32_t kind,
                                   int32_t bins, int64_t *count, double *confidence,
                                   double *accuracy)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_labelled_logits from = {n, classes, bins, logits, labels, temperature};
    JEMI_TRY(check_labelled(&from));
    JEMI_TRY(jemi_check_range_int(kind, JEM_BINS_WIDTH, JEM_BINS_MASS, "kind of bins"));
    JEMI_TRY(jemi_check_pointer(count, "count"));
    JEMI_TRY(jemi_check_pointer(confidence, "confidence"));
    JEMI_TRY(jemi_check_pointer(accuracy, "accuracy"));
    return jemi_reliability(&from, kind, count, confidence, accuracy);
}

JEM_API jem_status jem_classification_intervals(int64_t n, int32_t classes, const float *logits,
                                                const int64_t *labels, double temperature,
                                                int32_t bins, const jem_bootstrap_config *bootstrap,
                                                jem_classification *low, jem_classification *high)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_labelled_logits from = {n, classes, bins, logits, labels, temperature};
    jem_bootstrap_config config;
    JEMI_TRY(check_labelled(&from));
    JEMI_TRY(check_bootstrap(bootstrap, &config));
    JEMI_TRY(check_ends(low, high, "jem_classification"));
    jem_classification own_low, own_high;
    const int before = jemi_threads_enter(jemi_threads_default());
    const jem_status status = jemi_classification_intervals(&from, &config, &own_low, &own_high);
    jemi_threads_leave(before);
    JEMI_TRY(status);
    jemi_config_write(low, &own_low, sizeof own_low);
    jemi_config_write(high, &own_high, sizeof own_high);
    return JEM_OK;
}

// ---- detection ----------------------------------------------------------------------------------

JEM_API jem_status jem_detection_metrics(int64_t n_in, const float *scores_in, int64_t n_out,
                                         const float *scores_out, double tpr,
                                         jem_detection *metrics)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detection_scores scores = {n_in, n_out, scores_in, scores_out};
    JEMI_TRY(check_scores(&scores));
    JEMI_TRY(check_tpr(tpr));
    JEMI_TRY(check_result(metrics, "metrics", "jem_detection"));
    jem_detection own;
    JEMI_TRY(jemi_detection_metrics(&scores, tpr, &own));
    jemi_config_write(metrics, &own, sizeof own);
    return JEM_OK;
}

JEM_API jem_status jem_auroc(int64_t n_in, const float *scores_in, int64_t n_out,
                             const float *scores_out, double *auroc)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detection_scores scores = {n_in, n_out, scores_in, scores_out};
    JEMI_TRY(check_scores(&scores));
    JEMI_TRY(jemi_check_pointer(auroc, "auroc"));
    return jemi_auroc(&scores, auroc);
}

JEM_API jem_status jem_roc_curve(int64_t n_in, const float *scores_in, int64_t n_out,
                                 const float *scores_out, int64_t room, int64_t *n_points,
                                 double *fpr, double *tpr)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detection_scores scores = {n_in, n_out, scores_in, scores_out};
    jemi_curve curve = {.room = room, .x = fpr, .y = tpr};
    JEMI_TRY(check_scores(&scores));
    JEMI_TRY(check_curve(&curve, "fpr", "tpr"));
    JEMI_TRY(jemi_check_pointer(n_points, "n_points"));
    const jem_status status = jemi_roc_curve(&scores, &curve);
    *n_points = curve.n_points;
    return status;
}

JEM_API jem_status jem_detection_intervals(int64_t n_in, const float *scores_in, int64_t n_out,
                                           const float *scores_out, double tpr,
                                           const jem_bootstrap_config *bootstrap,
                                           jem_detection *low, jem_detection *high)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detection_scores scores = {n_in, n_out, scores_in, scores_out};
    jem_bootstrap_config config;
    JEMI_TRY(check_scores(&scores));
    JEMI_TRY(check_tpr(tpr));
    JEMI_TRY(check_bootstrap(bootstrap, &config));
    JEMI_TRY(check_ends(low, high, "jem_detection"));
    jem_detection own_low, own_high;
    const int before = jemi_threads_enter(jemi_threads_default());
    const jem_status status = jemi_detection_intervals(&scores, tpr, &config, &own_low, &own_high);
    jemi_threads_leave(before);
    JEMI_TRY(status);
    jemi_config_write(low, &own_low, sizeof own_low);
    jemi_config_write(high, &own_high, sizeof own_high);
    return JEM_OK;
}

// ---- selective classification -------------------------------------------------------------------

JEM_API jem_status jem_selective_metrics(int64_t n, const float *uncertainty, const float *loss,
                                         jem_selection *metrics)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_losses(n, uncertainty, loss));
    JEMI_TRY(check_result(metrics, "metrics", "jem_selection"));
    jem_selection own;
    JEMI_TRY(jemi_selective_metrics(n, uncertainty, loss, &own));
    jemi_config_write(metrics, &own, sizeof own);
    return JEM_OK;
}

JEM_API jem_status jem_risk_coverage_curve(int64_t n, const float *uncertainty, const float *loss,
                                           int64_t room, int64_t *n_points, double *coverage,
                                           double *risk)
{
    JEMI_OWN_ENVIRONMENT;
    jemi_curve curve = {.room = room, .x = coverage, .y = risk};
    JEMI_TRY(check_losses(n, uncertainty, loss));
    JEMI_TRY(check_curve(&curve, "coverage", "risk"));
    JEMI_TRY(jemi_check_pointer(n_points, "n_points"));
    const jem_status status = jemi_risk_coverage_curve(n, uncertainty, loss, &curve);
    *n_points = curve.n_points;
    return status;
}

// ---- samples ------------------------------------------------------------------------------------

JEM_API jem_status jem_frechet_distance(int64_t n_a, const float *a, int64_t n_b, const float *b,
                                        int64_t width, double *distance)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_features of_a = {n_a, width, a}, of_b = {n_b, width, b};
    JEMI_TRY(check_features(&of_a, 1, "n_a", "a"));
    JEMI_TRY(check_features(&of_b, 1, "n_b", "b"));
    JEMI_TRY(jemi_check_pointer(distance, "distance"));
    const int before = jemi_threads_enter(jemi_threads_default());
    const jem_status status = jemi_frechet_distance(&of_a, &of_b, distance);
    jemi_threads_leave(before);
    return status;
}

JEM_API jem_status jem_inception_score(int64_t n, int32_t classes, const float *logits,
                                       double *score)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_logits(n, classes, logits));
    JEMI_TRY(jemi_check_pointer(score, "score"));
    return jemi_inception_score(n, classes, logits, score);
}

JEM_API jem_status jem_precision_recall(int64_t n_real, const float *real, int64_t n_samples,
                                        const float *samples, int64_t width, int32_t k,
                                        double *precision, double *recall)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_features of_real = {n_real, width, real}, of_samples = {n_samples, width, samples};
    JEMI_TRY(check_features(&of_real, 2, "n_real", "real"));
    JEMI_TRY(check_features(&of_samples, 2, "n_samples", "samples"));
    JEMI_TRY(jemi_check_range_int(k, 1, (n_real < n_samples ? n_real : n_samples) - 1, "k"));
    JEMI_TRY(jemi_check_pointer(precision, "precision"));
    JEMI_TRY(jemi_check_pointer(recall, "recall"));
    const int before = jemi_threads_enter(jemi_threads_default());
    const jem_status status = jemi_precision_recall(&of_real, &of_samples, k, precision, recall);
    jemi_threads_leave(before);
    return status;
}
