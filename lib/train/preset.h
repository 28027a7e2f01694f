/*
 * Training recipes by name. What they are, and where they depart from what was published, is told
 * at JEM_PRESET_SAFE in jem.h.
 */
#ifndef JEMI_TRAIN_PRESET_H
#define JEMI_TRAIN_PRESET_H

#include "model/model.h"

/** JEM_EINVAL unless there is such a preset. */
jem_status jemi_preset_check(int32_t preset);

/** JEM_EMISMATCH unless the network has what the preset needs. */
jem_status jemi_preset_check_model(int32_t preset, const jem_model *model);

/** The preset of that name, or JEM_ENOTFOUND. */
jem_status jemi_preset_find(const char *name, int32_t *preset);

const jem_preset_info *jemi_preset_info(int32_t preset);

/** Changes defaults into what the preset says; the model may be NULL. */
void jemi_preset_fill(int32_t preset, const jem_model *model, jem_sampler_config *sampler,
                      jem_optimizer_config *optimizer, jem_train_config *train);

#endif
