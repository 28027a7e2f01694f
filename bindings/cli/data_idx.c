/*
 * IDX files, the format of MNIST and its kin: a big-endian magic number, the sizes, then bytes.
 * How the files of a split are named is known here, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_readers.h"
#include "source.h"

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803, SIDE_MAX = 1024 };

static const char *const fashion_names[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                            "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                            "Bag",         "Ankle boot"};

// ---- names -------------------------------------------------------------------------------------

// Finds <path><joint><split>-<what>[.gz], such as dir/train-images-idx3-ubyte.gz.
static bool find_part(const char *path, const char *split, const char *what, char out[CLI_PATH_MAX])
{
    const char *joints_of_directory[] = {"/", NULL};
    const char *joints_of_prefix[] = {"", "-", NULL};
    const char **joint = cli_path_is_directory(path) ? joints_of_directory : joints_of_prefix;
    for (; *joint != NULL; joint++)
        for (int packed = 0; packed < 2; packed++) {
            const int length = snprintf(out, CLI_PATH_MAX, "%s%s%s-%s%s", path, *joint, split, what,
                                        packed ? ".gz" : "");
            if (length < CLI_PATH_MAX && cli_path_is_file(out))
                return true;
        }
    return false;
}

static bool find_file(const char *path, cli_split split, const char *what, char out[CLI_PATH_MAX])
{
    if (split == CLI_TRAIN)
        return find_part(path, "train", what, out);
    return find_part(path, "t10k", what, out) || find_part(path, "test", what, out);
}

static bool recognises(const char *path)
{
    char file[CLI_PATH_MAX];
    return find_file(path, CLI_TRAIN, "images-idx3-ubyte", file) ||
           find_file(path, CLI_TEST, "images-idx3-ubyte", file);
}

// Does the last part of the path speak of Fashion-MNIST?
static bool is_fashion(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    return strstr(path + length, "fashion") != NULL;
}

// ---- contents ----------------------------------------------------------------------------------

static int64_t big_endian(const unsigned char *bytes)
{
    return (int64_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

static cli_status read_header(cli_source *source, int64_t magic, int n_sizes, int64_t *sizes,
                              cli_error *err)
{
    unsigned char header[16];
    CLI_TRY(cli_source_read(source, header, 4, err));
    if (big_endian(header) != magic)
        return cli_fail(err,
                        "%s is not an IDX file of %s: its magic number is 0x%08llx; expected "
                        "0x%08llx",
                        source->path, magic == MAGIC_IMAGES ? "images" : "labels",
                        (unsigned long long)big_endian(header), (unsigned long long)magic);
    CLI_TRY(cli_source_read(source, header, 4 * n_sizes, err));
    for (int i = 0; i < n_sizes; i++)
        sizes[i] = big_endian(header + 4 * i);
    return CLI_OK;
}

static cli_status read_images(cli_data *data, cli_source *source, cli_error *err)
{
    int64_t sizes[3] = {0};
    CLI_TRY(read_header(source, MAGIC_IMAGES, 3, sizes, err));
    if (sizes[1] < 1 || sizes[1] > SIDE_MAX || sizes[2] < 1 || sizes[2] > SIDE_MAX)
        return cli_fail(err, "%s claims images of %lldx%lld; expected 1..%d by 1..%d", source->path,
                        (long long)sizes[1], (long long)sizes[2], (int)SIDE_MAX, (int)SIDE_MAX);
    const int64_t bytes = sizes[0] * sizes[1] * sizes[2]; // at most 2^32 * 2^20
    CLI_TRY(cli_source_expect(source, bytes, err));
    CLI_TRY(cli_alloc(&data->bytes, bytes, 1, err));
    CLI_TRY(cli_source_read(source, data->bytes, bytes, err));
    data->n = sizes[0];
    data->channels = 1;
    data->height = (int32_t)sizes[1];
    data->width = (int32_t)sizes[2];
    return cli_source_end(source, err);
}

static cli_status read_labels(cli_data *data, cli_source *source, cli_error *err)
{
    int64_t n = 0;
    CLI_TRY(read_header(source, MAGIC_LABELS, 1, &n, err));
    if (n != data->n)
        return cli_fail(err, "%s has %lld labels; expected %lld, one per image", source->path,
                        (long long)n, (long long)data->n);
    CLI_TRY(cli_source_expect(source, n, err));
    uint8_t *bytes;
    CLI_TRY(cli_alloc(&bytes, n, 1, err));
    cli_status status = cli_source_read(source, bytes, n, err);
    if (status == CLI_OK)
        status = cli_alloc(&data->labels, n, sizeof *data->labels, err);
    for (int64_t i = 0; status == CLI_OK && i < n; i++)
        data->labels[i] = bytes[i];
    free(bytes);
    return status == CLI_OK ? cli_source_end(source, err) : status;
}

static cli_status read_part(cli_data *data, const char *path, cli_split split, const char *what,
                            cli_status (*read)(cli_data *, cli_source *, cli_error *),
                            cli_error *err)
{
    char file[CLI_PATH_MAX];
    if (!find_file(path, split, what, file))
        return cli_fail(err, "%s lacks %s-%s[.gz]", path, split == CLI_TRAIN ? "train" : "t10k",
                        what);
    cli_source source;
    CLI_TRY(cli_source_open(&source, file, err));
    const cli_status status = read(data, &source, err);
    cli_source_close(&source);
    return status;
}

static cli_status check_fashion_labels(const cli_data *data, cli_error *err)
{
    for (int64_t i = 0; i < data->n; i++)
        if (data->labels[i] >= data->classes)
            return cli_fail(err, "%s: label %lld of row %lld is out of range; expected 0..%d",
                            data->path, (long long)data->labels[i], (long long)i,
                            data->classes - 1);
    return CLI_OK;
}

static cli_status load(cli_data *data, const char *path, cli_split split, cli_error *err)
{
    CLI_TRY(read_part(data, path, split, "images-idx3-ubyte", read_images, err));
    CLI_TRY(read_part(data, path, split, "labels-idx1-ubyte", read_labels, err));
    if (!is_fashion(path))
        return CLI_OK;
    data->classes = sizeof fashion_names / sizeof fashion_names[0];
    data->class_names = fashion_names;
    return check_fashion_labels(data, err);
}

const cli_data_reader cli_data_idx = {recognises, load};
