/*
 * Fuzzing of the .npy reader. What is accepted is written anew in the plainest dress and must be
 * read back as the same array; its values as floats must be finite and its labels in range.
 */
#include <math.h>
#include <string.h>

#include "data_files.h"
#include "npy.h"

static const char *const texts[] = {
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
    "{'descr': '>i2', 'fortran_order': True, 'shape': (3, 2), }",
    "{\"shape\": (6L,), u'descr': '|u1', 'fortran_order':False}",
    "{'descr': '=u8', 'fortran_order': True, 'shape': (), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (0, 1, 8, 8), }",
    "{'descr': '?', 'fortran_order': False, 'shape': (1, 2, 1, 3), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1, 2, 3), }",
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };
static const int element_bytes[N_TEXTS] = {24, 12, 6, 8, 0, 6, 48};

static void write_npy(fuzz_input *out, int version, const char *text, const void *elements,
                      size_t n_bytes)
{
    const size_t length = strlen(text), lead = version > 1 ? 12 : 10;
    memcpy(out->bytes, "\x93NUMPY", 6);
    out->bytes[6] = (uint8_t)version;
    out->bytes[7] = 0;
    for (size_t i = 8; i < lead; i++)
        out->bytes[i] = (uint8_t)(length >> 8 * (i - 8));
    memcpy(out->bytes + lead, text, length);
    if (n_bytes > 0)
        memcpy(out->bytes + lead + length, elements, n_bytes);
    out->size = lead + length + n_bytes;
}

// The byte that says whether the file is packed.
static void wrap(fuzz_input *out)
{
    memmove(out->bytes + 1, out->bytes, out->size++);
    out->bytes[0] = 0;
}

static bool make_seed(int i, fuzz_input *out)
{
    uint8_t elements[64];
    if (i >= N_TEXTS)
        return false;
    for (int k = 0; k < 64; k++)
        elements[k] = (uint8_t)(k % 2); // small numbers of any type
    write_npy(out, 1 + i % 3, texts[i], elements, (size_t)element_bytes[i]);
    wrap(out);
    return true;
}

static void make_large(size_t size, fuzz_input *out)
{
    static const uint8_t elements[FUZZ_SIZE_MAX];
    char text[128];
    const size_t n_bytes = (size - 256) / 8 * 8;
    snprintf(text, sizeof text, "{'descr': '>i2', 'fortran_order': True, 'shape': (%zu, 2, 2), }",
             n_bytes / 8);
    write_npy(out, 1, text, elements, n_bytes);
    wrap(out);
}

static const char *const words[] = {
    "'descr':",
    "'shape':",
    "'fortran_order':",
    "True",
    "False",
    "'<f4'",
    "'>f8'",
    "'<f2'",
    "'|i1'",
    "'u8'",
    "\"",
    "'",
    "u",
    "L",
    "(",
    ")",
    ",",
    ":",
    "{",
    "}",
    "0",
    "1",
    "-1",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    " ",
    "\n",
    "\xff",
    "[('a', '<f4')]",
    "\x93NUMPY",
    "\x1f\x8b",
    NULL,
};

// The same array in version 1.0, C order and this machine's byte order.
static void check_again(const cli_npy *npy, const fuzz_file *file)
{
    static const char kinds[] = {'f', 'i', 'u', 'b'};
    static uint8_t plain[2 * FUZZ_SIZE_MAX];
    const size_t n_bytes = (size_t)(npy->count * npy->width);
    fuzz_input out = {plain, 0};
    char shape[128], text[256];
    cli_error err;
    cli_npy again;
    if (n_bytes > FUZZ_SIZE_MAX)
        return; // many zeros, packed
    cli_npy_shape_text(npy, shape, sizeof shape);
    snprintf(text, sizeof text, "{'descr': '=%c%d', 'fortran_order': False, 'shape': %s}",
             kinds[npy->kind], npy->width, shape);
    write_npy(&out, 1, text, npy->data, n_bytes);
    fuzz_file_fill(file, out.bytes, out.size);
    MUST(cli_npy_read(&again, file->path, &err) == CLI_OK);
    MUST(again.kind == npy->kind && again.width == npy->width && again.rank == npy->rank);
    MUST(memcmp(again.shape, npy->shape, (size_t)npy->rank * sizeof npy->shape[0]) == 0);
    MUST(again.count == npy->count && memcmp(again.data, npy->data, n_bytes) == 0);
    cli_npy_free(&again);
}

static void check_values(const cli_npy *npy)
{
    cli_error err;
    float *values = malloc((size_t)npy->count * sizeof *values + 1);
    MUST(values != NULL);
    if (cli_npy_to_floats(npy, 0, npy->count, values, &err) == CLI_OK)
        for (int64_t i = 0; i < npy->count; i++)
            MUST(isfinite(values[i]));
    free(values);
    int64_t *labels = NULL;
    if (cli_npy_to_labels(npy, &labels, &err) == CLI_OK)
        for (int64_t i = 0; i < npy->count; i++)
            MUST(labels[i] >= 0 && labels[i] <= INT32_MAX);
    free(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_file file = {.fd = 0};
    fuzz_input content;
    cli_error err;
    cli_npy npy;
    fuzz_unwrap(data, size, &content);
    if (file.fd == 0)
        file = fuzz_file_open("npy");
    fuzz_file_fill(&file, content.bytes, content.size);
    if (cli_npy_read(&npy, file.path, &err) != CLI_OK) {
        MUST(npy.data == NULL);
        return 0;
    }
    check_values(&npy);
    check_again(&npy, &file);
    cli_npy_free(&npy);
    fuzz_accepted++;
    return 0;
}

const fuzz_target fuzz_this = {"fuzz_npy", make_seed, make_large, words};
