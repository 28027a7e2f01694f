/*
 * The digest covers the architecture too: networks of another shape or activation may have as many
 * parameters.
 */
#include "detect/belonging.h"

#include <string.h>

#include "io/digest.h"

static uint64_t network_of(const jem_model *model, const jemi_runner *runner)
{
    const char *arch = model->graph.arch;
    return jemi_digest(jemi_digest(0, arch, strlen(arch) + 1),
                       jemi_runner_generation(runner)->params,
                       (size_t)jemi_model_size(model) * sizeof(float));
}

static uint64_t input_of(const jem_model *model)
{
    jemi_lock_enter(model->text_lock);
    const jemi_input_map *map = &model->input_map;
    const float range[2] = {map->low, map->high};
    const size_t channels = (size_t)jemi_model_input(model).c;
    uint64_t digest = jemi_digest(0, range, sizeof range);
    if (map->mean != NULL) {
        digest = jemi_digest(digest, map->mean, channels * sizeof *map->mean);
        digest = jemi_digest(digest, map->std, channels * sizeof *map->std);
    }
    jemi_lock_leave(model->text_lock);
    return digest;
}

jemi_belonging jemi_belonging_of(const jem_model *model, const jemi_runner *runner)
{
    return (jemi_belonging){network_of(model, runner), input_of(model),
                            model->exec.precision_scoring, model->exec.backend};
}

static const char *name_of(int32_t id)
{
    const jemi_backend *backend = jemi_backend_find(id);
    return backend != NULL ? backend->name : "other"; // that this build does not have
}

static jem_status check_settings(const jemi_belonging *belonging, const jem_model *model)
{
    const jem_exec_config *exec = &model->exec;
    if (exec->precision_scoring != belonging->precision)
        return jemi_fail(JEM_EMISMATCH,
                         "the detector was made at precision_scoring %d, the model has %d; "
                         "expected the same",
                         (int)belonging->precision, (int)exec->precision_scoring);
    if (exec->backend != belonging->backend)
        return jemi_fail(JEM_EMISMATCH,
                         "the detector was made on the %s backend, the model uses %s, which rounds "
                         "otherwise; expected the same",
                         name_of(belonging->backend), name_of(exec->backend));
    if (input_of(model) != belonging->input)
        return jemi_fail(JEM_EMISMATCH, "the model's input range or standardisation is not that "
                                        "which the detector was made for");
    return JEM_OK;
}

jem_status jemi_belonging_check(const jemi_belonging *belonging, _Atomic uint64_t *verified,
                                const jem_model *model, const jemi_runner *runner)
{
    const uint64_t version = jemi_runner_generation(runner)->version;
    JEMI_TRY(check_settings(belonging, model));
    if (atomic_load_explicit(verified, memory_order_relaxed) == version)
        return JEM_OK;
    if (network_of(model, runner) != belonging->network)
        return jemi_fail(JEM_EMISMATCH, "the model has another architecture or other parameters "
                                        "than the detector was made for; expected "
                                        "jem_detector_fit() and jem_detector_calibrate() again");
    atomic_store_explicit(verified, version, memory_order_relaxed);
    return JEM_OK;
}
