/*
 * Birth, copy and death of a model, and access to its parameters.
 */
#include "model/model.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

jemi_shape jemi_model_input(const jem_model *model)
{
    return model->graph.nodes[0].shape;
}

int64_t jemi_model_input_size(const jem_model *model)
{
    return jemi_shape_size(jemi_model_input(model));
}

int32_t jemi_model_classes(const jem_model *model)
{
    return (int32_t)jemi_shape_size(model->graph.nodes[model->graph.n_nodes - 1].shape);
}

jemi_fingerprint jemi_model_fingerprint(const jem_model *model)
{
    return (jemi_fingerprint){jemi_model_input(model), jemi_model_classes(model),
                              model->graph.param_count, model->graph.state_count};
}

static jem_status build_parts(jem_model *model, const jem_model_config *config)
{
    const jemi_shape input = {config->channels, config->height, config->width};
    JEMI_TRY(jemi_graph_init(&model->graph, config->arch, input, config->classes));
    model->generations = jemi_calloc(1, sizeof *model->generations);
    model->runners = jemi_calloc(1, sizeof *model->runners);
    jemi_lock *text_lock = jemi_calloc(1, sizeof *text_lock);
    model->class_names = jemi_calloc((size_t)config->classes, sizeof *model->class_names);
    if (text_lock == NULL || !jemi_lock_init(text_lock, JEMI_RANK_TEXT, NULL, NULL)) {
        jemi_free(text_lock);
        return jemi_fail_memory("model");
    }
    model->text_lock = text_lock;
    if (model->generations == NULL || model->runners == NULL || model->class_names == NULL)
        return jemi_fail_memory("model");
    const jemi_backend *backend = jemi_backend_find(model->exec.backend);
    JEMI_TRY(backend->program_create(&model->program, &model->graph));
    JEMI_TRY(jemi_kernel_read(model->exec.kernel, &model->program->choosing.kernel));
    model->program->choosing.latency = model->exec.tuned_for == JEM_TUNED_LATENCY;
    JEMI_TRY(jemi_generations_init(model->generations, model->program));
    return jemi_runner_pool_init(model->runners, model->program, model->generations,
                                 model->exec.threads, model->exec.runners_max);
}

jem_status jemi_model_build(jem_model **out, const jem_model_config *config,
                            const jem_exec_config *exec)
{
    jem_model *model = jemi_calloc(1, sizeof *model);
    if (model == NULL)
        return jemi_fail_memory("model");
    model->exec = *exec;
    model->input_map.low = config->input_low;
    model->input_map.high = config->input_high;
    const jem_status status = build_parts(model, config);
    if (status != JEM_OK) {
        jemi_model_destroy(model);
        return status;
    }
    *out = model;
    return JEM_OK;
}

static void destroy_text(jem_model *model)
{
    if (model->class_names != NULL)
        for (int32_t k = 0; k < jemi_model_classes(model); k++)
            jemi_free(model->class_names[k]);
    jemi_free(model->class_names);
    jemi_strings_fini(&model->metadata);
    jemi_free(model->input_map.mean);
    jemi_free(model->input_map.std);
    if (model->text_lock != NULL)
        jemi_lock_fini(model->text_lock);
    jemi_free(model->text_lock);
}

void jemi_model_destroy(jem_model *model)
{
    if (model == NULL)
        return;
    destroy_text(model);
    if (model->runners != NULL)
        jemi_runner_pool_fini(model->runners);
    jemi_free(model->runners);
    if (model->generations != NULL)
        jemi_generations_fini(model->generations);
    jemi_free(model->generations);
    if (model->program != NULL)
        model->program->backend->program_destroy(model->program);
    jemi_graph_fini(&model->graph);
    jemi_free(model);
}

jem_status jemi_model_create(jem_model **out, const jem_model_config *config,
                             const jem_exec_config *exec)
{
    jem_model *model;
    JEMI_TRY(jemi_model_build(&model, config, exec));
    jemi_generation *first;
    const jem_status status = jemi_generations_begin(model->generations, &first);
    if (status != JEM_OK) {
        jemi_model_destroy(model);
        return status;
    }
    jemi_graph_init_params(&model->graph, config->seed, first->params);
    jemi_generations_commit(model->generations, first);
    *out = model;
    return JEM_OK;
}

static bool copy_floats(float **copy, const float *values, size_t count)
{
    *copy = jemi_alloc(count, sizeof **copy);
    if (*copy != NULL)
        memcpy(*copy, values, count * sizeof **copy);
    return *copy != NULL;
}

// Under the lock of the source alone: nobody knows the new model yet.
static jem_status copy_text(jem_model *model, const jem_model *source)
{
    JEMI_TRY(jemi_strings_copy(&model->metadata, &source->metadata));
    bool complete = true;
    for (int32_t k = 0; k < jemi_model_classes(model) && complete; k++)
        if (source->class_names[k] != NULL) {
            model->class_names[k] = jemi_strdup(source->class_names[k]);
            complete = model->class_names[k] != NULL;
        }
    const jemi_input_map *map = &source->input_map;
    const size_t channels = (size_t)jemi_model_input(source).c;
    if (map->mean != NULL && complete)
        complete = copy_floats(&model->input_map.mean, map->mean, channels) &&
                   copy_floats(&model->input_map.std, map->std, channels);
    return complete ? JEM_OK : jemi_fail_memory("names of a copied model");
}

static jem_status copy_params(jem_model *model, const jem_model *source)
{
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(model->generations, &next));
    jemi_pin pin;
    const jemi_generation *now = jemi_generation_pin(source->generations, &pin);
    memcpy(next->params, now->params, (size_t)jemi_model_size(source) * sizeof *next->params);
    next->temperature = jemi_generation_temperature(source->generations, now);
    next->attachment = jemi_generation_attachment(source->generations, now);
    jemi_generation_unpin(&pin);
    jemi_generations_commit(model->generations, next);
    return JEM_OK;
}

jem_status jemi_model_clone(jem_model **out, const jem_model *source, const jem_exec_config *exec)
{
    const jemi_shape input = jemi_model_input(source);
    const jem_model_config config = {
        .arch = source->graph.arch,
        .channels = (int32_t)input.c,
        .height = (int32_t)input.h,
        .width = (int32_t)input.w,
        .classes = jemi_model_classes(source),
        .input_low = source->input_map.low,
        .input_high = source->input_map.high,
    };
    jem_model *model;
    JEMI_TRY(jemi_model_build(&model, &config, exec));
    jemi_lock_enter(source->text_lock);
    jem_status status = copy_text(model, source);
    jemi_lock_leave(source->text_lock);
    if (status == JEM_OK)
        status = copy_params(model, source);
    if (status != JEM_OK) {
        jemi_model_destroy(model);
        return status;
    }
    *out = model;
    return JEM_OK;
}

void jemi_model_read_params(const jem_model *model, int64_t offset, int64_t count, float *values)
{
    jemi_pin pin;
    const jemi_generation *now = jemi_generation_pin(model->generations, &pin);
    memcpy(values, now->params + offset, (size_t)count * sizeof *values);
    jemi_generation_unpin(&pin);
}

jem_status jemi_model_write_params(jem_model *model, int64_t offset, int64_t count,
                                   const float *values)
{
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(model->generations, &next));
    jemi_model_read_params(model, 0, jemi_graph_size(&model->graph), next->params);
    memcpy(next->params + offset, values, (size_t)count * sizeof *values);
    const jem_status status = jemi_graph_check_values(&model->graph, next->params, JEM_EINVAL);
    jemi_generations_end(model->generations, next, status);
    return status;
}

void jemi_model_set_temperature(jem_model *model, float temperature)
{
    jemi_generations_set_temperature(model->generations, temperature);
}

float jemi_model_temperature(const jem_model *model)
{
    jemi_pin pin;
    const jemi_generation *now = jemi_generation_pin(model->generations, &pin);
    const float temperature = jemi_generation_temperature(model->generations, now);
    jemi_generation_unpin(&pin);
    return temperature;
}

size_t jemi_model_bytes(const jem_model *model)
{
    return sizeof *model + jemi_generations_bytes(model->generations) +
           jemi_runner_pool_bytes(model->runners);
}
