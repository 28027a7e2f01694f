/*
 * Fuzzing of the reader of IDX files, plain and packed. The input is cut in two, the images and the
 * labels of a folder.
 */
#include <string.h>

#include "data.h"
#include "data_files.h"

enum { PIXELS = 2 * 4, LEAD = 5 };

// How the input is packed, and where it is cut, low byte first.
static void write_idx(size_t n, fuzz_input *out)
{
    static const uint8_t images[16] = {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4};
    static const uint8_t labels[8] = {0, 0, 8, 1, 0, 0, 0, 0};
    const size_t images_size = sizeof images + n * PIXELS;
    uint8_t *at = out->bytes + LEAD;
    out->size = LEAD + images_size + sizeof labels + n;
    memset(out->bytes, 0, out->size);
    memcpy(at, images, sizeof images);
    memcpy(at + images_size, labels, sizeof labels);
    for (int i = 0; i < 3; i++)
        out->bytes[1 + i] = (uint8_t)(images_size >> 8 * i);
    for (int i = 0; i < 4; i++)
        at[7 - i] = at[images_size + 7 - (size_t)i] = (uint8_t)(n >> 8 * i);
}

static bool make_seed(int i, fuzz_input *out)
{
    if (i < 2)
        write_idx(3, out);
    out->bytes[0] = (uint8_t)(i * 3); // plain; both packed
    return i < 2;
}

static void make_large(size_t size, fuzz_input *out)
{
    write_idx((size - LEAD - 24) / (PIXELS + 1), out);
}

// Without the NULs that end a C string; flips make those.
static const char *const words[] = {
    "\x08\x01", "\x08\x03", "\xff\xff\xff\xff", "\x7f\xff\xff\xff", "\x80", "\x1f\x8b\x08",
    "\x04",     NULL,
};

static void check(const cli_data *data)
{
    uint32_t sum = 0;
    MUST(data->n > 0 && data->channels == 1 && data->height > 0 && data->width > 0);
    for (int64_t i = 0; i < data->n * cli_data_row_size(data); i++)
        sum += data->bytes[i]; // for the sanitizer
    for (int64_t i = 0; i < data->n; i++)
        MUST(data->labels[i] >= 0 && data->labels[i] <= 255);
    MUST(sum <= 255u * (uint32_t)FUZZ_SIZE_MAX * 1032u);
}

// One of the two files, packed if the bit of the first byte says so.
static void fill(const char *name, bool packed, const uint8_t *data, size_t size)
{
    static uint8_t bytes[FUZZ_SIZE_MAX];
    fuzz_input content = {bytes, size};
    if (size > 0)
        memcpy(bytes, data, size);
    if (packed)
        fuzz_pack(&content);
    fuzz_folder_fill(name, content.bytes, content.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < LEAD)
        return 0;
    const size_t rest = size - LEAD;
    size_t cut = (size_t)data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
    cut = cut < rest ? cut : rest;
    fill("train-images-idx3-ubyte", data[0] & 1, data + LEAD, cut);
    fill("train-labels.idx1-ubyte", data[0] & 2, data + LEAD + cut, rest - cut);
    cli_data found;
    cli_error err;
    if (cli_data_load(&found, fuzz_folder(), CLI_TRAIN, 0, &err) != CLI_OK)
        return 0;
    check(&found);
    cli_data_free(&found);
    fuzz_accepted++;
    return 0;
}

const fuzz_target fuzz_this = {"fuzz_idx", make_seed, make_large, words};
