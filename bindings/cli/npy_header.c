/*
 * The dict of a .npy header is read as numpy.lib.format does, which evaluates it as a Python
 * literal: quotes, spaces and the order of the keys are free. Writers other than today's numpy
 * make use of that. Whatever the format does not need is refused.
 */
#include "npy_header.h"

#include <stdio.h>
#include <string.h>

enum { WORD_SIZE = 16 };

// ---- words -------------------------------------------------------------------------------------

// A reader of the dict.
typedef struct cursor {
    const char *at;
} cursor;

static void skip_spaces(cursor *c)
{
    c->at += strspn(c->at, " \t\r\n\f");
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

// A string of either quotes, as Python 2 wrote it with a "u" before them or not. One that is too
// long for `out` is none that the format knows.
static bool take_string(cursor *c, char out[WORD_SIZE])
{
    skip_spaces(c);
    const char *start = c->at + (*c->at == 'u');
    const char quote = *start;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(start + 1, quote);
    if (end == NULL || end - start > WORD_SIZE)
        return false;
    snprintf(out, WORD_SIZE, "%.*s", (int)(end - start - 1), start + 1);
    c->at = end + 1;
    return true;
}

// Digits, with the "L" of Python 2's long integers or not.
static bool take_size(cursor *c, int64_t *size)
{
    skip_spaces(c);
    const char *first = c->at;
    *size = 0;
    for (; *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (*size > (INT64_MAX - 9) / 10)
            return false;
        *size = *size * 10 + (*c->at - '0');
    }
    const bool any = c->at > first;
    if (any && (*c->at == 'L' || *c->at == 'l'))
        c->at++;
    return any;
}

static cli_status malformed(const cli_npy *npy, cli_error *err)
{
    return cli_fail(err,
                    "%s is damaged: its .npy header is not a dict of descr, fortran_order and "
                    "shape",
                    npy->path);
}

// ---- types -------------------------------------------------------------------------------------

static const struct {
    const char *code; // as in descr, without the byte order
    cli_npy_kind kind;
    int width;
} types[] = {
    {"f2", CLI_NPY_FLOAT, 2},    {"f4", CLI_NPY_FLOAT, 4},    {"f8", CLI_NPY_FLOAT, 8},
    {"i1", CLI_NPY_SIGNED, 1},   {"i2", CLI_NPY_SIGNED, 2},   {"i4", CLI_NPY_SIGNED, 4},
    {"i8", CLI_NPY_SIGNED, 8},   {"u1", CLI_NPY_UNSIGNED, 1}, {"u2", CLI_NPY_UNSIGNED, 2},
    {"u4", CLI_NPY_UNSIGNED, 4}, {"u8", CLI_NPY_UNSIGNED, 8}, {"b1", CLI_NPY_BOOL, 1},
    {"e", CLI_NPY_FLOAT, 2},     {"f", CLI_NPY_FLOAT, 4},     {"d", CLI_NPY_FLOAT, 8},
    {"b", CLI_NPY_SIGNED, 1},    {"h", CLI_NPY_SIGNED, 2},    {"i", CLI_NPY_SIGNED, 4},
    {"q", CLI_NPY_SIGNED, 8},    {"B", CLI_NPY_UNSIGNED, 1},  {"H", CLI_NPY_UNSIGNED, 2},
    {"I", CLI_NPY_UNSIGNED, 4},  {"Q", CLI_NPY_UNSIGNED, 8},  {"?", CLI_NPY_BOOL, 1},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

// "=" and no sign are the writer's own order, which numpy takes for the reader's.
static bool is_big_endian(char order)
{
    const bool native_is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return order == '>' || (order != '<' && native_is_big);
}

static cli_status take_descr(cli_npy *npy, cli_npy_header *header, cursor *c, cli_error *err)
{
    char descr[WORD_SIZE] = "";
    if (!take_string(c, descr) && *c->at != '[')
        return malformed(npy, err);
    const char *code = descr + (descr[0] != '\0' && strchr("<>=|", descr[0]) != NULL);
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].code, code) == 0) {
            npy->kind = types[i].kind;
            npy->width = types[i].width;
            header->big_endian = is_big_endian(descr[0]) && npy->width > 1;
            return CLI_OK;
        }
    return cli_fail(err,
                    "%s has elements of type %s; expected floats of 2, 4 or 8 bytes, integers or "
                    "bool",
                    npy->path, descr[0] != '\0' ? descr : "struct");
}

// ---- the dict ----------------------------------------------------------------------------------

static cli_status take_order(const cli_npy *npy, cli_npy_header *header, cursor *c, cli_error *err)
{
    header->fortran = take(c, "True");
    return header->fortran || take(c, "False") ? CLI_OK : malformed(npy, err);
}

// A tuple of sizes whose product stays small enough to be counted in bytes.
static cli_status take_shape(cli_npy *npy, cursor *c, cli_error *err)
{
    bool comma = true;
    npy->rank = 0;
    npy->count = 1;
    if (!take(c, "("))
        return malformed(npy, err);
    while (!take(c, ")")) {
        int64_t size;
        if (!comma || !take_size(c, &size))
            return malformed(npy, err);
        if (npy->rank == CLI_NPY_RANK_MAX)
            return cli_fail(err, "%s has more than %d dimensions", npy->path,
                            (int)CLI_NPY_RANK_MAX);
        if (size > 0 && npy->count > INT64_MAX / 16 / size)
            return cli_fail(err, "%s is damaged: its shape has more than 2^59 elements", npy->path);
        npy->shape[npy->rank++] = size;
        npy->count *= size;
        comma = take(c, ",");
    }
    // (3) is no tuple in Python.
    return npy->rank == 1 && !comma ? malformed(npy, err) : CLI_OK;
}

typedef struct keys_seen {
    bool descr, order, shape;
} keys_seen;

static bool is_new(bool *seen, const char *key, const char *expected)
{
    if (strcmp(key, expected) != 0 || *seen)
        return false;
    *seen = true;
    return true;
}

static cli_status take_entry(cli_npy *npy, cli_npy_header *header, keys_seen *seen, cursor *c,
                             cli_error *err)
{
    char key[WORD_SIZE];
    if (!take_string(c, key) || !take(c, ":"))
        return malformed(npy, err);
    if (is_new(&seen->descr, key, "descr"))
        return take_descr(npy, header, c, err);
    if (is_new(&seen->order, key, "fortran_order"))
        return take_order(npy, header, c, err);
    if (is_new(&seen->shape, key, "shape"))
        return take_shape(npy, c, err);
    return malformed(npy, err);
}

cli_status cli_npy_parse_header(cli_npy *npy, const char *text, size_t length,
                                cli_npy_header *header, cli_error *err)
{
    cursor c = {text};
    keys_seen seen = {false, false, false};
    bool comma = true;
    *header = (cli_npy_header){false, false};
    if (!take(&c, "{"))
        return malformed(npy, err);
    while (!take(&c, "}")) {
        if (!comma)
            return malformed(npy, err);
        CLI_TRY(take_entry(npy, header, &seen, &c, err));
        comma = take(&c, ",");
    }
    skip_spaces(&c);
    if (c.at != text + length || !seen.descr || !seen.order || !seen.shape)
        return malformed(npy, err);
    return CLI_OK;
}
