/*
 * jem info: what a model file holds, and which library reads it.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "json_text.h"
#include "report.h"

typedef struct args_t {
    const char *model;
    bool tensors, json;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),
    CLI_ROW_FLAG("tensors", args_t, tensors, "list the tensors, too"),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON"),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.model = NULL};
}

static void report_shape(cli_report *report, const jem_model_info *info)
{
    char text[64];
    snprintf(text, sizeof text, "%d x %d x %d (channels x height x width)", info->channels,
             info->height, info->width);
    cli_report_json(report, "shape", "input",
                    json_pack("[i,i,i]", info->channels, info->height, info->width), text);
    snprintf(text, sizeof text, "%g .. %g", (double)info->input_low, (double)info->input_high);
    cli_report_json(report, "input_range", "input range",
                    json_pack("[f,f]", (double)info->input_low, (double)info->input_high), text);
}

static cli_status class_name(const jem_model *model, int32_t label, char **name, cli_error *err)
{
    size_t length;
    CLI_TRY(cli_jem(err, jem_model_get_class_name(model, label, NULL, 0, &length)));
    CLI_TRY(cli_alloc(name, (int64_t)length + 1, 1, err));
    const jem_status status = jem_model_get_class_name(model, label, *name, length + 1, NULL);
    if (status != JEM_OK)
        free(*name);
    return cli_jem(err, status);
}

// Names for JSON, and as text as many as fit a few lines.
static cli_status collect_names(const jem_model *model, int32_t classes, json_t *names, char *text,
                                size_t size, cli_error *err)
{
    size_t used = (size_t)snprintf(text, size, "%d: ", classes);
    for (int32_t label = 0; label < classes; label++) {
        char *name;
        CLI_TRY(class_name(model, label, &name, err));
        json_array_append_new(names, cli_json_text(name));
        if (used + strlen(name) + 8 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", label > 0 ? ", " : "", name);
        else if (text[used - 1] != '.')
            used += (size_t)snprintf(text + used, size - used, ", ...");
        free(name);
    }
    return CLI_OK;
}

static cli_status report_classes(cli_report *report, const jem_model *model, int32_t classes,
                                 cli_error *err)
{
    char text[200];
    json_t *names = json_array();
    const cli_status status = collect_names(model, classes, names, text, sizeof text, err);
    cli_report_json(report, "classes", "classes", names, text);
    return status;
}

// The members of an object in one line: "steps 4000, batch 64".
static void flatten(const json_t *object, char *text, size_t size)
{
    const char *key;
    json_t *value;
    size_t used = 0;
    text[0] = '\0';
    json_object_foreach((json_t *)object, key, value)
    {
        char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        const char *shown = json_is_string(value) ? json_string_value(value) : json;
        if (shown != NULL && !json_is_null(value) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s %s", used > 0 ? ", " : "", key,
                                     shown);
        free(json);
    }
}

// A string that is a JSON object itself.
static void report_object(cli_report *report, const char *key, const char *label,
                          const char *content)
{
    json_t *object = json_loads(content, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        cli_report_text(report, key, label, content);
        return;
    }
    char text[512];
    flatten(object, text, sizeof text);
    cli_report_json(report, key, label, object, text);
}

static cli_status report_training(cli_report *report, const jem_model *model, cli_error *err)
{
    size_t length;
    if (jem_model_get_metadata(model, "training", NULL, 0, &length) != JEM_OK)
        return CLI_OK; // not written by jem train
    char *text;
    CLI_TRY(cli_alloc(&text, (int64_t)length + 1, 1, err));
    if (jem_model_get_metadata(model, "training", text, length + 1, NULL) == JEM_OK)
        report_object(report, "training", "training", text);
    free(text);
    return CLI_OK;
}

// What is promised, or why there is no promise.
static cli_status report_detector(cli_report *report, const jem_model *model, cli_error *err)
{
    jem_detector *detector;
    jem_detector_info info = {.struct_size = sizeof info};
    char text[200];
    const jem_status status = jem_model_get_detector(model, &detector);
    if (status == JEM_ENOTFOUND)
        return CLI_OK;
    if (status != JEM_OK) {
        cli_report_text(report, "detector", "detector", jem_last_error());
        return CLI_OK;
    }
    CLI_TRY(cli_jem(err, jem_detector_get_info(detector, &info)));
    jem_detector_destroy(detector);
    snprintf(text, sizeof text, "false-positive rate %g, confidence %g, %lld rows calibrate it",
             info.fpr, info.confidence, (long long)info.n_calibrated);
    cli_report_json(report, "detector", "detector",
                    json_pack("{s:f s:f s:f s:I}", "fpr", info.fpr, "confidence", info.confidence,
                              "threshold", info.threshold, "calibrated",
                              (json_int_t)info.n_calibrated),
                    text);
    return CLI_OK;
}

// ---- the user's own words ----------------------------------------------------------------------

enum { LINES_MAX = 20 };

typedef struct own_text {
    char *key, *value;
} own_text;

// The metadata after that key, which may be NULL; a key of NULL when there are no more.
static cli_status own_metadata(const jem_model *model, const char *after, own_text *own,
                               cli_error *err)
{
    size_t length;
    *own = (own_text){NULL, NULL};
    const jem_status status = jem_model_metadata_key(model, after, NULL, 0, &length);
    if (status == JEM_ENOTFOUND)
        return CLI_OK;
    CLI_TRY(cli_jem(err, status));
    CLI_TRY(cli_alloc(&own->key, (int64_t)length + 1, 1, err));
    CLI_TRY(cli_jem(err, jem_model_metadata_key(model, after, own->key, length + 1, NULL)));
    CLI_TRY(cli_jem(err, jem_model_get_metadata(model, own->key, NULL, 0, &length)));
    CLI_TRY(cli_alloc(&own->value, (int64_t)length + 1, 1, err));
    return cli_jem(err, jem_model_get_metadata(model, own->key, own->value, length + 1, NULL));
}

// As text, a heading and a line for each of the first.
static void print_metadata(const own_text *own, int n_before)
{
    char line[160];
    if (n_before == 0)
        puts("metadata");
    if (n_before == LINES_MAX)
        puts("  ... (--json shows all)");
    if (n_before >= LINES_MAX)
        return;
    const int length = snprintf(line, sizeof line, "  %-16s %s", own->key, own->value);
    cli_put_text(stdout, line);
    puts(length >= (int)sizeof line ? " ..." : "");
}

// All but what jem train says, which has a line of its own.
static cli_status report_metadata(cli_report *report, const jem_model *model, cli_error *err)
{
    json_t *all = json_object();
    cli_status status = CLI_OK;
    char *after = NULL;
    int n = 0;
    for (bool more = true; status == CLI_OK && more;) {
        own_text own;
        status = own_metadata(model, after, &own, err);
        more = own.value != NULL;
        if (status == CLI_OK && more && strcmp(own.key, "training") != 0) {
            cli_json_set(all, own.key, cli_json_text(own.value));
            if (report->root == NULL)
                print_metadata(&own, n);
            n++;
        }
        free(after);
        after = own.key;
        free(own.value);
    }
    free(after);
    if (report->root != NULL)
        json_object_set(report->root, "metadata", all);
    json_decref(all);
    return status;
}

// ---- tensors -----------------------------------------------------------------------------------

static cli_status report_tensor(cli_report *report, const jem_model *model, int32_t index,
                                json_t *list, cli_error *err)
{
    jem_tensor_info tensor = {.struct_size = sizeof tensor};
    CLI_TRY(cli_jem(err, jem_model_tensor(model, index, &tensor)));
    json_t *shape = json_array();
    char text[128];
    size_t used = 0;
    for (int i = 0; i < tensor.rank && i < 4; i++) {
        json_array_append_new(shape, json_integer(tensor.shape[i]));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i > 0 ? " x " : "",
                                 (long long)tensor.shape[i]);
    }
    json_array_append_new(
        list, json_pack("{s:o s:o}", "name", cli_json_text(tensor.name), "shape", shape));
    if (report->root == NULL) {
        printf("  ");
        cli_put_text(stdout, tensor.name);
        printf("%*s %s\n", 32 - (int)strnlen(tensor.name, 32), "", text);
    }
    return CLI_OK;
}

static cli_status report_tensors(cli_report *report, const jem_model *model, int32_t n,
                                 cli_error *err)
{
    json_t *list = json_array();
    cli_status status = CLI_OK;
    for (int32_t i = 0; status == CLI_OK && i < n; i++)
        status = report_tensor(report, model, i, list, err);
    if (report->root != NULL)
        json_object_set(report->root, "tensors", list);
    json_decref(list);
    return status;
}

static cli_status fill_report(cli_report *report, const args_t *args, const jem_model *model,
                              cli_error *err)
{
    jem_model_info info;
    CLI_TRY(cli_model_info(model, &info, err));
    cli_report_text(report, "model", "model", args->model);
    cli_report_text(report, "arch", "arch", jem_model_arch(model));
    report_shape(report, &info);
    CLI_TRY(report_classes(report, model, info.classes, err));
    cli_report_count(report, "params", "parameters", info.param_count);
    cli_report_count(report, "macs", "multiply-adds", info.macs);
    cli_report_number(report, "temperature", "temperature", (double)info.temperature, 4, "");
    cli_report_count(report, "tensor_count", "tensors", info.tensor_count);
    cli_report_count(report, "bytes", "bytes in memory", (int64_t)jem_model_bytes(model));
    CLI_TRY(report_training(report, model, err));
    CLI_TRY(report_detector(report, model, err));
    report_object(report, "library", "library", jem_build_info());
    CLI_TRY(report_metadata(report, model, err));
    if (args->tensors)
        CLI_TRY(report_tensors(report, model, info.tensor_count, err));
    return CLI_OK;
}

static cli_status run(const void *given, cli_error *err)
{
    const args_t *args = given;
    jem_model *model;
    CLI_TRY(cli_model_load(&model, args->model, &args->exec, err));
    cli_report report;
    cli_status status = cli_report_begin(&report, args->json, err);
    if (status == CLI_OK)
        status = fill_report(&report, args, model, err);
    if (status == CLI_OK)
        status = cli_report_end(&report, err);
    else
        json_decref(report.root);
    jem_model_destroy(model);
    return status;
}

const cli_command cli_info = {
    .name = "info",
    .summary = "what a model file holds",
    .usage = "--model FILE [--tensors] [--json]",
    .description = "Shows a model's architecture, input, classes, size, how it was trained, the "
                   "build of the library and the metadata that users of the model gave it. "
                   "multiply-adds are those of one row's forward pass.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
