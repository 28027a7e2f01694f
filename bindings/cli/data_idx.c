/*
 * IDX files, the format of MNIST and its kin: a big-endian magic number, the sizes, then bytes.
 * How the files of a split are named is known here, too.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_readers.h"
#include "source.h"

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803, SIDE_MAX = 1024, PREFIX_SIZE = 256 };

static const char *const fashion_names[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                            "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                            "Bag",         "Ankle boot"};

// ---- names -------------------------------------------------------------------------------------

static const char *const splits[2][3] = {{"train", NULL}, {"t10k", "test", NULL}};
static const char *const joints[] = {"-", "."}; // 7-Zip makes a dot of the first hyphen of "-idx"
enum { N_JOINTS = sizeof joints / sizeof joints[0] };

// The parts of "images-idx3-ubyte".
typedef struct idx_part {
    const char *what, *type;
} idx_part;
static const idx_part images = {"images", "idx3-ubyte"}, labels = {"labels", "idx1-ubyte"};

// Finds <base><split>-<what>-<type>[.gz], such as dir/train-images-idx3-ubyte.gz.
static bool find_file(const char *base, cli_split split, const idx_part *part,
                      char out[CLI_PATH_MAX])
{
    for (const char *const *name = splits[split]; *name != NULL; name++)
        for (int i = 0; i < 2 * N_JOINTS; i++) {
            const int length =
                snprintf(out, CLI_PATH_MAX, "%s%s-%s%s%s%s", base, *name, part->what,
                         joints[i % N_JOINTS], part->type, i < N_JOINTS ? "" : ".gz");
            if (length < CLI_PATH_MAX && cli_path_is_file(out))
                return true;
        }
    return false;
}

static bool has_images(const char *base)
{
    char file[CLI_PATH_MAX];
    return find_file(base, CLI_TRAIN, &images, file) || find_file(base, CLI_TEST, &images, file);
}

// How long is what stands before "train-images-idx3-ubyte" and its kin in a file's name? -1: this
// is no such name.
static int prefix_length(const char *name)
{
    for (int split = 0; split < 2; split++)
        for (const char *const *word = splits[split]; *word != NULL; word++)
            for (int i = 0; i < N_JOINTS; i++) {
                char end[64];
                snprintf(end, sizeof end, "%s-%s%s%s", *word, images.what, joints[i], images.type);
                const char *at = strstr(name, end);
                const char *rest = at != NULL ? at + strlen(end) : "?";
                if (rest[0] == '\0' || strcmp(rest, ".gz") == 0)
                    return (int)(at - name);
            }
    return -1;
}

// The prefix of a set in the folder that comes next after `prefix` in the order of their bytes; it
// takes its place. False: there is none.
static bool find_next_prefix(const char *path, char prefix[PREFIX_SIZE])
{
    DIR *folder = opendir(path);
    char next[PREFIX_SIZE] = "";
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char found[PREFIX_SIZE];
        const int length = prefix_length(entry->d_name);
        if (length < 0)
            continue;
        snprintf(found, sizeof found, "%.*s", length, entry->d_name);
        if (strcmp(found, prefix) > 0 && (next[0] == '\0' || strcmp(found, next) < 0))
            strcpy(next, found);
    }
    if (folder != NULL)
        closedir(folder);
    if (next[0] == '\0')
        return false;
    strcpy(prefix, next);
    return true;
}

// EMNIST has six sets of equal names but for what they begin with. The first of a folder becomes
// the base; *n says how many there are.
static void find_prefix(const char *path, char base[CLI_PATH_MAX], int *n)
{
    char prefix[PREFIX_SIZE] = "";
    *n = 0;
    while (find_next_prefix(path, prefix)) {
        if (*n == 0 && snprintf(base, CLI_PATH_MAX, "%s/%s", path, prefix) >= CLI_PATH_MAX)
            return;
        (*n)++;
    }
}

// What stands before "train-images-idx3-ubyte" in the paths of the files. *n is the number of data
// sets that the path may mean.
static void find_base(const char *path, char base[CLI_PATH_MAX], int *n)
{
    const char *ends_of_directory[] = {"/", "/raw/", NULL}; // torchvision has its files in raw
    const char *ends_of_prefix[] = {"", "-", NULL};
    const bool directory = cli_path_is_directory(path);
    *n = 1;
    for (const char **end = directory ? ends_of_directory : ends_of_prefix; *end != NULL; end++)
        if (snprintf(base, CLI_PATH_MAX, "%s%s", path, *end) < CLI_PATH_MAX && has_images(base))
            return;
    *n = 0;
    if (directory)
        find_prefix(path, base, n);
}

static bool recognises(const char *path)
{
    char base[CLI_PATH_MAX];
    int n;
    find_base(path, base, &n);
    return n > 0;
}

// Cuts the last part off a path, with the slashes around it, and returns it.
static const char *cut_last_part(char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return path;
    *slash = '\0';
    return slash + 1;
}

// Does the path speak of Fashion-MNIST, in its last part or, where that is "raw", the one before?
static bool is_fashion(const char *path)
{
    char text[CLI_PATH_MAX];
    snprintf(text, sizeof text, "%s", path);
    const char *name = cut_last_part(text);
    if (strcmp(name, "raw") == 0)
        name = cut_last_part(text);
    return strstr(name, "fashion") != NULL || strstr(name, "Fashion") != NULL;
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

static cli_status read_part(cli_data *data, const char *base, cli_split split, const idx_part *part,
                            cli_status (*read)(cli_data *, cli_source *, cli_error *),
                            cli_error *err)
{
    char file[CLI_PATH_MAX];
    if (!find_file(base, split, part, file))
        return cli_fail(err, "%s lacks %s-%s-%s[.gz]", data->path, splits[split][0], part->what,
                        part->type);
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
    char base[CLI_PATH_MAX];
    int n;
    find_base(path, base, &n);
    if (n > 1)
        return cli_fail(err, "%s holds %d data sets; expected the prefix of one, such as %s",
                        data->path, n, base);
    CLI_TRY(read_part(data, base, split, &images, read_images, err));
    CLI_TRY(read_part(data, base, split, &labels, read_labels, err));
    if (!is_fashion(path))
        return CLI_OK;
    data->classes = sizeof fashion_names / sizeof fashion_names[0];
    data->class_names = fashion_names;
    return check_fashion_labels(data, err);
}

static bool has_test(const char *path)
{
    char base[CLI_PATH_MAX], file[CLI_PATH_MAX];
    int n;
    find_base(path, base, &n);
    return find_file(base, CLI_TEST, &images, file);
}

const cli_data_reader cli_data_idx = {recognises, load, has_test};
