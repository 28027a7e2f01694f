/*
 * Outlier scores: their kinds, their settings, those that need no detector.
 */
#include "api/score.h"

#include <string.h>

#include "api/check.h"
#include "base/environment.h"
#include "base/text.h"
#include "detect/largest.h"
#include "detect/score.h"

JEM_API jem_status jem_score_get_info(int32_t kind, jem_score_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(info, "info"));
    JEMI_TRY(jemi_config_check_out(info, "jem_score_info"));
    const jemi_score_kind *known = jemi_score_kind_find(kind);
    if (known == NULL)
        return jemi_fail(JEM_ENOTFOUND, "there is no score of kind %d", (int)kind);
    const jem_score_info own = {.name = known->name,
                                .summary = known->summary,
                                .source = known->source,
                                .classes_min = known->classes_min};
    jemi_config_write(info, &own, sizeof own);
    return JEM_OK;
}

static jem_status unknown_name(const char *name)
{
    char names[512] = "";
    const jemi_score_kind *known;
    for (int32_t kind = 1; (known = jemi_score_kind_find(kind)) != NULL; kind++) {
        const size_t used = strlen(names);
        jemi_format(names + used, sizeof names - used, "%s%s", kind > 1 ? ", " : "", known->name);
    }
    return jemi_fail(JEM_ENOTFOUND, "there is no score '%s'; expected one of %s", name, names);
}

JEM_API jem_status jem_score_find(const char *name, int32_t *kind)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(name, "name"));
    JEMI_TRY(jemi_check_pointer(kind, "kind"));
    const jemi_score_kind *known;
    for (int32_t k = 1; (known = jemi_score_kind_find(k)) != NULL; k++)
        if (strcmp(known->name, name) == 0) {
            *kind = k;
            return JEM_OK;
        }
    return unknown_name(name);
}

JEM_API jem_status jem_score_config_init(jem_score_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_score_config defaults = {
        .struct_size = sizeof defaults,
        .temperature = 1.0f,
        .gen_gamma = 0.1f,
        .gen_classes = 100,
        .neighbours = 1,
        .nci_norm_weight = 0.001f,
        .react_percentile = 90.0f,
        .scale_percentile = 85.0f,
        .odin_epsilon = 0.0014f,
        .refine_steps = 10,
        .refine_step_size = 1.0f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_score_config");
}

jem_status jemi_check_score_config(const jem_score_config *config, jem_score_config *own)
{
    JEMI_TRY(jem_score_config_init(own, sizeof *own));
    if (config == NULL)
        return JEM_OK;
    JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_score_config"));
    JEMI_TRY(jemi_check_positive(own->temperature, "temperature"));
    if (!(own->gen_gamma > 0.0f && own->gen_gamma < 1.0f))
        return jemi_fail(JEM_EINVAL, "gen_gamma is %g; expected a number above 0 and below 1",
                         (double)own->gen_gamma);
    JEMI_TRY(jemi_check_range_int(own->gen_classes, 1, JEMI_LARGEST_MAX, "gen_classes"));
    JEMI_TRY(jemi_check_range_int(own->neighbours, 1, JEMI_LARGEST_MAX, "neighbours"));
    JEMI_TRY(jemi_check_range(own->nci_norm_weight, 0.0, 1e30, "nci_norm_weight"));
    JEMI_TRY(jemi_check_range(own->react_percentile, 0.0, 100.0, "react_percentile"));
    JEMI_TRY(jemi_check_range(own->scale_percentile, 0.0, 100.0, "scale_percentile"));
    JEMI_TRY(jemi_check_range(own->odin_epsilon, 0.0, 1e30, "odin_epsilon"));
    JEMI_TRY(jemi_check_range_int(own->refine_steps, 1, 1000, "refine_steps"));
    return jemi_check_positive(own->refine_step_size, "refine_step_size");
}

static jem_status find_kind(int32_t kind, const jemi_score_kind **known)
{
    *known = jemi_score_kind_find(kind);
    if (*known == NULL)
        return jemi_fail(JEM_EINVAL, "score kind is %d; expected a JEM_SCORE_ kind", (int)kind);
    if ((*known)->source == JEM_SOURCE_FEATURES)
        return jemi_fail(JEM_EINVAL,
                         "score kind is %s, which needs statistics of training rows; expected a "
                         "kind of logits or of the input gradient, or jem_detector_score()",
                         (*known)->name);
    return JEM_OK;
}

JEM_API jem_status jem_score(const jem_model *model, int32_t kind, const jem_score_config *config,
                             int64_t n, const float *x, float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_score_kind *known;
    jem_score_config own;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(find_kind(kind, &known));
    JEMI_TRY(jemi_check_score_config(config, &own));
    JEMI_TRY(jemi_check_array(n, scores, "scores"));
    return n > 0 ? jemi_score(model, known, &own, n, x, scores) : JEM_OK;
}

JEM_API jem_status jem_score_logits(int32_t kind, const jem_score_config *config, int64_t n,
                                    int32_t classes, const float *logits, float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_score_kind *known;
    jem_score_config own;
    JEMI_TRY(find_kind(kind, &known));
    if (known->source != JEM_SOURCE_LOGITS)
        return jemi_fail(JEM_EINVAL, "score kind is %s; expected a kind of logits", known->name);
    JEMI_TRY(jemi_check_score_config(config, &own));
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_range_int(classes, 1, 100000, "classes"));
    JEMI_TRY(jemi_check_array(n, logits, "logits"));
    JEMI_TRY(jemi_check_array(n, scores, "scores"));
    for (int64_t i = 0; i < n; i++)
        scores[i] = jemi_score_of_logits(known, &own, classes, logits + i * classes);
    return JEM_OK;
}
