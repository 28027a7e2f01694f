/*
 * The frame of a safetensors file: the length before the header, and the file behind it.
 */
#include "io/safetensors.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/foreign.h"
#include "io/header.h"
#include "io/safetensors_digest.h"

enum { LENGTH_SIZE = 8 };

static size_t read_u64(const unsigned char bytes[LENGTH_SIZE])
{
    uint64_t value = 0;
    for (int i = LENGTH_SIZE - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value <= SIZE_MAX ? (size_t)value : SIZE_MAX;
}

// Says what else the file is, if that can be seen; else what is wrong with it as safetensors.
static jem_status fail_frame(const unsigned char *head, size_t head_size, size_t size)
{
    const char *kind = jemi_foreign_kind(head, head_size);
    if (kind != NULL)
        return jemi_fail(JEM_EFORMAT, "this is %s; expected a safetensors file", kind);
    if (size < LENGTH_SIZE)
        return jemi_fail(JEM_EFORMAT,
                         "%zu bytes are no safetensors file, which starts with its header's "
                         "length in 8",
                         size);
    const size_t header_size = read_u64(head);
    if (header_size > JEMI_SAFETENSORS_HEADER_MAX)
        return jemi_fail(JEM_EFORMAT,
                         "the safetensors header claims %zu bytes; at most %zu are read",
                         header_size, JEMI_SAFETENSORS_HEADER_MAX);
    if (header_size > size - LENGTH_SIZE)
        return jemi_fail(JEM_EFORMAT,
                         "the safetensors header claims %zu bytes, but the file ends after %zu",
                         header_size, size - LENGTH_SIZE);
    return jemi_fail(JEM_EFORMAT, "the safetensors header does not start with '{'");
}

// What the first 8 bytes of a file of `size` bytes say, unless that cannot be.
static bool read_frame(const unsigned char *head, size_t size, size_t *header_size)
{
    if (size < LENGTH_SIZE)
        return false;
    *header_size = read_u64(head);
    return *header_size > 0 && *header_size <= JEMI_SAFETENSORS_HEADER_MAX &&
           *header_size <= size - LENGTH_SIZE;
}

// ---- the header's contents ---------------------------------------------------------------------

static void take_header(jemi_safetensors *file, const jemi_header *header)
{
    file->tensors = header->tensors;
    file->n_tensors = header->n_tensors;
    file->metadata = header->metadata;
    file->n_metadata = header->n_metadata;
    file->tensors_by_name = header->tensors_by_name;
    file->metadata_by_key = header->metadata_by_key;
    file->text = header->text;
    file->data_size = header->data_size;
}

// The header within `front`; `data_size` as of jemi_header_read().
static jem_status read_header(jemi_safetensors *file, size_t data_size)
{
    const char *json = (const char *)file->front + LENGTH_SIZE;
    const size_t size = file->front_size - LENGTH_SIZE;
    jemi_header header;
    JEMI_TRY(jemi_header_read(&header, json, size, data_size));
    take_header(file, &header);
    return JEM_OK;
}

static void set_data(jemi_safetensors *file, const unsigned char *data)
{
    file->data = data;
    for (size_t i = 0; i < file->n_tensors; i++)
        file->tensors[i].data = data + file->tensors[i].begin;
}

// ---- from memory -------------------------------------------------------------------------------

static jem_status parse(const unsigned char *bytes, size_t size, jemi_safetensors *file)
{
    size_t header_size = 0;
    const size_t head_size = size < JEMI_FOREIGN_HEAD ? size : JEMI_FOREIGN_HEAD;
    if (!read_frame(bytes, size, &header_size) || bytes[LENGTH_SIZE] != '{')
        return fail_frame(bytes, head_size, size);
    file->front = bytes;
    file->front_size = LENGTH_SIZE + header_size;
    JEMI_TRY(read_header(file, size - file->front_size));
    set_data(file, bytes + file->front_size);
    return jemi_safetensors_check_digest(file, "");
}

jem_status jemi_safetensors_parse(const void *data, size_t size, jemi_safetensors *out)
{
    *out = (jemi_safetensors){0};
    const jem_status status = parse(data, size, out);
    if (status != JEM_OK)
        jemi_safetensors_fini(out);
    return status;
}

// ---- from a file -------------------------------------------------------------------------------

static jem_status fail_ends(void)
{
    return jemi_fail(JEM_EFORMAT, "the file ended while it was read: it was cut meanwhile, or a "
                                  "pipe gave less than its header says");
}

// Exactly these bytes.
static jem_status read_exactly(jemi_source *source, void *data, size_t size)
{
    size_t got;
    JEMI_TRY(jemi_source_read(source, data, size, &got));
    return got == size ? JEM_OK : fail_ends();
}

// `head` holds 8 bytes, or all there are, of a file that begins unlike any of ours. More of a pipe
// may never come.
static jem_status fail_opened(jemi_source *source, unsigned char head[JEMI_FOREIGN_HEAD],
                              size_t got)
{
    size_t more = 0;
    if (got == LENGTH_SIZE && source->kind != JEMI_SOURCE_PIPE)
        JEMI_TRY(jemi_source_read(source, head + got, JEMI_FOREIGN_HEAD - got, &more));
    const size_t size = got < LENGTH_SIZE ? got : source->size;
    return fail_frame(head, got + more, size);
}

static jem_status check_end(jemi_safetensors *file)
{
    const size_t most = file->source.size;
    if (file->data_size > most - file->front_size)
        return jemi_fail(JEM_EFORMAT,
                         "the tensors take %zu bytes; at most %zu are read from a pipe",
                         file->data_size, most);
    return JEM_OK;
}

static jem_status read_front(jemi_safetensors *file)
{
    jemi_source *source = &file->source;
    unsigned char head[JEMI_FOREIGN_HEAD];
    size_t got, header_size = 0;
    JEMI_TRY(jemi_source_read(source, head, LENGTH_SIZE, &got));
    if (got < LENGTH_SIZE || !read_frame(head, source->size, &header_size))
        return fail_opened(source, head, got);
    file->front_size = LENGTH_SIZE + header_size;
    unsigned char *front = file->owned[0] = jemi_alloc(file->front_size, 1);
    if (front == NULL)
        return jemi_fail_memory("header of a file");
    file->front = memcpy(front, head, LENGTH_SIZE);
    JEMI_TRY(read_exactly(source, front + LENGTH_SIZE, header_size));
    if (front[LENGTH_SIZE] != '{')
        return fail_frame(
            front, file->front_size < JEMI_FOREIGN_HEAD ? file->front_size : JEMI_FOREIGN_HEAD,
            source->size);
    JEMI_TRY(read_header(file, source->kind == JEMI_SOURCE_PIPE ? JEMI_DATA_SIZE_UNKNOWN
                                                                : source->size - file->front_size));
    return source->kind == JEMI_SOURCE_PIPE ? check_end(file) : JEM_OK;
}

jem_status jemi_safetensors_open(const char *path, jemi_safetensors *out)
{
    *out = (jemi_safetensors){0};
    JEMI_TRY(jemi_source_open(&out->source, path));
    const jem_status status = read_front(out);
    if (status != JEM_OK)
        jemi_safetensors_fini(out);
    return status;
}

// All bytes behind the header, and no more than those.
static jem_status read_data(jemi_safetensors *file)
{
    unsigned char *data = file->owned[1] = jemi_alloc(file->data_size, 1);
    if (data == NULL)
        return jemi_fail_memory("contents of a file");
    JEMI_TRY(read_exactly(&file->source, data, file->data_size));
    char byte;
    size_t got;
    JEMI_TRY(jemi_source_read(&file->source, &byte, 1, &got));
    if (got > 0)
        return jemi_safetensors_fail_goes_on(file);
    set_data(file, data);
    jemi_source_close(&file->source);
    return JEM_OK;
}

jem_status jemi_safetensors_load(jemi_safetensors *file, jem_status fits, const char *remedy)
{
    if (file->data != NULL)
        return fits;
    if (fits == JEM_OK) {
        JEMI_TRY(read_data(file));
        return jemi_safetensors_check_digest(file, remedy);
    }
    const jemi_failure failure = jemi_failure_save(fits);
    JEMI_TRY(jemi_safetensors_check_digest(file, remedy));
    return jemi_failure_restore(&failure);
}

jem_status jemi_safetensors_pull(jemi_safetensors *file, const jemi_safetensor *tensor, void *bytes)
{
    if (file->data != NULL) {
        memcpy(bytes, tensor->data, tensor->bytes);
        return JEM_OK;
    }
    JEMI_TRY(jemi_source_skip(&file->source, tensor->begin - file->at));
    JEMI_TRY(read_exactly(&file->source, bytes, tensor->bytes));
    file->at = tensor->begin + tensor->bytes;
    return JEM_OK;
}

jem_status jemi_safetensors_read(const char *path, jemi_safetensors *out)
{
    JEMI_TRY(jemi_safetensors_open(path, out));
    const jem_status status = jemi_safetensors_load(out, JEM_OK, "");
    if (status != JEM_OK)
        jemi_safetensors_fini(out);
    return status;
}

void jemi_safetensors_fini(jemi_safetensors *file)
{
    jemi_source_close(&file->source);
    jemi_free(file->tensors);
    jemi_free(file->metadata);
    jemi_free(file->tensors_by_name);
    jemi_free(file->metadata_by_key);
    jemi_free(file->text);
    jemi_free(file->owned[0]);
    jemi_free(file->owned[1]);
    *file = (jemi_safetensors){0};
}
