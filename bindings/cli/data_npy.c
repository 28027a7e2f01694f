/*
 * Data in .npy files: a directory with X.npy and y.npy (and X_test.npy, y_test.npy), or one file
 * of unlabelled rows. Which shapes of X are understood is known here.
 */
#include <stdlib.h>
#include <string.h>

#include "data_readers.h"
#include "layout.h"

enum { SIDE_MAX = 1 << 20 };

static bool is_npy_name(const char *path, size_t length)
{
    return length >= 4 && memcmp(path + length - 4, ".npy", 4) == 0;
}

static bool names_npy(const char *path)
{
    const size_t length = strlen(path);
    return is_npy_name(path, length) ||
           (length > 3 && strcmp(path + length - 3, ".gz") == 0 && is_npy_name(path, length - 3));
}

static bool recognises(const char *path)
{
    return cli_path_has(path, "X.npy") || (names_npy(path) && cli_path_is_file(path));
}

static cli_status take_shape(cli_data *data, const cli_npy *x, cli_error *err)
{
    char text[128];
    cli_npy_shape_text(x, text, sizeof text);
    const int64_t *shape = x->shape;
    if (x->rank < 2)
        return cli_fail(err, "%s has shape %s; expected (n, C, H, W), (n, H, W) or (n, features)",
                        x->path, text);
    for (int i = 1; i < x->rank; i++)
        if (shape[i] < 1 || shape[i] > SIDE_MAX)
            return cli_fail(err, "%s has shape %s; expected every size to be 1..%d", x->path, text,
                            (int)SIDE_MAX);
    data->n = shape[0];
    data->channels = x->rank == 3 ? 1 : (int32_t)shape[1];
    data->height = x->rank == 2 ? 1 : (int32_t)shape[x->rank - 2];
    data->width = x->rank == 2 ? 1 : (int32_t)shape[x->rank - 1];
    return CLI_OK;
}

static cli_status take_rows(cli_data *data, cli_npy *x, cli_error *err)
{
    data->layout_is_doubtful = data->layout == 0 && cli_layout_is_doubtful(x);
    CLI_TRY(cli_layout_apply(x, data->layout, err));
    CLI_TRY(take_shape(data, x, err));
    if (cli_npy_is_bytes(x)) {
        data->bytes = x->data;
        x->data = NULL; // moved
        return CLI_OK;
    }
    CLI_TRY(cli_alloc(&data->floats, x->count, sizeof *data->floats, err));
    return cli_npy_to_floats(x, 0, x->count, data->floats, err);
}

static cli_status load_rows(cli_data *data, const char *path, cli_error *err)
{
    cli_npy x;
    CLI_TRY(cli_npy_read(&x, path, err));
    const cli_status status = take_rows(data, &x, err);
    cli_npy_free(&x);
    return status;
}

static cli_status load_labels(cli_data *data, const char *path, cli_error *err)
{
    cli_npy y;
    CLI_TRY(cli_npy_read(&y, path, err));
    cli_status status = cli_npy_to_labels(&y, &data->labels, err);
    if (status == CLI_OK && y.count != data->n)
        status = cli_fail(err, "%s has %lld labels; expected %lld, one per row of X", path,
                          (long long)y.count, (long long)data->n);
    cli_npy_free(&y);
    return status;
}

static cli_status load(cli_data *data, const char *path, cli_split split, cli_error *err)
{
    if (!cli_path_is_directory(path))
        return load_rows(data, path, err);
    const bool test = split == CLI_TEST && cli_path_has(path, "X_test.npy");
    char file[CLI_PATH_MAX];
    cli_path_find(path, test ? "X_test.npy" : "X.npy", file);
    CLI_TRY(load_rows(data, file, err));
    return cli_path_find(path, test ? "y_test.npy" : "y.npy", file) ? load_labels(data, file, err)
                                                                    : CLI_OK;
}

static bool has_test(const char *path)
{
    return cli_path_has(path, "X_test.npy");
}

const cli_data_reader cli_data_npy = {recognises, load, has_test};
