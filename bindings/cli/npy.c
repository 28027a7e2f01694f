/*
 * The .npy format: magic, version, header length, a Python dict literal, then the raw elements.
 * Of the dict exactly the three keys of the format are understood; see numpy.lib.format.
 */
#include "npy.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADER_MAX = 4096, MAGIC_SIZE = 6 };

static const char magic[] = "\x93NUMPY";

static const struct {
    const char *descr;
    cli_npy_type type;
    int bytes;
} types[] = {
    {"<f4", CLI_NPY_F4, 4}, {"<f8", CLI_NPY_F8, 8}, {"|u1", CLI_NPY_U1, 1},
    {"<i4", CLI_NPY_I4, 4}, {"<i8", CLI_NPY_I8, 8},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

static int type_bytes(cli_npy_type type)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].type == type)
            return types[i].bytes;
    return 0;
}

// ---- the header --------------------------------------------------------------------------------

// A reader of the dict; `at` is NULL after the first surprise.
typedef struct cursor {
    const char *at;
} cursor;

static void skip_spaces(cursor *c)
{
    c->at += strspn(c->at, " \t\n");
}

// Is `word` next? Then it is consumed.
static bool take(cursor *c, const char *word)
{
    skip_spaces(c);
    const size_t length = strlen(word);
    if (strncmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

static cli_status malformed(const cli_npy *npy, cli_error *err)
{
    return cli_fail(err,
                    "%s is damaged: its .npy header is not a dict of descr, fortran_order and "
                    "shape",
                    npy->path);
}

static cli_status parse_descr(cli_npy *npy, cursor *c, cli_error *err)
{
    char descr[16] = "";
    if (take(c, "'")) {
        const size_t length = strcspn(c->at, "'");
        if (c->at[length] != '\'')
            return malformed(npy, err);
        snprintf(descr, sizeof descr, "%.*s", (int)length, c->at);
        c->at += length + 1;
    }
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].descr, descr) == 0) {
            npy->type = types[i].type;
            return CLI_OK;
        }
    return cli_fail(err, "%s has elements of type %s; expected <f4, <f8, |u1, <i4 or <i8",
                    npy->path, descr[0] != '\0' ? descr : "struct");
}

static cli_status parse_order(const cli_npy *npy, cursor *c, cli_error *err)
{
    if (take(c, "True"))
        return cli_fail(err, "%s is in Fortran order; expected C order (numpy.ascontiguousarray)",
                        npy->path);
    return take(c, "False") ? CLI_OK : malformed(npy, err);
}

// A tuple of sizes whose product stays small enough to be counted in bytes.
static cli_status parse_shape(cli_npy *npy, cursor *c, cli_error *err)
{
    if (!take(c, "("))
        return malformed(npy, err);
    npy->rank = 0;
    npy->count = 1;
    while (!take(c, ")")) {
        skip_spaces(c);
        char *end;
        errno = 0;
        const long long size = strtoll(c->at, &end, 10);
        if (end == c->at || errno != 0 || size < 0)
            return malformed(npy, err);
        c->at = end;
        if (npy->rank == CLI_NPY_RANK_MAX)
            return cli_fail(err, "%s has more than %d dimensions", npy->path,
                            (int)CLI_NPY_RANK_MAX);
        if (size > 0 && npy->count > INT64_MAX / 16 / size)
            return cli_fail(err, "%s is damaged: its shape has more than 2^59 elements", npy->path);
        npy->shape[npy->rank++] = size;
        npy->count *= size;
        if (!take(c, ",") && (skip_spaces(c), *c->at != ')'))
            return malformed(npy, err);
    }
    return CLI_OK;
}

static cli_status parse_dict(cli_npy *npy, const char *text, cli_error *err)
{
    cursor c = {text};
    bool has_descr = false, has_order = false, has_shape = false;
    if (!take(&c, "{"))
        return malformed(npy, err);
    while (!take(&c, "}")) {
        if (!has_descr && take(&c, "'descr':")) {
            CLI_TRY(parse_descr(npy, &c, err));
            has_descr = true;
        } else if (!has_order && take(&c, "'fortran_order':")) {
            CLI_TRY(parse_order(npy, &c, err));
            has_order = true;
        } else if (!has_shape && take(&c, "'shape':")) {
            CLI_TRY(parse_shape(npy, &c, err));
            has_shape = true;
        } else {
            return malformed(npy, err);
        }
        take(&c, ",");
    }
    skip_spaces(&c);
    if (*c.at != '\0' || !has_descr || !has_order || !has_shape)
        return malformed(npy, err);
    return CLI_OK;
}

// Reads the preamble and the dict; *start becomes the offset of the first element.
static cli_status read_header(cli_npy *npy, FILE *file, int64_t *start, cli_error *err)
{
    unsigned char lead[12];
    char text[HEADER_MAX + 1];
    if (fread(lead, 1, 10, file) != 10 || memcmp(lead, magic, MAGIC_SIZE) != 0)
        return cli_fail(err, "%s is not a .npy file: it does not begin with \\x93NUMPY", npy->path);
    const int version = lead[6];
    if (version < 1 || version > 3 || lead[7] != 0)
        return cli_fail(err, "%s is of .npy version %d.%d; expected 1.0, 2.0 or 3.0", npy->path,
                        version, lead[7]);
    if (version > 1 && fread(lead + 10, 1, 2, file) != 2)
        return cli_fail(err, "%s is truncated within its .npy header", npy->path);
    const int lead_size = version > 1 ? 12 : 10;
    uint32_t length = (uint32_t)lead[8] | (uint32_t)lead[9] << 8;
    if (version > 1)
        length |= (uint32_t)lead[10] << 16 | (uint32_t)lead[11] << 24;
    if (length > HEADER_MAX)
        return cli_fail(err, "%s has a .npy header of %lu bytes; expected at most %d", npy->path,
                        (unsigned long)length, (int)HEADER_MAX);
    if (fread(text, 1, length, file) != length)
        return cli_fail(err, "%s is truncated within its .npy header", npy->path);
    text[length] = '\0';
    *start = lead_size + (int64_t)length;
    return parse_dict(npy, text, err);
}

// ---- reading -----------------------------------------------------------------------------------

static cli_status read_elements(cli_npy *npy, FILE *file, int64_t file_size, cli_error *err)
{
    int64_t start;
    CLI_TRY(read_header(npy, file, &start, err));
    const int64_t bytes = npy->count * type_bytes(npy->type);
    char shape[128];
    if (file_size - start != bytes)
        return cli_fail(err,
                        "%s %s: shape %s needs %lld bytes of elements, but %lld follow the "
                        "header",
                        npy->path, file_size - start < bytes ? "is truncated" : "is damaged",
                        cli_npy_shape_text(npy, shape, sizeof shape), (long long)bytes,
                        (long long)(file_size - start));
    CLI_TRY(cli_alloc(&npy->data, bytes, 1, err));
    if (fread(npy->data, 1, (size_t)bytes, file) != (size_t)bytes)
        return cli_fail(err, "%s cannot be read: %s", npy->path, strerror(errno));
    return CLI_OK;
}

cli_status cli_npy_read(cli_npy *npy, const char *path, cli_error *err)
{
    *npy = (cli_npy){.path = path};
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return cli_fail(err, "%s cannot be read: %s", path, strerror(errno));
    struct stat info;
    cli_status status;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode))
        status = cli_fail(err, "%s is not a regular file; expected a .npy file", path);
    else
        status = read_elements(npy, file, info.st_size, err);
    fclose(file);
    if (status != CLI_OK)
        cli_npy_free(npy);
    return status;
}

void cli_npy_free(cli_npy *npy)
{
    free(npy->data);
    npy->data = NULL;
}

bool cli_npy_is_float(const cli_npy *npy)
{
    return npy->type == CLI_NPY_F4 || npy->type == CLI_NPY_F8;
}

void cli_npy_to_floats(const cli_npy *npy, int64_t first, int64_t n, float *out)
{
    if (npy->type == CLI_NPY_F4) {
        memcpy(out, (const float *)npy->data + first, (size_t)n * sizeof *out);
        return;
    }
    const double *values = (const double *)npy->data + first;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)values[i];
}

static int64_t label_at(const cli_npy *npy, int64_t i)
{
    if (npy->type == CLI_NPY_U1)
        return ((const uint8_t *)npy->data)[i];
    if (npy->type == CLI_NPY_I4)
        return ((const int32_t *)npy->data)[i];
    return ((const int64_t *)npy->data)[i];
}

cli_status cli_npy_to_labels(const cli_npy *npy, int64_t **labels, cli_error *err)
{
    char shape[128];
    if (cli_npy_is_float(npy))
        return cli_fail(err, "%s holds floats; expected labels as u1, i4 or i8", npy->path);
    if (npy->rank != 1)
        return cli_fail(err, "%s has shape %s; expected labels of shape (n,)", npy->path,
                        cli_npy_shape_text(npy, shape, sizeof shape));
    for (int64_t i = 0; i < npy->count; i++)
        if (label_at(npy, i) < 0 || label_at(npy, i) > INT32_MAX)
            return cli_fail(err, "%s: label %lld of row %lld is out of range; expected 0, 1, ...",
                            npy->path, (long long)label_at(npy, i), (long long)i);
    CLI_TRY(cli_alloc(labels, npy->count, sizeof **labels, err));
    for (int64_t i = 0; i < npy->count; i++)
        (*labels)[i] = label_at(npy, i);
    return CLI_OK;
}

static const char *format_shape(int rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, rank == 1 ? ",)" : ")");
    return text;
}

const char *cli_npy_shape_text(const cli_npy *npy, char *text, size_t size)
{
    return format_shape(npy->rank, npy->shape, text, size);
}

// ---- writing -----------------------------------------------------------------------------------

cli_status cli_npy_write_header(cli_output *output, int rank, const int64_t *shape, cli_error *err)
{
    // Preamble and dict together are a multiple of 64 bytes and end with a newline.
    enum { SIZE = 192, LEAD = 10 };
    char header[SIZE + 1], shape_text[128];
    format_shape(rank, shape, shape_text, sizeof shape_text);
    const int dict =
        snprintf(header + LEAD, sizeof header - LEAD,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape_text);
    memset(header + LEAD + dict, ' ', (size_t)(SIZE - LEAD - dict));
    memcpy(header, magic, MAGIC_SIZE);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((SIZE - LEAD) & 0xff);
    header[9] = 0;
    header[SIZE - 1] = '\n';
    return cli_output_write(output, header, SIZE, err);
}
