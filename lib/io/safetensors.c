/*
 * The frame of a safetensors file: the length before the header, the digest over everything, and
 * the lookups by name.
 */
#include "io/safetensors.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/file.h"
#include "io/file_read.h"
#include "io/header.h"

static size_t read_u64(const unsigned char bytes[8])
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value <= SIZE_MAX ? (size_t)value : SIZE_MAX;
}

static jem_status check_frame(const unsigned char *file, size_t size, size_t *header_size)
{
    if (size < 8)
        return jemi_fail(JEM_EFORMAT,
                         "%zu bytes are no safetensors file, which starts with its header's "
                         "length in 8",
                         size);
    *header_size = read_u64(file);
    if (*header_size > JEMI_SAFETENSORS_HEADER_MAX)
        return jemi_fail(JEM_EFORMAT,
                         "the safetensors header claims %zu bytes; at most %zu are read",
                         *header_size, JEMI_SAFETENSORS_HEADER_MAX);
    if (*header_size > size - 8)
        return jemi_fail(JEM_EFORMAT,
                         "the safetensors header claims %zu bytes, but the file ends after %zu",
                         *header_size, size - 8);
    return JEM_OK;
}

// The file with the digits of its digest read as zeros.
static uint64_t digest_of(const unsigned char *file, size_t size)
{
    static const char zeros[] = "0000000000000000";
    const size_t place = 8 + JEMI_DIGEST_PLACE;
    const uint64_t before = jemi_digest(0, file, place);
    const uint64_t blanked = jemi_digest(before, zeros, JEMI_DIGEST_LENGTH);
    const size_t after = place + JEMI_DIGEST_LENGTH;
    return jemi_digest(blanked, file + after, size - after);
}

// Takes the digest's two keys out of the metadata. They are the first two.
static void hide_digest(jemi_safetensors *file)
{
    size_t n = 0;
    for (size_t i = 0; i < file->n_metadata; i++)
        if (file->metadata_by_key[i] >= 2)
            file->metadata_by_key[n++] = file->metadata_by_key[i] - 2;
    file->n_metadata = n;
    memmove(file->metadata, file->metadata + 2, n * sizeof file->metadata[0]);
}

// Each of the two keys demands the other, so that no single flipped bit makes the digest vanish.
static jem_status check_digest(jemi_safetensors *file, const unsigned char *bytes, size_t size)
{
    const char *kind = jemi_safetensors_metadata(file, JEMI_DIGEST_KIND_KEY);
    const char *value = jemi_safetensors_metadata(file, JEMI_DIGEST_KEY);
    if (kind == NULL && value == NULL)
        return JEM_OK;
    if (kind == NULL || value == NULL)
        return jemi_fail(JEM_EFORMAT, "the file is damaged: it has one of %s and %s, not both",
                         JEMI_DIGEST_KEY, JEMI_DIGEST_KIND_KEY);
    if (strcmp(kind, JEMI_DIGEST_KIND) != 0)
        return jemi_fail(JEM_EUNSUPPORTED, "the file's digest is of another kind than %s",
                         JEMI_DIGEST_KIND);
    if (memcmp(bytes + 8, JEMI_DIGEST_PREFIX, JEMI_DIGEST_PLACE) != 0 ||
        strlen(value) != JEMI_DIGEST_LENGTH)
        return jemi_fail(JEM_EFORMAT, "the file's digest is not where and as libjem writes it");
    char actual[JEMI_DIGEST_LENGTH + 1];
    jemi_format(actual, sizeof actual, "%016" PRIx64, digest_of(bytes, size));
    if (strcmp(actual, value) != 0)
        return jemi_fail(JEM_EFORMAT, "the file is damaged: its digest is %s, not %s as it says",
                         actual, value);
    file->has_digest = true;
    hide_digest(file);
    return JEM_OK;
}

// Takes over what the header holds, except its entries: tensors with data come in their place.
static jem_status take_header(jemi_safetensors *file, jemi_header *header,
                              const unsigned char *data)
{
    file->tensors = jemi_alloc(header->n_entries, sizeof file->tensors[0]);
    if (file->tensors == NULL) {
        jemi_header_fini(header);
        return jemi_fail_memory("list of tensors");
    }
    for (size_t i = 0; i < header->n_entries; i++) {
        file->tensors[i] = header->entries[i].tensor;
        file->tensors[i].data = data + header->entries[i].begin;
    }
    jemi_free(header->entries);
    file->n_tensors = header->n_entries;
    file->metadata = header->metadata;
    file->n_metadata = header->n_metadata;
    file->tensors_by_name = header->entries_by_name;
    file->metadata_by_key = header->metadata_by_key;
    file->text = header->text;
    return JEM_OK;
}

jem_status jemi_safetensors_parse(const void *data, size_t size, jemi_safetensors *out)
{
    *out = (jemi_safetensors){0};
    const unsigned char *bytes = data;
    size_t header_size = 0;
    JEMI_TRY(check_frame(bytes, size, &header_size));
    jemi_header header;
    JEMI_TRY(
        jemi_header_read(&header, (const char *)bytes + 8, header_size, size - 8 - header_size));
    JEMI_TRY(take_header(out, &header, bytes + 8 + header_size));
    const jem_status status = check_digest(out, bytes, size);
    if (status != JEM_OK)
        jemi_safetensors_fini(out);
    return status;
}

jem_status jemi_safetensors_read(const char *path, size_t size_max, jemi_safetensors *out)
{
    *out = (jemi_safetensors){0};
    void *data;
    size_t size;
    JEMI_TRY(jemi_file_read(path, size_max, &data, &size));
    const jem_status status = jemi_safetensors_parse(data, size, out);
    if (status == JEM_OK)
        out->owned = data;
    else
        jemi_free(data);
    return status;
}

void jemi_safetensors_fini(jemi_safetensors *file)
{
    jemi_free(file->tensors);
    jemi_free(file->metadata);
    jemi_free(file->tensors_by_name);
    jemi_free(file->metadata_by_key);
    jemi_free(file->text);
    jemi_free(file->owned);
    *file = (jemi_safetensors){0};
}

const jemi_safetensor *jemi_safetensors_find(const jemi_safetensors *file, const char *name)
{
    size_t low = 0, high = file->n_tensors;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const jemi_safetensor *tensor = &file->tensors[file->tensors_by_name[middle]];
        const int order = strcmp(name, tensor->name);
        if (order == 0)
            return tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *jemi_safetensors_metadata(const jemi_safetensors *file, const char *key)
{
    size_t low = 0, high = file->n_metadata;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const jemi_string_pair *pair = &file->metadata[file->metadata_by_key[middle]];
        const int order = strcmp(key, pair->key);
        if (order == 0)
            return pair->value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
