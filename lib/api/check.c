/*
 * What a caller can get wrong, worded once.
 */
#include "api/check.h"
#include "base/environment.h"

#include <math.h>
#include <stddef.h>

#include "base/threads.h"
#include "kernels/vector.h"

enum { THREADS_MAX = 1024 };

jem_status jemi_check_pointer(const void *pointer, const char *name)
{
    return pointer != NULL ? JEM_OK : jemi_fail(JEM_EINVAL, "%s is NULL", name);
}

jem_status jemi_check_rows(int64_t n, const char *name)
{
    if (n < 0 || n > INT32_MAX)
        return jemi_fail(JEM_EINVAL, "%s is %lld; expected 0..%d", name, (long long)n, INT32_MAX);
    return JEM_OK;
}

jem_status jemi_check_array(int64_t n, const void *array, const char *name)
{
    if (n > 0 && array == NULL)
        return jemi_fail(JEM_EINVAL, "%s is NULL; expected %lld rows", name, (long long)n);
    return JEM_OK;
}

jem_status jemi_check_range_int(int64_t value, int64_t low, int64_t high, const char *name)
{
    if (value < low || value > high)
        return jemi_fail(JEM_EINVAL, "%s is %lld; expected %lld..%lld", name, (long long)value,
                         (long long)low, (long long)high);
    return JEM_OK;
}

// The comparisons are written so that NaN fails.
jem_status jemi_check_range(double value, double low, double high, const char *name)
{
    if (!(value >= low && value <= high))
        return jemi_fail(JEM_EINVAL, "%s is %g; expected %g..%g", name, value, low, high);
    return JEM_OK;
}

jem_status jemi_check_positive(double value, const char *name)
{
    if (!(value > 0.0 && value <= 3.4e38))
        return jemi_fail(JEM_EINVAL, "%s is %g; expected a number above 0", name, value);
    return JEM_OK;
}

jem_status jemi_check_flag(int32_t value, const char *name)
{
    return jemi_check_range_int(value, 0, 1, name);
}

jem_status jemi_check_finite(const float *x, int64_t n, int64_t row_len, const char *name)
{
    JEMI_TRY(jemi_check_array(n, x, name));
    int64_t index;
    if (!jemi_all_finite(x, n * row_len, &index))
        return jemi_fail(JEM_EINVAL, "%s is %g at row %lld, element %lld; expected finite values",
                         name, (double)x[index], (long long)(index / row_len),
                         (long long)(index % row_len));
    return JEM_OK;
}

jem_status jemi_check_labels(const int64_t *labels, int64_t n, int32_t classes, const char *name)
{
    for (int64_t i = 0; labels != NULL && i < n; i++)
        if (labels[i] < 0 || labels[i] >= classes)
            return jemi_fail(JEM_EINVAL, "%s is %lld at row %lld; expected 0..%d", name,
                             (long long)labels[i], (long long)i, (int)classes - 1);
    return JEM_OK;
}

jem_status jemi_check_fingerprint(const jem_model *model, const jemi_fingerprint *made_for,
                                  bool with_params, const char *what)
{
    const jemi_fingerprint now = jemi_model_fingerprint(model);
    const bool same_rows = now.input.c == made_for->input.c && now.input.h == made_for->input.h &&
                           now.input.w == made_for->input.w && now.classes == made_for->classes;
    if (!same_rows)
        return jemi_fail(JEM_EMISMATCH,
                         "the %s was created for inputs %lldx%lldx%lld and %d classes; this model "
                         "takes %lldx%lldx%lld and %d",
                         what, (long long)made_for->input.c, (long long)made_for->input.h,
                         (long long)made_for->input.w, (int)made_for->classes,
                         (long long)now.input.c, (long long)now.input.h, (long long)now.input.w,
                         (int)now.classes);
    if (with_params && now.param_count != made_for->param_count)
        return jemi_fail(JEM_EMISMATCH,
                         "the %s was created for %lld parameters; this model has %lld", what,
                         (long long)made_for->param_count, (long long)now.param_count);
    if (with_params && now.state_count != made_for->state_count)
        return jemi_fail(JEM_EMISMATCH,
                         "the %s was created for a model with %lld values of state; this one has "
                         "%lld",
                         what, (long long)made_for->state_count, (long long)now.state_count);
    return JEM_OK;
}

jem_status jemi_check_batch(const jem_model *model, int64_t n, const char *what)
{
    const int64_t least = jemi_graph_batch_min(&model->graph);
    if (n != 0 && n < least)
        return jemi_fail(JEM_EINVAL,
                         "%s is %lld; %s normalises by the statistics of the batch, which needs at "
                         "least %lld rows",
                         what, (long long)n, model->graph.arch, (long long)least);
    return JEM_OK;
}

jem_status jemi_check_input(const jem_model *model, int64_t n, const float *x)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    return jemi_check_finite(x, n, jemi_model_input_size(model), "x");
}

static jem_status check_precision(int32_t precision, const char *name)
{
    if (precision < JEM_PRECISION_F32 || precision > JEM_PRECISION_BF16)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "%s is %d; this version has JEM_PRECISION_F32, _F32_STRICT and _BF16",
                         name, (int)precision);
    return JEM_OK;
}

// The caller's string is his again when the call returns.
static jem_status check_kernel(jem_exec_config *own)
{
    jemi_kernel kernel;
    JEMI_TRY(jemi_kernel_read(own->kernel, &kernel));
    own->kernel = jemi_kernel_name(kernel);
    return JEM_OK;
}

jem_status jemi_check_exec(const jem_exec_config *exec, jem_exec_config *own)
{
    JEMI_TRY(jem_exec_config_init(own, sizeof *own));
    if (exec != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, exec, "jem_exec_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_exec_config"));
    JEMI_TRY(jemi_check_range_int(own->threads, 1, THREADS_MAX, "threads"));
    JEMI_TRY(jemi_check_range_int(own->runners_max, 1, 1024, "runners_max"));
    JEMI_TRY(jemi_check_range_int(own->backend, JEM_BACKEND_REF, JEM_BACKEND_NATIVE, "backend"));
    JEMI_TRY(check_precision(own->precision_scoring, "precision_scoring"));
    JEMI_TRY(check_precision(own->precision_chains, "precision_chains"));
    JEMI_TRY(check_precision(own->precision_training, "precision_training"));
    JEMI_TRY(check_kernel(own));
    JEMI_TRY(
        jemi_check_range_int(own->tuned_for, JEM_TUNED_THROUGHPUT, JEM_TUNED_LATENCY, "tuned_for"));
    if (jemi_backend_find(own->backend) == NULL)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "this build has no oneDNN backend; use JEM_BACKEND_NATIVE");
    return JEM_OK;
}

JEM_API jem_status jem_exec_config_init(jem_exec_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const int host_threads = jemi_threads_default();
    const jem_exec_config defaults = {
        .struct_size = sizeof defaults,
        .threads = host_threads < THREADS_MAX ? host_threads : THREADS_MAX,
        .backend = jemi_backend_default()->id,
        .precision_scoring = JEM_PRECISION_F32,
        .precision_chains = JEM_PRECISION_F32,
        .precision_training = JEM_PRECISION_F32,
        .runners_max = 64,
        .kernel = jemi_kernel_name(JEMI_KERNEL_AUTO),
        .tuned_for = JEM_TUNED_THROUGHPUT,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_exec_config");
}
