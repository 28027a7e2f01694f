/*
 * Which reader takes a path, and what all data sets have in common: limits, class counts, checks
 * against a model, and the way from stored rows to inputs.
 */
#include "data.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data_readers.h"

static const char fashion_directory[] = "/usr/share/datasets/fashion-mnist";

static const cli_data_reader *const readers[] = {&cli_data_npy, &cli_data_cifar, &cli_data_idx};
enum { N_READERS = sizeof readers / sizeof readers[0] };

// ---- paths -------------------------------------------------------------------------------------

const char *cli_path_join(const char *directory, const char *name, char out[CLI_PATH_MAX])
{
    const int length = snprintf(out, CLI_PATH_MAX, "%s/%s", directory, name);
    if (length >= CLI_PATH_MAX)
        out[0] = '\0'; // names no file
    return out;
}

bool cli_path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool cli_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool cli_path_find(const char *directory, const char *name, char out[CLI_PATH_MAX])
{
    char packed[CLI_PATH_MAX];
    snprintf(packed, sizeof packed, "%s.gz", name);
    return cli_path_is_file(cli_path_join(directory, name, out)) ||
           cli_path_is_file(cli_path_join(directory, packed, out));
}

bool cli_path_has(const char *directory, const char *name)
{
    char path[CLI_PATH_MAX];
    return cli_path_find(directory, name, path);
}

// ---- loading -----------------------------------------------------------------------------------

static const cli_data_reader *find_reader(const char *path)
{
    for (int i = 0; i < N_READERS; i++)
        if (readers[i]->recognises(path))
            return readers[i];
    return NULL;
}

// Where the data of that name lies.
static const char *place_of(const char *path)
{
    return strcmp(path, "fashion-mnist") == 0 ? fashion_directory : path;
}

bool cli_data_exists(const char *path)
{
    return find_reader(place_of(path)) != NULL;
}

// What looks like a place without data may be one that we may not look into.
static cli_status not_found(const char *path, cli_error *err)
{
    if (strcmp(path, "fashion-mnist") == 0)
        return cli_fail(err,
                        "Fashion-MNIST is not in %s; expected the files of the Debian package "
                        "(apt install dataset-fashion-mnist)",
                        fashion_directory);
    if (cli_path_is_directory(path) && cli_path_has(path, "data_batch_1"))
        return cli_fail(err,
                        "%s holds CIFAR-10 as pickles of Python; expected its binary version "
                        "(cifar-10-binary.tar.gz)",
                        path);
    if (cli_path_is_directory(path) && access(path, R_OK | X_OK) != 0)
        return cli_fail(err, "%s cannot be read: %s", path, strerror(errno));
    if (cli_path_is_directory(path))
        return cli_fail(err,
                        "%s holds no data set that is known here; expected IDX files "
                        "(train-images-idx3-ubyte[.gz], ...), CIFAR binary batches "
                        "(data_batch_1.bin, ...) or X.npy and y.npy",
                        path);
    if (cli_path_is_file(path))
        return cli_fail(err,
                        "%s is not a data set; expected a directory, a prefix of IDX files, "
                        "a .npy file or fashion-mnist",
                        path);
    struct stat info;
    if (stat(path, &info) == 0)
        return cli_fail(err, "%s is a pipe, device or socket; expected a directory or file of data",
                        path);
    if (errno != ENOENT)
        return cli_fail(err, "%s cannot be read: %s", path, strerror(errno));
    return cli_fail(err,
                    "%s does not exist; expected a directory of data, a prefix of IDX files, "
                    "a .npy file or fashion-mnist",
                    path);
}

cli_status cli_data_load(cli_data *data, const char *path, cli_split split, int32_t layout,
                         cli_error *err)
{
    *data = (cli_data){.path = path, .layout = layout};
    const char *place = place_of(path);
    const cli_data_reader *reader = find_reader(place);
    if (reader == NULL)
        return not_found(path, err);
    data->has_test = reader->has_test(place);
    cli_status status = reader->load(data, place, split, err);
    if (status == CLI_OK && data->n < 1)
        status = cli_fail(err, "%s has no rows", path);
    if (status != CLI_OK)
        cli_data_free(data);
    return status;
}

void cli_data_free(cli_data *data)
{
    free(data->bytes);
    free(data->floats);
    free(data->labels);
    *data = (cli_data){.path = NULL};
}

void cli_data_limit(cli_data *data, int64_t n)
{
    if (n > 0 && n < data->n)
        data->n = n;
}

static cli_status allocate_like(cli_data *out, const cli_data *data, int64_t n, cli_error *err)
{
    const int64_t size = cli_data_row_size(data);
    *out = *data;
    out->bytes = NULL;
    out->floats = NULL;
    out->labels = NULL;
    out->n = n;
    if (data->bytes != NULL)
        CLI_TRY(cli_alloc(&out->bytes, n * size, sizeof *out->bytes, err));
    if (data->floats != NULL)
        CLI_TRY(cli_alloc(&out->floats, n * size, sizeof *out->floats, err));
    return data->labels != NULL ? cli_alloc(&out->labels, n, sizeof *out->labels, err) : CLI_OK;
}

// The row `from` becomes row `to` of another set, or an earlier one of the same.
static void move_row(const cli_data *data, int64_t from, cli_data *out, int64_t to)
{
    const size_t size = (size_t)cli_data_row_size(data);
    if (data == out && from == to)
        return;
    if (data->bytes != NULL)
        memcpy(out->bytes + (size_t)to * size, data->bytes + (size_t)from * size, size);
    if (data->floats != NULL)
        memcpy(out->floats + (size_t)to * size, data->floats + (size_t)from * size,
               size * sizeof *data->floats);
    if (data->labels != NULL)
        out->labels[to] = data->labels[from];
}

cli_status cli_data_take_out(cli_data *data, const bool *chosen, cli_data *out, cli_error *err)
{
    int64_t n_out = 0, taken = 0, left = 0;
    for (int64_t i = 0; i < data->n; i++)
        n_out += chosen[i];
    CLI_TRY(allocate_like(out, data, n_out, err));
    for (int64_t i = 0; i < data->n; i++)
        if (chosen[i])
            move_row(data, i, out, taken++);
        else
            move_row(data, i, data, left++);
    data->n = left;
    return CLI_OK;
}

void cli_data_drop_labels(cli_data *data)
{
    free(data->labels);
    data->labels = NULL;
}

// ---- what all data sets have in common ---------------------------------------------------------

int64_t cli_data_row_size(const cli_data *data)
{
    return (int64_t)data->channels * data->height * data->width;
}

bool cli_data_is_table(const cli_data *data)
{
    return data->height == 1 && data->width == 1;
}

// Labels of a foreign file tend to be wild: without a name to tell, every class must have a row.
static cli_status check_no_gaps(const cli_data *data, int64_t classes, cli_error *err)
{
    bool *seen;
    CLI_TRY(cli_alloc(&seen, classes, sizeof *seen, err));
    for (int64_t i = 0; i < data->n; i++)
        seen[data->labels[i]] = true;
    int64_t missing = 0;
    for (int64_t c = 0; c < classes; c++)
        missing += !seen[c];
    free(seen);
    if (missing > 0)
        return cli_fail(err,
                        "%s has labels up to %lld, but %lld of these classes have no row; "
                        "expected labels 0, 1, ... without gaps, or --classes N",
                        data->path, (long long)classes - 1, (long long)missing);
    return CLI_OK;
}

cli_status cli_data_count_classes(const cli_data *data, int32_t *classes, cli_error *err)
{
    *classes = data->classes > 0 ? data->classes : 1;
    if (data->classes > 0 || data->labels == NULL)
        return CLI_OK;
    int64_t highest = 0;
    for (int64_t i = 0; i < data->n; i++)
        highest = data->labels[i] > highest ? data->labels[i] : highest;
    if (highest >= 100000)
        return cli_fail(err, "%s has label %lld; expected at most 100000 classes", data->path,
                        (long long)highest);
    CLI_TRY(check_no_gaps(data, highest + 1, err));
    *classes = (int32_t)highest + 1;
    return CLI_OK;
}

cli_status cli_data_check_layout(const cli_data *data, cli_error *err)
{
    if (!data->layout_is_doubtful)
        return CLI_OK;
    return cli_fail(err,
                    "%s has shape (%lld, %d, %d, %d), which looks like (n, H, W, C); expected "
                    "--layout nhwc to read it so, or --layout nchw if it is (n, C, H, W)",
                    data->path, (long long)data->n, data->channels, data->height, data->width);
}

static cli_status wrong_shape(const cli_data *data, const jem_model_info *info, cli_error *err)
{
    const bool last = data->channels == info->height && data->height == info->width &&
                      data->width == info->channels;
    return cli_fail(
        err, "%s has rows of %dx%dx%d; expected %dx%dx%d, the model's shape%s", data->path,
        data->channels, data->height, data->width, info->channels, info->height, info->width,
        last && data->layout == 0 ? "; --layout nhwc reads channels that are last" : "");
}

cli_status cli_data_check_model(const cli_data *data, const jem_model *model, cli_error *err)
{
    jem_model_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_model_get_info(model, &info)));
    if (data->channels != info.channels || data->height != info.height || data->width != info.width)
        return wrong_shape(data, &info, err);
    for (int64_t i = 0; data->labels != NULL && i < data->n; i++)
        if (data->labels[i] >= info.classes)
            return cli_fail(err,
                            "%s: label %lld of row %lld is out of range; expected 0..%d, the "
                            "model's classes",
                            data->path, (long long)data->labels[i], (long long)i, info.classes - 1);
    return CLI_OK;
}

cli_status cli_data_suit_model(cli_data *data, const jem_model *model, cli_error *err)
{
    jem_model_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_model_get_info(model, &info)));
    if (info.classes == 1)
        cli_data_drop_labels(data);
    return cli_data_check_model(data, model, err);
}

cli_status cli_data_float_range(const cli_data *data, float *low, float *high, cli_error *err)
{
    const int64_t size = cli_data_row_size(data);
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < data->n * size; i++) {
        const float value = data->floats[i];
        if (!isfinite(value))
            return cli_fail(err, "%s holds NaN or infinity in row %lld; expected finite values",
                            data->path, (long long)(i / size));
        *low = value < *low ? value : *low;
        *high = value > *high ? value : *high;
    }
    return CLI_OK;
}

static cli_status inputs_of_run(const cli_data *data, const jem_model *model, int64_t first,
                                int64_t n, float *x, cli_error *err)
{
    const int64_t size = cli_data_row_size(data);
    if (data->bytes != NULL)
        return cli_jem(err,
                       jem_input_from_u8(model, n, data->bytes + first * size, JEM_LAYOUT_NCHW, x));
    if (cli_data_is_table(data))
        return cli_jem(err, jem_input_from_float(model, n, data->floats + first * size, x));
    memcpy(x, data->floats + first * size, (size_t)(n * size) * sizeof *x);
    return CLI_OK;
}

cli_status cli_data_inputs(const cli_data *data, const jem_model *model, const int64_t *rows,
                           int64_t first, int64_t n, float *x, cli_error *err)
{
    if (rows == NULL)
        return inputs_of_run(data, model, first, n, x, err);
    for (int64_t i = 0; i < n; i++)
        CLI_TRY(inputs_of_run(data, model, rows[i], 1, x + i * cli_data_row_size(data), err));
    return CLI_OK;
}
