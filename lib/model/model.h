/*
 * The model handle: a network, its parameter generations, the runners that compute with them, and
 * the strings and input range that travel with the file.
 */
#ifndef JEMI_MODEL_MODEL_H
#define JEMI_MODEL_MODEL_H

#include <stdbool.h>

#include "base/lock.h"
#include "io/safetensors.h"
#include "model/generation.h"
#include "model/runner.h"
#include "model/strings.h"

/** How 8-bit values become inputs: by range, or standardised per channel. */
typedef struct jemi_input_map {
    float low, high; /* the range; kept, but not used, when standardised */
    float *mean;     /* (C), NULL when a range is used */
    float *std;
} jemi_input_map;

struct jem_model {
    jemi_graph graph;
    jem_exec_config exec;
    jemi_program *program;
    jemi_generations *generations; /* behind pointers: a const model may still lend them */
    jemi_runner_pool *runners;
    jemi_lock *text_lock; /* guards the fields below */
    jemi_input_map input_map;
    jemi_strings metadata;
    char **class_names; /* (classes), NULL where unnamed */
};

/** Everything but parameters: network, runners, empty metadata. Configs are already checked. */
jem_status jemi_model_build(jem_model **out, const jem_model_config *config,
                            const jem_exec_config *exec);

/** Accepts NULL and half-built models. */
void jemi_model_destroy(jem_model *model);

jem_status jemi_model_create(jem_model **out, const jem_model_config *config,
                             const jem_exec_config *exec);
jem_status jemi_model_clone(jem_model **out, const jem_model *model, const jem_exec_config *exec);

/** Copies `count` floats to `offset` of the flat vector, as a write of its own. JEM_EINVAL for
 *  values that no network can have. */
jem_status jemi_model_write_params(jem_model *model, int64_t offset, int64_t count,
                                   const float *values);
/** Copies `count` floats from `offset` out of the current parameters. */
void jemi_model_read_params(const jem_model *model, int64_t offset, int64_t count, float *values);

/** Of probabilities. NaN is not taken. */
#define JEMI_TEMPERATURE_MIN 0.01
#define JEMI_TEMPERATURE_MAX 100.0

static inline bool jemi_model_takes_temperature(float temperature)
{
    return temperature >= (float)JEMI_TEMPERATURE_MIN && temperature <= (float)JEMI_TEMPERATURE_MAX;
}

void jemi_model_set_temperature(jem_model *model, float temperature);
float jemi_model_temperature(const jem_model *model);

/** Floats of a generation: all that training changes of a model. */
static inline int64_t jemi_model_size(const jem_model *model)
{
    return jemi_graph_size(&model->graph);
}

jemi_shape jemi_model_input(const jem_model *model);
int64_t jemi_model_input_size(const jem_model *model);
int32_t jemi_model_classes(const jem_model *model);
size_t jemi_model_bytes(const jem_model *model);

/** What optimizers and samplers keep of the model they were made for. */
typedef struct jemi_fingerprint {
    jemi_shape input;
    int32_t classes;
    int64_t param_count, state_count;
} jemi_fingerprint;

jemi_fingerprint jemi_model_fingerprint(const jem_model *model);

/* Text: names, metadata, the input map. Thread-safe. (text.c, input.c) */

jem_status jemi_model_set_class_name(jem_model *model, int32_t label, const char *name);
/** Copies as snprintf does; `length` is what was needed. Unnamed: the number. */
void jemi_model_copy_class_name(const jem_model *model, int32_t label, char *buffer, size_t size,
                                size_t *length);
jem_status jemi_model_set_metadata(jem_model *model, const char *key, const char *value);
/** False when there is no such key. */
bool jemi_model_copy_metadata(const jem_model *model, const char *key, char *buffer, size_t size,
                              size_t *length);
/** Of the key that was set after that one, or first for NULL; false where there is none. */
bool jemi_model_copy_metadata_key(const jem_model *model, const char *after, char *buffer,
                                  size_t size, size_t *length);
jem_status jemi_model_set_standardization(jem_model *model, const float *mean, const float *std);
/** What 8-bit 0 and 255 become in each channel; (C) each. */
void jemi_model_channel_ranges(const jem_model *model, float *low, float *high);
/** When standardised, of the channels that go farthest. */
void jemi_model_input_range(const jem_model *model, float *low, float *high);
/** Counts the rows outside of it; `outside` (n) may be NULL. Extremes of these rows, or 0 and 0. */
int64_t jemi_model_input_outside(const jem_model *model, int64_t n, const float *x,
                                 uint8_t *outside, float *low, float *high);
jem_status jemi_model_input_from_u8(const jem_model *model, int64_t n, const uint8_t *images,
                                    int32_t layout, float *x);
jem_status jemi_model_input_to_u8(const jem_model *model, int64_t n, const float *x, int32_t layout,
                                  uint8_t *images);
jem_status jemi_model_input_from_float(const jem_model *model, int64_t n, const float *values,
                                       float *x);
jem_status jemi_model_input_to_float(const jem_model *model, int64_t n, const float *x,
                                     float *values);

/* Files. (file.c) */

jem_status jemi_model_save(const jem_model *model, const char *path);
/** The model that a file, opened or in memory, describes. */
jem_status jemi_model_load(jem_model **out, jemi_safetensors *file, const jem_exec_config *exec);
/** Only the floating-point tensors whose name and shape agree; JEM_EMISMATCH when there are none.
 *  Nothing else of the file is looked at. */
jem_status jemi_model_load_matching(jem_model *model, jemi_safetensors *file, int32_t *matched);

#endif
