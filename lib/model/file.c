/*
 * A model as a file: parameters as tensors, the rest as metadata under "jem." keys. Keys of ours
 * that a later version adds are skipped here; a file without the needed ones is not a model of
 * libjem.
 */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "kernels/vector.h"
#include "model/lists.h"
#include "model/model.h"

// Format 2 has a detector. Files without one keep format 1, which older versions read.
enum { OWN_KEYS = 10, NUMBER_SIZE = 24 };

static const char own_prefix[] = "jem.";

static bool is_own(const char *key)
{
    return strncmp(key, own_prefix, sizeof own_prefix - 1) == 0;
}

// ---- writing -----------------------------------------------------------------------------------

// The metadata of one save: pairs point into these strings, so that the model's lock need not be
// held while the file is written.
typedef struct save_metadata {
    jemi_string_pair *pairs;
    size_t count;
    char numbers[OWN_KEYS][NUMBER_SIZE];
    int n_numbers;
    char *lists[3];
    int n_lists;
    char *copies; // of the caller's keys and values, one after the other
} save_metadata;

static void add_text(save_metadata *m, const char *key, const char *value)
{
    m->pairs[m->count++] = (jemi_string_pair){key, value};
}

static void add_int(save_metadata *m, const char *key, int64_t value)
{
    char *text = m->numbers[m->n_numbers++];
    jemi_format(text, NUMBER_SIZE, "%lld", (long long)value);
    add_text(m, key, text);
}

static void add_float(save_metadata *m, const char *key, float value)
{
    char *text = m->numbers[m->n_numbers++];
    jemi_format(text, NUMBER_SIZE, "%.9g", (double)value);
    add_text(m, key, text);
}

// Takes over the text; false when there was no memory for it.
static bool add_list(save_metadata *m, const char *key, char *text)
{
    if (text == NULL)
        return false;
    m->lists[m->n_lists++] = text;
    add_text(m, key, text);
    return true;
}

static char *copy_string(char *to, const char *from)
{
    const size_t size = strlen(from) + 1;
    memcpy(to, from, size);
    return to + size;
}

static bool add_metadata(save_metadata *m, const jemi_strings *metadata)
{
    const jemi_string_entry *entry = NULL;
    size_t size = 0;
    while ((entry = jemi_strings_next(metadata, entry)) != NULL)
        size += strlen(entry->key) + strlen(entry->value) + 2;
    m->copies = jemi_alloc(size, 1);
    if (m->copies == NULL)
        return false;
    char *place = m->copies;
    while ((entry = jemi_strings_next(metadata, entry)) != NULL) {
        char *key = place, *value = copy_string(key, entry->key);
        place = copy_string(value, entry->value);
        add_text(m, key, value);
    }
    return true;
}

static bool any_name(const jem_model *model)
{
    for (int32_t k = 0; k < jemi_model_classes(model); k++)
        if (model->class_names[k] != NULL)
            return true;
    return false;
}

// Under the model's lock.
static bool fill_metadata(const jem_model *model, float temperature, const jemi_attached *attached,
                          save_metadata *m)
{
    m->pairs =
        jemi_alloc(model->metadata.count + attached->n_strings + OWN_KEYS + 3, sizeof *m->pairs);
    if (m->pairs == NULL)
        return false;
    const jemi_shape input = jemi_model_input(model);
    add_text(m, "jem.format", attached->n_arrays > 0 ? "2" : "1");
    add_text(m, "jem.arch", model->graph.arch);
    add_int(m, "jem.channels", input.c);
    add_int(m, "jem.height", input.h);
    add_int(m, "jem.width", input.w);
    add_int(m, "jem.classes", jemi_model_classes(model));
    add_float(m, "jem.input_low", model->input_map.low);
    add_float(m, "jem.input_high", model->input_map.high);
    if (temperature != 1.0f)
        add_float(m, "jem.temperature", temperature);
    for (size_t i = 0; i < attached->n_strings; i++)
        add_text(m, attached->strings[i].key, attached->strings[i].value);
    if (!add_metadata(m, &model->metadata))
        return false;
    const jemi_input_map *map = &model->input_map;
    if (map->mean != NULL && (!add_list(m, "jem.mean", jemi_floats_to_json(map->mean, input.c)) ||
                              !add_list(m, "jem.std", jemi_floats_to_json(map->std, input.c))))
        return false;
    return !any_name(model) ||
           add_list(m, "jem.class_names",
                    jemi_names_to_json(model->class_names, jemi_model_classes(model)));
}

static jem_status write_file(const jem_model *model, const float *params,
                             const jemi_attached *attached, const char *path,
                             jemi_safetensor *tensors, save_metadata *m)
{
    const int32_t n_tensors = jemi_graph_n_tensors(&model->graph);
    for (int32_t i = 0; i < n_tensors; i++) {
        const jemi_param *param = jemi_graph_tensor(&model->graph, i);
        tensors[i] = (jemi_safetensor){
            .name = param->name,
            .dtype = JEMI_F32,
            .rank = param->rank,
            .data = params + param->offset,
        };
        memcpy(tensors[i].shape, param->shape, sizeof param->shape);
    }
    if (attached->n_arrays > 0)
        memcpy(tensors + n_tensors, attached->arrays, attached->n_arrays * sizeof *tensors);
    return jemi_safetensors_write(path, tensors, (size_t)n_tensors + attached->n_arrays, m->pairs,
                                  m->count);
}

jem_status jemi_model_save(const jem_model *model, const char *path)
{
    save_metadata m = {0};
    jemi_pin pin;
    const jemi_generation *now = jemi_generation_pin(model->generations, &pin);
    const float temperature = jemi_generation_temperature(model->generations, now);
    jemi_attachment *attachment = jemi_generation_attachment(model->generations, now);
    const jemi_attached nothing = {0};
    const jemi_attached *attached =
        attachment != NULL ? jemi_attachment_parts(attachment) : &nothing;
    const size_t n_tensors = (size_t)jemi_graph_n_tensors(&model->graph) + attached->n_arrays;
    jemi_safetensor *tensors = jemi_alloc(n_tensors, sizeof *tensors);
    jemi_lock_enter(model->text_lock);
    const bool complete = tensors != NULL && fill_metadata(model, temperature, attached, &m);
    jemi_lock_leave(model->text_lock);
    const jem_status status = complete ? write_file(model, now->params, attached, path, tensors, &m)
                                       : jemi_fail_memory("metadata of a model file");
    jemi_generation_unpin(&pin);
    jemi_attachment_release(attachment);
    for (int i = 0; i < m.n_lists; i++)
        jemi_free(m.lists[i]);
    jemi_free(m.copies);
    jemi_free(m.pairs);
    jemi_free(tensors);
    return status;
}

// ---- reading -----------------------------------------------------------------------------------

static const char remedy[] = "; jem_model_load_matching takes its weights all the same";

static jem_status find_text(const jemi_safetensors *file, const char *key, const char **value)
{
    *value = jemi_safetensors_metadata(file, key);
    if (*value == NULL)
        return jemi_fail(JEM_EFORMAT,
                         "the file has no metadata '%s', so it is not a model saved by libjem; "
                         "jem_model_load_matching takes weights of other programs",
                         key);
    return JEM_OK;
}

static jem_status find_int(const jemi_safetensors *file, const char *key, int32_t most,
                           int32_t *value)
{
    const char *text;
    JEMI_TRY(find_text(file, key, &text));
    int64_t parsed;
    if (!jemi_parse_int(text, 1, most, &parsed))
        return jemi_fail(JEM_EFORMAT, "metadata '%s' is '%.40s'; expected 1..%d", key, text, most);
    *value = (int32_t)parsed;
    return JEM_OK;
}

static jem_status find_float(const jemi_safetensors *file, const char *key, float *value)
{
    const char *text;
    JEMI_TRY(find_text(file, key, &text));
    if (!jemi_parse_float(text, value))
        return jemi_fail(JEM_EFORMAT, "metadata '%s' is '%.40s'; expected a number", key, text);
    return JEM_OK;
}

static jem_status read_config(const jemi_safetensors *file, jem_model_config *config)
{
    const char *format;
    if (jemi_safetensors_metadata(file, "jem.checkpoint") != NULL)
        return jemi_fail(JEM_EFORMAT, "the file is a checkpoint of a training run, not a model; "
                                      "jem_checkpoint_load takes it");
    JEMI_TRY(find_text(file, "jem.format", &format));
    if (strcmp(format, "1") != 0 && strcmp(format, "2") != 0)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "the file has format '%.40s'; this version reads '1' and '2'", format);
    JEMI_TRY(find_text(file, "jem.arch", &config->arch));
    JEMI_TRY(find_int(file, "jem.channels", 4096, &config->channels));
    JEMI_TRY(find_int(file, "jem.height", 1024, &config->height));
    JEMI_TRY(find_int(file, "jem.width", 1024, &config->width));
    JEMI_TRY(find_int(file, "jem.classes", 100000, &config->classes));
    JEMI_TRY(find_float(file, "jem.input_low", &config->input_low));
    JEMI_TRY(find_float(file, "jem.input_high", &config->input_high));
    if (!(config->input_low < config->input_high))
        return jemi_fail(JEM_EFORMAT, "the file's input range is %g to %g; expected low < high",
                         (double)config->input_low, (double)config->input_high);
    return JEM_OK;
}

static bool same_shape(const jemi_param *param, const jemi_safetensor *tensor)
{
    if (tensor->rank != param->rank)
        return false;
    for (int32_t d = 0; d < param->rank; d++)
        if (tensor->shape[d] != param->shape[d])
            return false;
    return true;
}

static jem_status read_tensor(const jemi_param *param, const jemi_safetensor *tensor, float *params)
{
    float *values = params + param->offset;
    JEMI_TRY(jemi_safetensors_to_float(tensor, values));
    int64_t index;
    if (!jemi_all_finite(values, param->count, &index))
        return jemi_fail(JEM_EFORMAT,
                         "tensor '%s' holds %g at element %lld; expected finite values",
                         param->name, (double)values[index], (long long)index);
    return JEM_OK;
}

// Before anything large is allocated: then the file is at least as long as what it asks for.
static jem_status check_tensors(const jemi_graph *graph, const jemi_safetensors *file)
{
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++) {
        const jemi_param *param = jemi_graph_tensor(graph, i);
        const jemi_safetensor *tensor = jemi_safetensors_find(file, param->name);
        if (tensor == NULL)
            return jemi_fail(JEM_EMISMATCH, "the file has no tensor '%s', which %s needs",
                             param->name, graph->arch);
        if (!same_shape(param, tensor))
            return jemi_fail(JEM_EMISMATCH,
                             "tensor '%s' of the file has not the shape that %s needs", param->name,
                             graph->arch);
    }
    size_t others = 0;
    for (size_t i = 0; i < file->n_tensors; i++)
        others += jemi_attached_owns(file->tensors[i].name);
    if (file->n_tensors - others != (size_t)jemi_graph_n_tensors(graph))
        return jemi_fail(JEM_EMISMATCH, "the file has %zu tensors; %s needs %d",
                         file->n_tensors - others, graph->arch, (int)jemi_graph_n_tensors(graph));
    return JEM_OK;
}

static jem_status read_all_tensors(const jemi_graph *graph, const jemi_safetensors *file,
                                   float *params)
{
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++) {
        const jemi_param *param = jemi_graph_tensor(graph, i);
        JEMI_TRY(read_tensor(param, jemi_safetensors_find(file, param->name), params));
    }
    return jemi_graph_check_values(graph, params, JEM_EFORMAT);
}

static jem_status take_class_name(void *model, int32_t index, const char *name)
{
    return jemi_model_set_class_name(model, index, name);
}

static jem_status read_class_names(const jemi_safetensors *file, jem_model *model)
{
    const char *text = jemi_safetensors_metadata(file, "jem.class_names");
    if (text == NULL)
        return JEM_OK;
    return jemi_names_from_json(text, "metadata 'jem.class_names'", jemi_model_classes(model),
                                take_class_name, model);
}

static jem_status read_standardization(const jemi_safetensors *file, jem_model *model)
{
    const char *mean, *std;
    if (jemi_safetensors_metadata(file, "jem.mean") == NULL)
        return JEM_OK;
    JEMI_TRY(find_text(file, "jem.mean", &mean));
    JEMI_TRY(find_text(file, "jem.std", &std));
    const int64_t n = jemi_model_input(model).c;
    float *values = jemi_alloc(2 * (size_t)n, sizeof *values);
    if (values == NULL)
        return jemi_fail_memory("standardization");
    jem_status status = jemi_floats_from_json(mean, "metadata 'jem.mean'", n, -INFINITY, values);
    if (status == JEM_OK)
        status = jemi_floats_from_json(std, "metadata 'jem.std'", n, 0.0f, values + n);
    if (status == JEM_OK)
        status = jemi_model_set_standardization(model, values, values + n);
    jemi_free(values);
    return status;
}

static jem_status read_temperature(const jemi_safetensors *file, jem_model *model)
{
    float temperature;
    if (jemi_safetensors_metadata(file, "jem.temperature") == NULL)
        return JEM_OK;
    JEMI_TRY(find_float(file, "jem.temperature", &temperature));
    if (!jemi_model_takes_temperature(temperature))
        return jemi_fail(JEM_EFORMAT, "metadata 'jem.temperature' is %g; expected %g..%g",
                         (double)temperature, JEMI_TEMPERATURE_MIN, JEMI_TEMPERATURE_MAX);
    jemi_model_set_temperature(model, temperature);
    return JEM_OK;
}

static jem_status read_text(const jemi_safetensors *file, jem_model *model)
{
    for (size_t i = 0; i < file->n_metadata; i++) {
        const jemi_string_pair *pair = &file->metadata[i];
        if (!is_own(pair->key))
            JEMI_TRY(jemi_model_set_metadata(model, pair->key, pair->value));
    }
    JEMI_TRY(read_class_names(file, model));
    JEMI_TRY(read_temperature(file, model));
    return read_standardization(file, model);
}

static jem_status read_params(const jemi_safetensors *file, jem_model *model)
{
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(model->generations, &next));
    jem_status status = read_all_tensors(&model->graph, file, next->params);
    if (status == JEM_OK)
        status = jemi_attachment_read(&next->attachment, file);
    jemi_generations_end(model->generations, next, status);
    return status;
}

// A model as the header describes it, without parameters, into which the file's tensors fit.
static jem_status build_described(jem_model **out, const jemi_safetensors *file,
                                  const jem_exec_config *exec)
{
    jem_model_config config = {0};
    JEMI_TRY(read_config(file, &config));
    jem_status status = jemi_model_build(out, &config, exec);
    if (status == JEM_EINVAL) // of a caller's config; here it is the file that is wrong
        return JEM_EFORMAT;
    JEMI_TRY(status);
    status = check_tensors(&(*out)->graph, file);
    if (status != JEM_OK)
        jemi_model_destroy(*out);
    return status;
}

jem_status jemi_model_load(jem_model **out, jemi_safetensors *file, const jem_exec_config *exec)
{
    jem_model *model;
    const jem_status fits = build_described(&model, file, exec);
    jem_status status = jemi_safetensors_load(file, fits, remedy);
    if (fits != JEM_OK)
        return status;
    if (status == JEM_OK)
        status = read_params(file, model);
    if (status == JEM_OK)
        status = read_text(file, model);
    if (status != JEM_OK) {
        jemi_model_destroy(model);
        return status;
    }
    *out = model;
    return JEM_OK;
}

// ---- only what matches -------------------------------------------------------------------------

// What is to be taken of a file: for each of its tensors the model's of that name and shape.
typedef struct matching {
    const jemi_param **params; /* NULL where there is none */
    int32_t count;
    size_t bytes_max; /* of a tensor among them */
} matching;

static jem_status find_matching(const jemi_graph *graph, const jemi_safetensors *file, matching *m)
{
    m->params = jemi_calloc(file->n_tensors, sizeof *m->params);
    if (m->params == NULL)
        return jemi_fail_memory("list of tensors");
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++) {
        const jemi_param *param = jemi_graph_tensor(graph, i);
        const jemi_safetensor *tensor = jemi_safetensors_find(file, param->name);
        if (tensor == NULL || !same_shape(param, tensor))
            continue;
        if (!jemi_dtype_is_float(tensor->dtype)) {
            jemi_log(JEM_LOG_WARNING, "tensor '%s' holds %s and is left out", param->name,
                     jemi_dtype_name(tensor->dtype));
            continue;
        }
        m->params[tensor - file->tensors] = param;
        m->bytes_max = tensor->bytes > m->bytes_max ? tensor->bytes : m->bytes_max;
        m->count++;
    }
    if (m->count == 0)
        return jemi_fail(
            JEM_EMISMATCH,
            "no tensor of floating-point numbers in the file has a name and shape of %s; "
            "its first is '%s'",
            graph->arch, graph->params[0].name);
    return JEM_OK;
}

// Only one tensor of the file is in memory at a time.
static jem_status read_matching(const jemi_graph *graph, jemi_safetensors *file, const matching *m,
                                float *params)
{
    void *bytes = jemi_alloc(m->bytes_max, 1);
    if (bytes == NULL)
        return jemi_fail_memory("tensor of a file");
    jem_status status = JEM_OK;
    for (size_t i = 0; i < file->n_tensors && status == JEM_OK; i++) {
        if (m->params[i] == NULL)
            continue;
        jemi_safetensor tensor = file->tensors[i];
        status = jemi_safetensors_pull(file, &tensor, bytes);
        tensor.data = bytes;
        if (status == JEM_OK)
            status = read_tensor(m->params[i], &tensor, params);
    }
    jemi_free(bytes);
    return status == JEM_OK ? jemi_graph_check_values(graph, params, JEM_EFORMAT) : status;
}

static jem_status take_matching(jem_model *model, jemi_safetensors *file, const matching *m)
{
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(model->generations, &next));
    jemi_model_read_params(model, 0, jemi_graph_size(&model->graph), next->params);
    const jem_status status = read_matching(&model->graph, file, m, next->params);
    jemi_generations_end(model->generations, next, status);
    return status;
}

jem_status jemi_model_load_matching(jem_model *model, jemi_safetensors *file, int32_t *matched)
{
    matching m = {0};
    jem_status status = find_matching(&model->graph, file, &m);
    if (status == JEM_OK)
        status = take_matching(model, file, &m);
    jemi_free(m.params);
    *matched = m.count;
    return status;
}
