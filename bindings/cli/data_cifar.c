/*
 * The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): records of one label byte
 * (CIFAR-100: a coarse, then the fine one, which is taken) and 3 x 32 x 32 pixels.
 */
#include <stdlib.h>
#include <string.h>

#include "data_readers.h"
#include "source.h"

enum { PIXELS = 3 * 32 * 32, FILES_MAX = 5 };

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};

typedef struct layout {
    int32_t classes;
    int label_bytes; /* per record; the last of them is the label */
    const char *const *class_names;
    const char *files[2][FILES_MAX + 1]; /* per split, ended by NULL */
} layout;

static const layout layouts[] = {
    {10,
     1,
     cifar10_names,
     {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
       "data_batch_5.bin", NULL},
      {"test_batch.bin", NULL}}},
    {100, 2, NULL, {{"train.bin", NULL}, {"test.bin", NULL}}},
};
enum { N_LAYOUTS = sizeof layouts / sizeof layouts[0] };

static const layout *find_layout(const char *path)
{
    for (int i = 0; i < N_LAYOUTS; i++)
        for (int split = 0; split < 2; split++)
            if (cli_path_has(path, layouts[i].files[split][0]))
                return &layouts[i];
    return NULL;
}

static bool recognises(const char *path)
{
    return find_layout(path) != NULL;
}

static cli_status count_records(cli_source *source, int record, int64_t *n, cli_error *err)
{
    *n = source->bytes_max / record;
    if (source->bytes_max % record != 0 || *n == 0)
        return cli_fail(err,
                        "%s has %lld bytes; expected a multiple of %d, the size of a CIFAR "
                        "record",
                        source->path, (long long)source->bytes_max, record);
    return CLI_OK;
}

// Appends `n` records; the arrays have room for them.
static cli_status read_records(cli_data *data, const layout *form, cli_source *source, int64_t n,
                               cli_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        uint8_t label[2];
        CLI_TRY(cli_source_read(source, label, form->label_bytes, err));
        CLI_TRY(cli_source_read(source, data->bytes + data->n * PIXELS, PIXELS, err));
        data->labels[data->n] = label[form->label_bytes - 1];
        if (data->labels[data->n] >= form->classes)
            return cli_fail(err, "%s: label %lld of record %lld is out of range; expected 0..%d",
                            source->path, (long long)data->labels[data->n], (long long)i,
                            form->classes - 1);
        data->n++;
    }
    return cli_source_end(source, err);
}

static cli_status grow(cli_data *data, int64_t n_more, cli_error *err)
{
    const size_t n = (size_t)(data->n + n_more);
    uint8_t *bytes = realloc(data->bytes, n * PIXELS);
    if (bytes != NULL)
        data->bytes = bytes;
    int64_t *labels = realloc(data->labels, n * sizeof *labels);
    if (labels != NULL)
        data->labels = labels;
    if (bytes == NULL || labels == NULL)
        return cli_fail(err, "out of memory: %zu images of CIFAR were to be held", n);
    return CLI_OK;
}

static cli_status read_file(cli_data *data, const layout *form, const char *path, cli_error *err)
{
    cli_source source;
    int64_t n;
    CLI_TRY(cli_source_open(&source, path, err));
    cli_status status = count_records(&source, form->label_bytes + PIXELS, &n, err);
    if (status == CLI_OK)
        status = grow(data, n, err);
    if (status == CLI_OK)
        status = read_records(data, form, &source, n, err);
    cli_source_close(&source);
    return status;
}

static cli_status load(cli_data *data, const char *path, cli_split split, cli_error *err)
{
    const layout *form = find_layout(path);
    if (form == NULL)
        return cli_fail(err, "%s has lost its CIFAR files", path);
    data->channels = 3;
    data->height = data->width = 32;
    data->classes = form->classes;
    data->class_names = form->class_names;
    for (const char *const *name = form->files[split]; *name != NULL; name++) {
        char file[CLI_PATH_MAX];
        if (!cli_path_has(path, *name))
            return cli_fail(err, "%s lacks %s, a part of CIFAR-%d", path, *name, form->classes);
        CLI_TRY(read_file(data, form, cli_path_join(path, *name, file), err));
    }
    return CLI_OK;
}

const cli_data_reader cli_data_cifar = {recognises, load};
