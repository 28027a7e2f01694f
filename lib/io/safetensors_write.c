/*
 * Writing safetensors files: the header's text, its padding and its digest.
 *
 * The text is built twice by the same code, first only to count. Then the reader's own rules are
 * asked whether they accept it, so that what libjem writes it also reads.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/file.h"
#include "io/header.h"
#include "io/safetensors.h"

enum { DATA_ALIGNMENT = 64 };

typedef struct text {
    char *out; // NULL = only count
    size_t size;
} text;

static void put(text *t, const char *bytes, size_t n)
{
    if (t->out != NULL)
        memcpy(t->out + t->size, bytes, n);
    t->size += n;
}

static void put_string(text *t, const char *string)
{
    put(t, string, strlen(string));
}

static void put_number(text *t, int64_t value)
{
    char digits[24];
    jemi_format(digits, sizeof digits, "%" PRId64, value);
    put_string(t, digits);
}

static void put_quoted(text *t, const char *string)
{
    put_string(t, "\"");
    for (const char *c = string; *c != '\0'; c++) {
        static const char digits[] = "0123456789abcdef";
        const char unicode[6] = {'\\', 'u', '0', '0', digits[*c >> 4 & 1], digits[*c & 15]};
        const char escaped[2] = {'\\', *c};
        if ((unsigned char)*c < 0x20)
            put(t, unicode, sizeof unicode);
        else if (*c == '"' || *c == '\\')
            put(t, escaped, sizeof escaped);
        else
            put(t, c, 1);
    }
    put_string(t, "\"");
}

static size_t bytes_of(const jemi_safetensor *tensor)
{
    size_t bytes = jemi_dtypes[tensor->dtype].bits / 8;
    for (int32_t i = 0; i < tensor->rank; i++)
        bytes *= (size_t)tensor->shape[i]; // the header's rules find an overflow
    return bytes;
}

static void put_tensor(text *t, const jemi_safetensor *tensor, size_t begin)
{
    put_string(t, ",");
    put_quoted(t, tensor->name);
    put_string(t, ":{\"dtype\":");
    put_quoted(t, jemi_dtypes[tensor->dtype].name);
    put_string(t, ",\"shape\":[");
    for (int32_t i = 0; i < tensor->rank; i++) {
        put_string(t, i > 0 ? "," : "");
        put_number(t, tensor->shape[i]);
    }
    put_string(t, "],\"data_offsets\":[");
    put_number(t, (int64_t)begin);
    put_string(t, ",");
    put_number(t, (int64_t)(begin + bytes_of(tensor)));
    put_string(t, "]}");
}

// What is to be written.
typedef struct contents {
    const jemi_safetensor *tensors;
    size_t n_tensors;
    const jemi_string_pair *metadata;
    size_t n_metadata;
} contents;

// Length, header with a digest of zeros, padding. Returns the size of the data to follow.
static size_t put_front(text *t, const contents *c, uint64_t header_size)
{
    for (int i = 0; i < 8; i++)
        put(t, &(const char){(char)(header_size >> 8 * i)}, 1);
    put_string(t, JEMI_DIGEST_PREFIX "0000000000000000\"");
    for (size_t i = 0; i < c->n_metadata; i++) {
        put_string(t, ",");
        put_quoted(t, c->metadata[i].key);
        put_string(t, ":");
        put_quoted(t, c->metadata[i].value);
    }
    put_string(t, "}");
    size_t end = 0;
    for (size_t i = 0; i < c->n_tensors; i++) {
        put_tensor(t, &c->tensors[i], end);
        end += bytes_of(&c->tensors[i]);
    }
    put_string(t, "}");
    while (t->size % DATA_ALIGNMENT != 0)
        put_string(t, " ");
    return end;
}

// JEM_EINVAL where the reader would say that the file is bad.
static jem_status check_readable(const char *front, size_t size, size_t data_size)
{
    if (size - 8 > JEMI_SAFETENSORS_HEADER_MAX)
        return jemi_fail(JEM_EINVAL, "names and metadata take %zu bytes; at most %zu can be saved",
                         size - 8, JEMI_SAFETENSORS_HEADER_MAX);
    jemi_header header;
    const jem_status status = jemi_header_read(&header, front + 8, size - 8, data_size);
    jemi_header_fini(&header);
    return status == JEM_EFORMAT ? JEM_EINVAL : status;
}

static void fill_parts(jemi_part *parts, char *front, size_t size, const contents *c)
{
    parts[0] = (jemi_part){front, size};
    uint64_t digest = jemi_digest(0, front, size);
    for (size_t i = 0; i < c->n_tensors; i++) {
        parts[i + 1] = (jemi_part){c->tensors[i].data, bytes_of(&c->tensors[i])};
        digest = jemi_digest(digest, parts[i + 1].data, parts[i + 1].size);
    }
    char digits[JEMI_DIGEST_LENGTH + 1];
    jemi_format(digits, sizeof digits, "%016" PRIx64, digest);
    memcpy(front + 8 + JEMI_DIGEST_PLACE, digits, JEMI_DIGEST_LENGTH);
}

// jemi_file_write_atomic() or jemi_file_write_keeping().
typedef jem_status (*write_fn)(const char *path, const jemi_part *parts, size_t n_parts);

static jem_status write_by(write_fn write_parts, const char *path, const contents *c)
{
    text t = {NULL, 0};
    const size_t data_size = put_front(&t, c, 0);
    const size_t size = t.size;
    jem_status status = JEM_OK;
    jemi_part *parts = NULL;
    char *front = jemi_alloc(size, 1);
    if (front == NULL)
        return jemi_fail_memory("file header");
    t = (text){front, 0};
    put_front(&t, c, size - 8);
    status = check_readable(front, size, data_size);
    if (status != JEM_OK)
        goto done;
    parts = jemi_alloc(c->n_tensors + 1, sizeof *parts);
    if (parts == NULL) {
        status = jemi_fail_memory("list of tensors");
        goto done;
    }
    fill_parts(parts, front, size, c);
    status = write_parts(path, parts, c->n_tensors + 1);
done:
    jemi_free(parts);
    jemi_free(front);
    return status;
}

jem_status jemi_safetensors_write(const char *path, const jemi_safetensor *tensors,
                                  size_t n_tensors, const jemi_string_pair *metadata,
                                  size_t n_metadata)
{
    const contents c = {tensors, n_tensors, metadata, n_metadata};
    return write_by(jemi_file_write_atomic, path, &c);
}

jem_status jemi_safetensors_write_keeping(const char *path, const jemi_safetensor *tensors,
                                          size_t n_tensors, const jemi_string_pair *metadata,
                                          size_t n_metadata)
{
    const contents c = {tensors, n_tensors, metadata, n_metadata};
    return write_by(jemi_file_write_keeping, path, &c);
}
