/*
 * Fuzzing of the readers of CIFAR: the input is a file of records, and also an archive of tar,
 * plain or packed.
 */
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "data_files.h"

enum { RECORD = 1 + 3 * 32 * 32, RECORD_100 = RECORD + 1, BLOCK = 512 };

// A header of tar, its sum included.
static void write_header(uint8_t *block, const char *name, int size)
{
    unsigned sum = 0;
    memset(block, 0, BLOCK);
    snprintf((char *)block, 100, "cifar/%s", name);
    snprintf((char *)block + 124, 12, "%011o", (unsigned)size);
    block[156] = '0';
    memset(block + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += block[i];
    snprintf((char *)block + 148, 8, "%06o", sum);
}

static void write_archive(fuzz_input *out, const char *name, int size)
{
    const size_t padded = (size_t)(size + BLOCK - 1) / BLOCK * BLOCK;
    uint8_t *at = out->bytes + 1; // behind the byte that says whether the file is packed
    out->size = 1 + 4 * BLOCK + padded;
    memset(out->bytes, 0, out->size);
    write_header(at, "readme.html", 10);
    write_header(at + 2 * BLOCK, name, size);
    memset(at + 3 * BLOCK, 1, (size_t)size);
}

static void write_records(fuzz_input *out, size_t n)
{
    out->size = 1 + n * RECORD;
    memset(out->bytes, 8, out->size); // a valid label, too
}

static bool make_seed(int i, fuzz_input *out)
{
    if (i / 2 == 0)
        write_records(out, 2);
    else if (i / 2 == 1)
        write_archive(out, "test_batch.bin", RECORD);
    else
        write_archive(out, "test.bin", RECORD_100);
    out->bytes[0] = (uint8_t)(i % 2);
    return i < 6;
}

static void make_large(size_t size, fuzz_input *out)
{
    const size_t n = size / RECORD > 2 ? size / RECORD - 1 : 1;
    if (n % 2 == 0)
        write_archive(out, "test_batch.bin", RECORD * (int)n);
    else
        write_records(out, n);
}

static const char *const words[] = {
    "test_batch.bin", "test.bin", "/",    "00000000001",      "77777777777",  "00000006001",
    "ustar",          "L",        "\x80", "\xff\xff\xff\xff", "\x1f\x8b\x08", NULL,
};

static bool load(const char *path)
{
    cli_data found;
    cli_error err;
    if (cli_data_load(&found, path, CLI_TEST, 0, &err) != CLI_OK)
        return false;
    MUST(found.n > 0 && cli_data_row_size(&found) == RECORD - 1);
    uint32_t sum = 0;
    for (int64_t i = 0; i < found.n * cli_data_row_size(&found); i++)
        sum += found.bytes[i]; // for the sanitizer
    for (int64_t i = 0; i < found.n; i++)
        MUST(found.labels[i] >= 0 && found.labels[i] < found.classes);
    MUST(sum <= 255u * (uint32_t)FUZZ_SIZE_MAX * 1032u);
    cli_data_free(&found);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char archive[128];
    fuzz_input content;
    fuzz_unwrap(data, size, &content);
    snprintf(archive, sizeof archive, "%s/c.tar", fuzz_folder());
    fuzz_folder_fill("test_batch.bin", content.bytes, content.size);
    fuzz_folder_fill("c.tar", content.bytes, content.size);
    fuzz_accepted += load(fuzz_folder()) || load(archive);
    return 0;
}

const fuzz_target fuzz_this = {"fuzz_cifar", make_seed, make_large, words};
