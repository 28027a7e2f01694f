/*
 * Files in memory (memfd_create) have a path as others do, and cost no disk.
 */
#define _GNU_SOURCE
#include "frame.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/digest.h"
#include "io/header.h"

const char *const frame_words[] = {
    "\"",
    "{}",
    "[]",
    ",",
    ":",
    "0",
    "1",
    "9223372036854775807",
    "18446744073709551616",
    "-1",
    "1e0",
    "1.0",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\",
    "null",
    "\"F32\"",
    "\"F64\"",
    "\"F16\"",
    "\"BOOL\"",
    "\"?\"",
    "\"shape\":[1]",
    "\"a\":",
    "\"a\":{\"dtype\":\"BOOL\",\"shape\":[0],\"data_offsets\":[0,0]},",
    "__metadata__",
    "jem.digest",
    "\"jem.mean\":\"[0,1]\",",
    "\"jem.class_names\":\"[\\\"a\\\",\\\"b\\\"]\",",
    " ",
    "\xE2\x82\xAC",
    "\xC2\x9B",
    "\xE2\x80\xAE",
    "\xFF",
    "[[[[",
    "16",
    "8",
    "nan",
    "inf",
    NULL,
};

static void set_digest(uint8_t *file, size_t size)
{
    const size_t place = 8 + JEMI_DIGEST_PLACE;
    if (size < place + JEMI_DIGEST_LENGTH ||
        memcmp(file + 8, JEMI_DIGEST_PREFIX, JEMI_DIGEST_PLACE) != 0)
        return;
    char digits[JEMI_DIGEST_LENGTH + 1];
    memset(file + place, '0', JEMI_DIGEST_LENGTH);
    snprintf(digits, sizeof digits, "%016" PRIx64, jemi_digest(0, file, size));
    memcpy(file + place, digits, JEMI_DIGEST_LENGTH);
}

uint8_t *frame_make(const uint8_t *data, size_t size, size_t *file_size)
{
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    const uint64_t header_size = nul != NULL ? (uint64_t)(nul - data) : size;
    const size_t data_size = nul != NULL ? size - header_size - 1 : 0;
    *file_size = 8 + header_size + data_size;
    uint8_t *file = malloc(*file_size);
    MUST(file != NULL);
    memcpy(file, &header_size, 8);
    if (size > 0)
        memcpy(file + 8, data, header_size);
    if (data_size > 0)
        memcpy(file + 8 + header_size, nul + 1, data_size);
    set_digest(file, *file_size);
    return file;
}

void frame_undo(const uint8_t *file, size_t file_size, fuzz_input *input)
{
    uint64_t header_size;
    memcpy(&header_size, file, 8);
    MUST(file_size < FUZZ_SIZE_MAX && header_size <= file_size - 8);
    memcpy(input->bytes, file + 8, header_size);
    input->bytes[header_size] = '\0';
    memcpy(input->bytes + header_size + 1, file + 8 + header_size, file_size - 8 - header_size);
    input->size = file_size - 7;
}

const char *frame_path(const uint8_t *file, size_t size)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        MUST(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, file, size, 0) == (ssize_t)size);
    return path;
}

static void put(fuzz_input *input, const char *text)
{
    const size_t n = strlen(text);
    memcpy(input->bytes + input->size, text, n);
    input->size += n;
}

// `front` is the beginning of a header, in its metadata, after a comma or the brace.
void frame_large(size_t size, const char *front, fuzz_input *input)
{
    char text[96];
    input->size = 0;
    put(input, front);
    for (unsigned i = 0; input->size < size / 2; i++) {
        snprintf(text, sizeof text, "\"%x\":\"\",", i * 2654435761u);
        put(input, text);
    }
    put(input, "\"last\":\"\"}");
    for (unsigned i = 0; input->size + sizeof text < size; i++) {
        snprintf(text, sizeof text,
                 ",\"%x\":{\"dtype\":\"F32\",\"shape\":[0],"
                 "\"data_offsets\":[0,0]}",
                 i * 2654435761u);
        put(input, text);
    }
    put(input, "}");
}
