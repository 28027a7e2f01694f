/*
 * Logits, energies, scores, and the figures made of them.
 */
#include <math.h>

#include "api/check.h"
#include "base/environment.h"
#include "detect/metrics.h"
#include "detect/score.h"
#include "detect/temperature.h"
#include "ebm/batch.h"

JEM_API jem_status jem_logits(const jem_model *model, int64_t n, const float *x, float *logits)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_array(n, logits, "logits"));
    return n > 0 ? jemi_batch_values(model, JEMI_CUT_OUTPUT, n, x, logits) : JEM_OK;
}

JEM_API jem_status jem_energy(const jem_model *model, int64_t n, const float *x,
                              const int64_t *labels, float *energy)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_labels(labels, n, jemi_model_classes(model), "labels"));
    JEMI_TRY(jemi_check_array(n, energy, "energy"));
    return n > 0 ? jemi_batch_energy(model, n, x, labels, energy, NULL) : JEM_OK;
}

JEM_API jem_status jem_energy_grad(const jem_model *model, int64_t n, const float *x,
                                   const int64_t *labels, float *energy, float *grad)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_labels(labels, n, jemi_model_classes(model), "labels"));
    JEMI_TRY(jemi_check_array(n, grad, "grad"));
    return n > 0 ? jemi_batch_energy(model, n, x, labels, energy, grad) : JEM_OK;
}

JEM_API jem_status jem_features(const jem_model *model, int64_t n, const float *x, float *features)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_array(n, features, "features"));
    return n > 0 ? jemi_batch_values(model, JEMI_CUT_FEATURES, n, x, features) : JEM_OK;
}

static jem_status vjp(const jem_model *model, jemi_cut cut, int64_t n, const float *x,
                      const float *cotangents, const char *name, float *values, float *dx)
{
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_finite(cotangents, n, jemi_graph_cut_size(&model->graph, cut), name));
    JEMI_TRY(jemi_check_array(n, dx, "dx"));
    return n > 0 ? jemi_batch_vjp(model, cut, n, x, cotangents, values, dx) : JEM_OK;
}

JEM_API jem_status jem_vjp(const jem_model *model, int64_t n, const float *x, const float *dlogits,
                           float *logits, float *dx)
{
    JEMI_OWN_ENVIRONMENT;
    return vjp(model, JEMI_CUT_OUTPUT, n, x, dlogits, "dlogits", logits, dx);
}

JEM_API jem_status jem_features_vjp(const jem_model *model, int64_t n, const float *x,
                                    const float *dfeatures, float *features, float *dx)
{
    JEMI_OWN_ENVIRONMENT;
    return vjp(model, JEMI_CUT_FEATURES, n, x, dfeatures, "dfeatures", features, dx);
}

JEM_API jem_status jem_score(const jem_model *model, int32_t kind, int64_t n, const float *x,
                             float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_range_int(kind, JEM_SCORE_ENERGY, JEM_SCORE_GRADIENT_NORM, "score kind"));
    JEMI_TRY(jemi_check_array(n, scores, "scores"));
    return n > 0 ? jemi_score(model, kind, n, x, scores) : JEM_OK;
}

JEM_API jem_status jem_input_range(const jem_model *model, int64_t n, const float *x,
                                   uint8_t *outside, int64_t *n_outside, float *low, float *high)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_pointer(n_outside, "n_outside"));
    float own_low, own_high;
    *n_outside = jemi_model_input_outside(model, n, x, outside, &own_low, &own_high);
    if (low != NULL)
        *low = own_low;
    if (high != NULL)
        *high = own_high;
    return JEM_OK;
}

JEM_API jem_status jem_classification_metrics(int64_t n, int32_t classes, const float *logits,
                                              const int64_t *labels, jem_metrics *metrics)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(jemi_check_range_int(classes, 1, 100000, "classes"));
    JEMI_TRY(jemi_check_finite(logits, n, classes, "logits"));
    JEMI_TRY(jemi_check_pointer(labels, "labels"));
    JEMI_TRY(jemi_check_labels(labels, n, classes, "labels"));
    JEMI_TRY(jemi_check_pointer(metrics, "metrics"));
    JEMI_TRY(jemi_config_check_out(metrics, "jem_metrics"));
    jem_metrics own;
    jemi_classification_metrics(n, classes, logits, labels, &own);
    jemi_config_write(metrics, &own, sizeof own);
    return JEM_OK;
}

JEM_API jem_status jem_fit_temperature(int64_t n, int32_t classes, const float *logits,
                                       const int64_t *labels, float *temperature)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(jemi_check_range_int(classes, 2, 100000, "classes"));
    JEMI_TRY(jemi_check_finite(logits, n, classes, "logits"));
    JEMI_TRY(jemi_check_pointer(labels, "labels"));
    JEMI_TRY(jemi_check_labels(labels, n, classes, "labels"));
    JEMI_TRY(jemi_check_pointer(temperature, "temperature"));
    *temperature = (float)jemi_fit_temperature(n, classes, logits, labels);
    return JEM_OK;
}

// Infinite scores have a place among the others; NaN has none.
static jem_status check_scores(int64_t n, const float *scores, const char *name)
{
    JEMI_TRY(jemi_check_pointer(scores, name));
    for (int64_t i = 0; i < n; i++)
        if (isnan(scores[i]))
            return jemi_fail(JEM_EINVAL, "%s is nan at row %lld; expected scores", name,
                             (long long)i);
    return JEM_OK;
}

JEM_API jem_status jem_auroc(int64_t n_usual, const float *usual, int64_t n_unusual,
                             const float *unusual, double *auroc)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_range_int(n_usual, 1, INT32_MAX, "n_usual"));
    JEMI_TRY(jemi_check_range_int(n_unusual, 1, INT32_MAX, "n_unusual"));
    JEMI_TRY(check_scores(n_usual, usual, "usual"));
    JEMI_TRY(check_scores(n_unusual, unusual, "unusual"));
    JEMI_TRY(jemi_check_pointer(auroc, "auroc"));
    return jemi_auroc(n_usual, usual, n_unusual, unusual, auroc);
}
