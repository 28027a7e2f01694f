/*
 * The model: creation, files, parameters, metadata, input conversion.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "base/environment.h"
#include "model/pass.h"

JEM_API jem_status jem_model_config_init(jem_model_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_model_config defaults = {
        .struct_size = sizeof defaults,
        .height = 1,
        .width = 1,
        .input_low = -1.0f,
        .input_high = 1.0f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_model_config");
}

static jem_status read_config(const jem_model_config *config, jem_model_config *own)
{
    JEMI_TRY(jemi_check_pointer(config, "config"));
    JEMI_TRY(jem_model_config_init(own, sizeof *own));
    JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_model_config"));
    JEMI_TRY(jemi_check_pointer(own->arch, "arch"));
    JEMI_TRY(jemi_check_range_int(own->channels, 1, 4096, "channels"));
    JEMI_TRY(jemi_check_range_int(own->height, 1, 1024, "height"));
    JEMI_TRY(jemi_check_range_int(own->width, 1, 1024, "width"));
    JEMI_TRY(jemi_check_range_int(own->classes, 1, 100000, "classes"));
    if (!(isfinite(own->input_low) && isfinite(own->input_high) &&
          own->input_low < own->input_high))
        return jemi_fail(JEM_EINVAL, "the input range is %g to %g; expected input_low < input_high",
                         (double)own->input_low, (double)own->input_high);
    return JEM_OK;
}

// Every creating function sets *out to NULL first.
static jem_status begin_out(jem_model **out)
{
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    return JEM_OK;
}

JEM_API jem_status jem_model_create(jem_model **out, const jem_model_config *config,
                                    const jem_exec_config *exec)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(begin_out(out));
    jem_model_config own_config;
    jem_exec_config own_exec;
    JEMI_TRY(read_config(config, &own_config));
    JEMI_TRY(jemi_check_exec(exec, &own_exec));
    return jemi_model_create(out, &own_config, &own_exec);
}

JEM_API jem_status jem_model_clone(jem_model **out, const jem_model *model,
                                   const jem_exec_config *exec)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(begin_out(out));
    JEMI_TRY(jemi_check_pointer(model, "model"));
    jem_exec_config own_exec;
    JEMI_TRY(jemi_check_exec(exec, &own_exec));
    return jemi_model_clone(out, model, &own_exec);
}

JEM_API jem_status jem_model_load(jem_model **out, const char *path, const jem_exec_config *exec)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(begin_out(out));
    JEMI_TRY(jemi_check_pointer(path, "path"));
    jem_exec_config own_exec;
    JEMI_TRY(jemi_check_exec(exec, &own_exec));
    jemi_safetensors file;
    jem_status status = jemi_safetensors_open(path, &file);
    if (status == JEM_OK)
        status = jemi_model_load(out, &file, &own_exec);
    jemi_safetensors_fini(&file);
    return jemi_fail_in_file(status, path);
}

JEM_API jem_status jem_model_load_buffer(jem_model **out, const void *data, size_t size,
                                         const jem_exec_config *exec)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(begin_out(out));
    JEMI_TRY(jemi_check_pointer(data, "data"));
    jem_exec_config own_exec;
    JEMI_TRY(jemi_check_exec(exec, &own_exec));
    jemi_safetensors file;
    JEMI_TRY(jemi_safetensors_parse(data, size, &file));
    const jem_status status = jemi_model_load(out, &file, &own_exec);
    jemi_safetensors_fini(&file);
    return status;
}

JEM_API jem_status jem_model_save(const jem_model *model, const char *path)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(path, "path"));
    return jemi_model_save(model, path);
}

JEM_API void jem_model_destroy(jem_model *model)
{
    jemi_model_destroy(model);
}

static jem_status prepare(const jem_model *model, jemi_runner *runner, int32_t what, int64_t n)
{
    const jemi_pass passes[] = {
        jemi_pass_scoring(model, runner, 0),
        jemi_pass_scoring(model, runner, JEMI_WANT_DINPUT),
        jemi_pass_chain(model, runner),
        jemi_pass_training(model, jemi_runner_generation(runner), NULL),
    };
    const int32_t parts[] = {JEM_PREPARE_LOGITS, JEM_PREPARE_GRAD, JEM_PREPARE_GRAD,
                             JEM_PREPARE_TRAIN};
    for (int i = 0; i < 4; i++)
        if ((what & parts[i]) != 0)
            JEMI_TRY(jemi_pass_warm(&passes[i], runner, n));
    return JEM_OK;
}

JEM_API jem_status jem_model_prepare(const jem_model *model, int32_t what, int64_t n)
{
    JEMI_OWN_ENVIRONMENT;
    const int32_t all = JEM_PREPARE_LOGITS | JEM_PREPARE_GRAD | JEM_PREPARE_TRAIN;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    if ((what & ~all) != 0 || what == 0)
        return jemi_fail(JEM_EINVAL, "what is %d; expected JEM_PREPARE_* or-ed together",
                         (int)what);
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    const jem_status status = prepare(model, runner, what, n);
    jemi_runner_return(runner);
    return status;
}

JEM_API jem_status jem_model_get_info(const jem_model *model, jem_model_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(info, "info"));
    JEMI_TRY(jemi_config_check_out(info, "jem_model_info"));
    const jemi_shape input = jemi_model_input(model);
    float low, high;
    jemi_model_input_range(model, &low, &high);
    const jem_model_info own = {
        .channels = (int32_t)input.c,
        .height = (int32_t)input.h,
        .width = (int32_t)input.w,
        .classes = jemi_model_classes(model),
        .input_size = jemi_shape_size(input),
        .param_count = jemi_graph_size(&model->graph),
        .tensor_count = jemi_graph_n_tensors(&model->graph),
        .threads = model->exec.threads,
        .backend = model->exec.backend,
        .input_low = low,
        .input_high = high,
        .temperature = jemi_model_temperature(model),
        .macs = model->graph.macs,
        .state_count = model->graph.state_count,
        .feature_count = jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES),
    };
    jemi_config_write(info, &own, sizeof own);
    return JEM_OK;
}

JEM_API const char *jem_model_arch(const jem_model *model)
{
    return jemi_check_pointer(model, "model") == JEM_OK ? model->graph.arch : NULL;
}

JEM_API size_t jem_model_bytes(const jem_model *model)
{
    return jemi_check_pointer(model, "model") == JEM_OK ? jemi_model_bytes(model) : 0;
}

// ---- parameters --------------------------------------------------------------------------------

JEM_API jem_status jem_model_tensor(const jem_model *model, int32_t index, jem_tensor_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_range_int(index, 0, jemi_graph_n_tensors(&model->graph) - 1, "index"));
    JEMI_TRY(jemi_check_pointer(info, "info"));
    JEMI_TRY(jemi_config_check_out(info, "jem_tensor_info"));
    const jemi_param *param = jemi_graph_tensor(&model->graph, index);
    jem_tensor_info own = {
        .name = param->name, .rank = param->rank, .offset = param->offset, .count = param->count};
    memcpy(own.shape, param->shape, sizeof own.shape);
    jemi_config_write(info, &own, sizeof own);
    return JEM_OK;
}

static jem_status check_count(int64_t count, int64_t expected, const char *of)
{
    if (count != expected)
        return jemi_fail(JEM_EINVAL, "count is %lld; %s has %lld floats", (long long)count, of,
                         (long long)expected);
    return JEM_OK;
}

// A tensor's place, checked against the caller's array.
static jem_status find_tensor(const jem_model *model, const char *name, int64_t count,
                              const float *values, const jemi_param **param)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(name, "name"));
    *param = jemi_graph_find_tensor(&model->graph, name);
    if (*param == NULL)
        return jemi_fail(JEM_ENOTFOUND, "%s has no tensor '%.80s'; its first is '%s'",
                         model->graph.arch, name, model->graph.params[0].name);
    JEMI_TRY(check_count(count, (*param)->count, name));
    return jemi_check_pointer(values, "values");
}

JEM_API jem_status jem_model_get_params(const jem_model *model, int64_t count, float *params)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(check_count(count, jemi_graph_size(&model->graph), "the parameter vector"));
    JEMI_TRY(jemi_check_pointer(params, "params"));
    jemi_model_read_params(model, 0, count, params);
    return JEM_OK;
}

JEM_API jem_status jem_model_set_params(jem_model *model, int64_t count, const float *params)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(check_count(count, jemi_graph_size(&model->graph), "the parameter vector"));
    JEMI_TRY(jemi_check_finite(params, 1, count, "params"));
    return jemi_model_write_params(model, 0, count, params);
}

JEM_API jem_status jem_model_get_tensor(const jem_model *model, const char *name, int64_t count,
                                        float *values)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_param *param = NULL;
    JEMI_TRY(find_tensor(model, name, count, values, &param));
    jemi_model_read_params(model, param->offset, count, values);
    return JEM_OK;
}

JEM_API jem_status jem_model_set_tensor(jem_model *model, const char *name, int64_t count,
                                        const float *values)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_param *param = NULL;
    JEMI_TRY(find_tensor(model, name, count, values, &param));
    JEMI_TRY(jemi_check_finite(values, 1, count, "values"));
    return jemi_model_write_params(model, param->offset, count, values);
}

JEM_API jem_status jem_model_load_matching(jem_model *model, const char *path, int32_t *matched)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(path, "path"));
    jemi_safetensors file;
    int32_t count;
    jem_status status = jemi_safetensors_open(path, &file);
    if (status == JEM_OK)
        status = jemi_model_load_matching(model, &file, &count);
    jemi_safetensors_fini(&file);
    if (status == JEM_OK && matched != NULL)
        *matched = count;
    return jemi_fail_in_file(status, path);
}

JEM_API jem_status jem_model_set_temperature(jem_model *model, float temperature)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    if (!jemi_model_takes_temperature(temperature))
        return jemi_fail(JEM_EINVAL, "temperature is %g; expected %g..%g", (double)temperature,
                         JEMI_TEMPERATURE_MIN, JEMI_TEMPERATURE_MAX);
    jemi_model_set_temperature(model, temperature);
    return JEM_OK;
}
