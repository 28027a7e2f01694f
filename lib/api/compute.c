/*
 * Logits, energies and gradients of rows.
 */
#include "api/check.h"
#include "base/environment.h"
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
