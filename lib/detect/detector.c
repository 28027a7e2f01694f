/*
 * The life of a detector, and whether a model is the one that it belongs to.
 */
#include "detect/detector.h"

#include "base/memory.h"
#include "io/digest.h"

jem_status jemi_detector_create(jem_detector **out, const jem_model *model,
                                const jem_detector_config *config, const jem_score_config *scores)
{
    jem_detector *detector = jemi_calloc(1, sizeof *detector);
    if (detector == NULL)
        return jemi_fail_memory("detector");
    detector->config = *config;
    detector->scores = *scores;
    detector->fingerprint = jemi_model_fingerprint(model);
    const jemi_score_kind *kind;
    for (int32_t k = 1; (kind = jemi_score_kind_find(k)) != NULL; k++)
        if ((config->kinds >> k & 1) != 0)
            detector->kinds[detector->n_kinds++] = kind;
    *out = detector;
    return JEM_OK;
}

void jemi_detector_destroy(jem_detector *detector)
{
    if (detector == NULL)
        return;
    jemi_feature_stats_fini(&detector->stats);
    jemi_calibration_fini(&detector->calibration);
    jemi_free(detector);
}

bool jemi_detector_wants(const jem_detector *detector, int32_t source)
{
    for (int32_t k = 0; k < detector->n_kinds; k++)
        if (detector->kinds[k]->source == source)
            return true;
    return false;
}

jem_status jemi_detector_check_fitted(const jem_detector *detector)
{
    if (detector->n_fitted == 0 && jemi_detector_wants(detector, JEM_SOURCE_FEATURES))
        return jemi_fail(JEM_EINVAL, "the detector has no statistics of features; expected "
                                     "jem_detector_fit() before");
    return JEM_OK;
}

jem_status jemi_detector_check_calibrated(const jem_detector *detector)
{
    if (detector->calibration.n == 0)
        return jemi_fail(JEM_EINVAL, "the detector is not calibrated; expected "
                                     "jem_detector_calibrate() before");
    return JEM_OK;
}

uint64_t jemi_detector_digest(const jem_model *model, const jemi_runner *runner)
{
    return jemi_digest(0, jemi_runner_generation(runner)->params,
                       (size_t)jemi_model_size(model) * sizeof(float));
}

// The digest of many parameters takes a while, so the last generation that had it is remembered.
jem_status jemi_detector_check_model(const jem_detector *detector, const jem_model *model,
                                     const jemi_runner *runner)
{
    _Atomic uint64_t *verified = &((jem_detector *)detector)->verified;
    const uint64_t version = jemi_runner_generation(runner)->version;
    if (model->exec.precision_scoring != detector->precision)
        return jemi_fail(JEM_EMISMATCH,
                         "the detector was made at precision_scoring %d, the model "
                         "has %d; expected the same",
                         (int)detector->precision, (int)model->exec.precision_scoring);
    if (atomic_load_explicit(verified, memory_order_relaxed) == version)
        return JEM_OK;
    if (jemi_detector_digest(model, runner) != detector->digest)
        return jemi_fail(JEM_EMISMATCH, "the model has other parameters than those the detector "
                                        "was made for; expected jem_detector_fit() and "
                                        "jem_detector_calibrate() again");
    atomic_store_explicit(verified, version, memory_order_relaxed);
    return JEM_OK;
}

static size_t map_bytes(const jemi_linear_map *map)
{
    return (size_t)(map->in * map->out * 2 + map->out) * sizeof(float);
}

size_t jemi_detector_bytes(const jem_detector *detector)
{
    const jemi_feature_stats *s = &detector->stats;
    const jemi_calibration *c = &detector->calibration;
    size_t bytes = sizeof *detector + map_bytes(&s->basis) + map_bytes(&s->tied.map) +
                   map_bytes(&s->background.map) + map_bytes(&s->unit.map) + map_bytes(&s->bank) +
                   (size_t)(s->rank + s->width + c->n) * sizeof(float);
    for (int32_t k = 0; k < c->n_kinds && c->tails != NULL; k++)
        bytes += (size_t)c->tails[k].n * sizeof(float);
    return bytes;
}
