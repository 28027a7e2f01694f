/*
 * The life of a detector, and whether it is ready for what is asked.
 */
#include "detect/detector.h"

#include "base/memory.h"

jem_status jemi_detector_check_kinds(const jem_detector_config *config, int32_t classes,
                                     jem_status failure)
{
    uint64_t known = 0;
    const jemi_score_kind *kind;
    for (int32_t k = 1; (kind = jemi_score_kind_find(k)) != NULL; k++) {
        const uint64_t bit = (uint64_t)1 << k;
        known |= bit;
        if ((config->kinds & bit) != 0 && classes < kind->classes_min)
            return jemi_fail(failure,
                             "kinds has %s; expected kinds that say something of a model with %d "
                             "class",
                             kind->name, (int)classes);
    }
    if (config->kinds == 0 || (config->kinds & ~known) != 0)
        return jemi_fail(failure, "kinds is %#llx; expected bits 1 << JEM_SCORE_*",
                         (unsigned long long)config->kinds);
    if ((config->two_sided & ~config->kinds) != 0)
        return jemi_fail(failure, "two_sided is %#llx; expected some of the bits of kinds",
                         (unsigned long long)config->two_sided);
    return JEM_OK;
}

jem_status jemi_detector_create(jem_detector **out, const jem_model *model,
                                const jem_detector_config *config, const jem_score_config *scores)
{
    jem_detector *detector = jemi_calloc(1, sizeof *detector);
    jemi_learnt *nothing = jemi_calloc(1, sizeof *nothing);
    if (detector == NULL || nothing == NULL) {
        jemi_free(detector);
        jemi_free(nothing);
        return jemi_fail_memory("detector");
    }
    atomic_init(&detector->learnt, nothing);
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

void jemi_learnt_destroy(jemi_learnt *learnt)
{
    if (learnt == NULL)
        return;
    if (learnt->stats != NULL)
        jemi_feature_stats_fini(learnt->stats);
    jemi_free(learnt->stats);
    jemi_calibration_fini(&learnt->calibration);
    jemi_free(learnt);
}

void jemi_detector_destroy(jem_detector *detector)
{
    if (detector == NULL)
        return;
    jemi_learnt_destroy(jemi_detector_learnt(detector));
    jemi_free(detector);
}

void jemi_detector_exchange(jem_detector *detector, jemi_learnt *next)
{
    jemi_learnt *old = atomic_exchange_explicit(&detector->learnt, next, memory_order_acq_rel);
    if (old->stats == next->stats)
        old->stats = NULL;
    jemi_learnt_destroy(old);
}

bool jemi_detector_wants(const jem_detector *detector, int32_t source)
{
    for (int32_t k = 0; k < detector->n_kinds; k++)
        if (detector->kinds[k]->source == source)
            return true;
    return false;
}

jem_status jemi_detector_check_fitted(const jem_detector *detector, int32_t only)
{
    const bool wants = only >= 0 ? detector->kinds[only]->source == JEM_SOURCE_FEATURES
                                 : jemi_detector_wants(detector, JEM_SOURCE_FEATURES);
    if (wants && jemi_detector_learnt(detector)->stats == NULL)
        return jemi_fail(JEM_EINVAL, "the detector has no statistics of features; expected "
                                     "jem_detector_fit() before");
    return JEM_OK;
}

jem_status jemi_detector_check_calibrated(const jem_detector *detector)
{
    if (jemi_detector_learnt(detector)->calibration.n == 0)
        return jemi_fail(JEM_EINVAL, "the detector is not calibrated; expected "
                                     "jem_detector_calibrate() before");
    return JEM_OK;
}

jem_status jemi_detector_check_model(const jem_detector *detector, const jem_model *model,
                                     const jemi_runner *runner)
{
    jemi_learnt *learnt = jemi_detector_learnt(detector);
    if (learnt->n_fitted == 0 && learnt->calibration.n == 0)
        return JEM_OK;
    return jemi_belonging_check(&learnt->model, &learnt->verified, model, runner);
}

static size_t map_bytes(const jemi_linear_map *map)
{
    return (size_t)(map->in * map->out * 2 + map->out) * sizeof(float);
}

static size_t stats_bytes(const jemi_feature_stats *stats)
{
    return sizeof *stats + map_bytes(&stats->basis) + map_bytes(&stats->tied.map) +
           map_bytes(&stats->background.map) + map_bytes(&stats->unit.map) +
           jemi_bank_bytes(&stats->bank) + (size_t)(stats->rank + stats->width) * sizeof(float);
}

size_t jemi_detector_bytes(const jem_detector *detector)
{
    const jemi_learnt *learnt = jemi_detector_learnt(detector);
    const jemi_calibration *c = &learnt->calibration;
    size_t bytes = sizeof *detector + sizeof *learnt + (size_t)c->n * sizeof(float);
    if (learnt->stats != NULL)
        bytes += stats_bytes(learnt->stats);
    for (int32_t k = 0; k < c->n_kinds && c->tails != NULL; k++)
        bytes += (size_t)c->tails[k].n * sizeof(float);
    return bytes;
}
