/*
 * Presets: the defaults of each config, changed by the recipe, and written out when all of them
 * have room for it.
 */
#include "train/preset.h"

#include <string.h>

#include "api/check.h"
#include "base/environment.h"

typedef struct configs {
    jem_sampler_config sampler;
    jem_optimizer_config optimizer;
    jem_train_config train;
} configs;

static jem_status init_configs(configs *c)
{
    JEMI_TRY(jem_sampler_config_init(&c->sampler, sizeof c->sampler));
    JEMI_TRY(jem_optimizer_config_init(&c->optimizer, sizeof c->optimizer));
    return jem_train_config_init(&c->train, sizeof c->train);
}

// A config that is not asked for is NULL.
static jem_status check_room(const void *out, const void *own, const void *defaults, size_t known,
                             const char *type)
{
    return out != NULL ? jemi_config_check_room(out, own, defaults, known, type) : JEM_OK;
}

static void write_out(void *out, const void *own, size_t known)
{
    if (out != NULL)
        jemi_config_write(out, own, known);
}

JEM_API jem_status jem_preset(const jem_model *model, int32_t preset, jem_sampler_config *sampler,
                              jem_optimizer_config *optimizer, jem_train_config *train,
                              jem_preset_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_preset_check(preset));
    if (model != NULL)
        JEMI_TRY(jemi_preset_check_model(preset, model));
    configs defaults;
    JEMI_TRY(init_configs(&defaults));
    configs own;
    memcpy(&own, &defaults, sizeof own); // padding too: they will be compared
    jemi_preset_fill(preset, model, &own.sampler, &own.optimizer, &own.train);
    JEMI_TRY(check_room(sampler, &own.sampler, &defaults.sampler, sizeof *sampler,
                        "jem_sampler_config"));
    JEMI_TRY(check_room(optimizer, &own.optimizer, &defaults.optimizer, sizeof *optimizer,
                        "jem_optimizer_config"));
    JEMI_TRY(check_room(train, &own.train, &defaults.train, sizeof *train, "jem_train_config"));
    if (info != NULL)
        JEMI_TRY(jemi_config_check_out(info, "jem_preset_info"));
    write_out(sampler, &own.sampler, sizeof own.sampler);
    write_out(optimizer, &own.optimizer, sizeof own.optimizer);
    write_out(train, &own.train, sizeof own.train);
    write_out(info, jemi_preset_info(preset), sizeof *info);
    return JEM_OK;
}

JEM_API jem_status jem_preset_find(const char *name, int32_t *preset)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(name, "name"));
    JEMI_TRY(jemi_check_pointer(preset, "preset"));
    return jemi_preset_find(name, preset);
}
