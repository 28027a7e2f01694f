/*
 * The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): records of one label byte
 * (CIFAR-100: a coarse, then the fine one, which is taken) and 3 x 32 x 32 pixels. The files may be
 * plain, packed one by one, or still in the archive as it is downloaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_readers.h"
#include "tar.h"

enum { PIXELS = 3 * 32 * 32, FILES_MAX = 5 };

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};

typedef struct layout {
    int32_t classes;
    int label_bytes; /* per record; the last of them is the label */
    const char *const *class_names;
    const char *folder, *archive;        /* as the files are published */
    const char *files[2][FILES_MAX + 1]; /* per split, ended by NULL */
} layout;

static const layout layouts[] = {
    {10,
     1,
     cifar10_names,
     "cifar-10-batches-bin",
     "cifar-10-binary.tar",
     {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
       "data_batch_5.bin", NULL},
      {"test_batch.bin", NULL}}},
    {100,
     2,
     NULL,
     "cifar-100-binary",
     "cifar-100-binary.tar",
     {{"train.bin", NULL}, {"test.bin", NULL}}},
};
enum { N_LAYOUTS = sizeof layouts / sizeof layouts[0] };

// The files of a split, whole.
typedef struct pieces {
    uint8_t *bytes[FILES_MAX];
    int64_t sizes[FILES_MAX];
} pieces;

// ---- places ------------------------------------------------------------------------------------

typedef struct place {
    const layout *form; /* NULL: the archive tells */
    bool is_archive;
    char path[CLI_PATH_MAX]; /* the archive, or the folder of the files */
} place;

static bool folder_has(const layout *form, const char *folder)
{
    char file[CLI_PATH_MAX];
    for (int split = 0; split < 2; split++)
        if (cli_path_find(folder, form->files[split][0], file))
            return true;
    return false;
}

static bool is_archive_name(const char *path)
{
    static const char *const ends[] = {".tar", ".tar.gz", ".tgz"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (length > strlen(ends[i]) && strcmp(path + length - strlen(ends[i]), ends[i]) == 0)
            return cli_path_is_file(path);
    return false;
}

static bool find_place(const char *path, place *at)
{
    *at = (place){.form = NULL};
    for (int i = 0; i < N_LAYOUTS; i++) {
        at->form = &layouts[i];
        snprintf(at->path, sizeof at->path, "%s", path);
        if (folder_has(at->form, at->path))
            return true;
        if (folder_has(at->form, cli_path_join(path, at->form->folder, at->path)))
            return true;
        at->is_archive = cli_path_find(path, at->form->archive, at->path);
        if (at->is_archive)
            return true;
    }
    *at = (place){.form = NULL, .is_archive = is_archive_name(path)};
    snprintf(at->path, sizeof at->path, "%s", path);
    return at->is_archive;
}

static bool recognises(const char *path)
{
    place at;
    return find_place(path, &at);
}

// ---- files -------------------------------------------------------------------------------------

static cli_status read_folder(const place *at, cli_split split, pieces *p, cli_error *err)
{
    const char *const *names = at->form->files[split];
    for (int i = 0; names[i] != NULL; i++) {
        char file[CLI_PATH_MAX];
        if (!cli_path_find(at->path, names[i], file))
            return cli_fail(err, "%s lacks %s, a part of CIFAR-%d", at->path, names[i],
                            at->form->classes);
        CLI_TRY(cli_source_read_file(file, &p->bytes[i], &p->sizes[i], err));
    }
    return CLI_OK;
}

// The number of the file of that name in a split, or -1.
static int find_name(const layout *form, cli_split split, const char *name)
{
    for (int i = 0; form->files[split][i] != NULL; i++)
        if (strcmp(form->files[split][i], name) == 0)
            return i;
    return -1;
}

static cli_status take_entry(place *at, cli_split split, cli_source *source,
                             const cli_tar_entry *entry, pieces *p, cli_error *err)
{
    for (int k = 0; k < N_LAYOUTS; k++) {
        const int i = find_name(&layouts[k], split, entry->name);
        const bool fits = at->form == NULL || at->form == &layouts[k];
        if (i < 0 || !fits || p->bytes[i] != NULL)
            continue;
        at->form = &layouts[k];
        p->sizes[i] = entry->size;
        return cli_tar_read(source, entry, &p->bytes[i], err);
    }
    return cli_tar_skip(source, entry, err);
}

static cli_status check_complete(const place *at, cli_split split, const pieces *p, cli_error *err)
{
    if (at->form == NULL)
        return cli_fail(err,
                        "%s holds no binary CIFAR; expected cifar-10-binary.tar.gz or "
                        "cifar-100-binary.tar.gz",
                        at->path);
    for (int i = 0; at->form->files[split][i] != NULL; i++)
        if (p->bytes[i] == NULL)
            return cli_fail(err, "%s lacks %s, a part of CIFAR-%d", at->path,
                            at->form->files[split][i], at->form->classes);
    return CLI_OK;
}

static cli_status read_entries(place *at, cli_split split, cli_source *source, pieces *p,
                               cli_error *err)
{
    cli_tar_entry entry;
    bool more;
    CLI_TRY(cli_tar_next(source, &entry, &more, err));
    while (more) {
        CLI_TRY(take_entry(at, split, source, &entry, p, err));
        CLI_TRY(cli_tar_next(source, &entry, &more, err));
    }
    CLI_TRY(check_complete(at, split, p, err));
    return cli_source_drain(source, err);
}

static cli_status read_archive(place *at, cli_split split, pieces *p, cli_error *err)
{
    cli_source source;
    CLI_TRY(cli_source_open(&source, at->path, err));
    const cli_status status = read_entries(at, split, &source, p, err);
    cli_source_close(&source);
    return status;
}

// ---- records -----------------------------------------------------------------------------------

static cli_status count_records(const place *at, cli_split split, const pieces *p, int64_t *n,
                                cli_error *err)
{
    const int record = at->form->label_bytes + PIXELS;
    *n = 0;
    for (int i = 0; at->form->files[split][i] != NULL; i++) {
        if (p->sizes[i] % record != 0 || p->sizes[i] == 0)
            return cli_fail(err,
                            "%s/%s holds %lld bytes; expected a multiple of %d, the size of a "
                            "CIFAR record",
                            at->path, at->form->files[split][i], (long long)p->sizes[i], record);
        *n += p->sizes[i] / record;
    }
    return CLI_OK;
}

// Appends the records of a file; the arrays have room for them.
static cli_status append_records(cli_data *data, const place *at, const char *file,
                                 const uint8_t *bytes, int64_t size, cli_error *err)
{
    const layout *form = at->form;
    const int record = form->label_bytes + PIXELS;
    for (int64_t i = 0; i < size / record; i++, bytes += record) {
        data->labels[data->n] = bytes[form->label_bytes - 1];
        if (data->labels[data->n] >= form->classes)
            return cli_fail(err, "%s/%s: label %lld of record %lld is out of range; expected 0..%d",
                            at->path, file, (long long)data->labels[data->n], (long long)i,
                            form->classes - 1);
        memcpy(data->bytes + data->n * PIXELS, bytes + form->label_bytes, PIXELS);
        data->n++;
    }
    return CLI_OK;
}

static cli_status take_records(cli_data *data, const place *at, cli_split split, pieces *p,
                               cli_error *err)
{
    int64_t n;
    CLI_TRY(count_records(at, split, p, &n, err));
    CLI_TRY(cli_alloc(&data->bytes, n, PIXELS, err));
    CLI_TRY(cli_alloc(&data->labels, n, sizeof *data->labels, err));
    for (int i = 0; at->form->files[split][i] != NULL; i++)
        CLI_TRY(append_records(data, at, at->form->files[split][i], p->bytes[i], p->sizes[i], err));
    data->channels = 3;
    data->height = data->width = 32;
    data->classes = at->form->classes;
    data->class_names = at->form->class_names;
    return CLI_OK;
}

static cli_status load(cli_data *data, const char *path, cli_split split, cli_error *err)
{
    place at;
    pieces p = {{NULL}, {0}};
    find_place(path, &at);
    cli_status status =
        at.is_archive ? read_archive(&at, split, &p, err) : read_folder(&at, split, &p, err);
    if (status == CLI_OK)
        status = take_records(data, &at, split, &p, err);
    for (int i = 0; i < FILES_MAX; i++)
        free(p.bytes[i]);
    return status;
}

// An archive is taken to be whole, as it is published.
static bool has_test(const char *path)
{
    place at;
    find_place(path, &at);
    return at.is_archive || cli_path_has(at.path, at.form->files[CLI_TEST][0]);
}

const cli_data_reader cli_data_cifar = {recognises, load, has_test};
