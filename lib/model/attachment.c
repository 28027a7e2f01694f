/*
 * One block of memory: the list of arrays, the list of strings, the values, the text.
 */
#include "model/attachment.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

struct jemi_attachment {
    atomic_int references;
    size_t bytes;
    jemi_attached parts;
};

enum { ALIGNMENT = 64 };

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static size_t padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t array_bytes(const jemi_safetensor *array)
{
    size_t bytes = array->dtype == JEMI_I64 ? sizeof(int64_t) : sizeof(float);
    for (int32_t d = 0; d < array->rank; d++)
        bytes *= (size_t)array->shape[d];
    return bytes;
}

static size_t count_bytes(const jemi_attached *parts)
{
    size_t bytes = padded(sizeof(jemi_attachment)) +
                   padded(parts->n_arrays * sizeof *parts->arrays) +
                   padded(parts->n_strings * sizeof *parts->strings);
    for (size_t i = 0; i < parts->n_arrays; i++)
        bytes += padded(array_bytes(&parts->arrays[i])) + strlen(parts->arrays[i].name) + 1;
    for (size_t i = 0; i < parts->n_strings; i++)
        bytes += strlen(parts->strings[i].key) + strlen(parts->strings[i].value) + 2;
    return bytes;
}

static void *take(char **place, const void *from, size_t bytes, size_t room)
{
    void *to = *place;
    if (bytes > 0)
        memcpy(to, from, bytes);
    *place += room;
    return to;
}

static char *take_text(char **place, const char *text)
{
    const size_t size = strlen(text) + 1;
    return take(place, text, size, size);
}

static void copy_parts(jemi_attached *to, const jemi_attached *from, char *place)
{
    const size_t arrays = from->n_arrays * sizeof *from->arrays;
    const size_t strings = from->n_strings * sizeof *from->strings;
    *to = *from;
    to->arrays = take(&place, from->arrays, arrays, padded(arrays));
    to->strings = take(&place, from->strings, strings, padded(strings));
    for (size_t i = 0; i < to->n_arrays; i++) {
        const size_t bytes = array_bytes(&from->arrays[i]);
        to->arrays[i].data = take(&place, from->arrays[i].data, bytes, padded(bytes));
        to->arrays[i].bytes = bytes;
    }
    for (size_t i = 0; i < to->n_arrays; i++)
        to->arrays[i].name = take_text(&place, from->arrays[i].name);
    for (size_t i = 0; i < to->n_strings; i++) {
        to->strings[i].key = take_text(&place, from->strings[i].key);
        to->strings[i].value = take_text(&place, from->strings[i].value);
    }
}

jem_status jemi_attachment_create(jemi_attachment **out, const jemi_attached *parts)
{
    const size_t bytes = count_bytes(parts);
    jemi_attachment *attachment = jemi_alloc(bytes, 1);
    if (attachment == NULL)
        return jemi_fail_memory("detector of a model");
    atomic_init(&attachment->references, 1);
    attachment->bytes = bytes;
    copy_parts(&attachment->parts, parts, (char *)attachment + padded(sizeof *attachment));
    *out = attachment;
    return JEM_OK;
}

jemi_attachment *jemi_attachment_share(jemi_attachment *attachment)
{
    if (attachment != NULL)
        atomic_fetch_add_explicit(&attachment->references, 1, memory_order_relaxed);
    return attachment;
}

void jemi_attachment_release(jemi_attachment *attachment)
{
    if (attachment != NULL &&
        atomic_fetch_sub_explicit(&attachment->references, 1, memory_order_acq_rel) == 1)
        jemi_free(attachment);
}

const jemi_attached *jemi_attachment_parts(const jemi_attachment *attachment)
{
    return &attachment->parts;
}

size_t jemi_attachment_bytes(const jemi_attachment *attachment)
{
    return attachment != NULL ? attachment->bytes : 0;
}

const jemi_safetensor *jemi_attached_array(const jemi_attached *parts, const char *name)
{
    for (size_t i = 0; i < parts->n_arrays; i++)
        if (strcmp(parts->arrays[i].name, name) == 0)
            return &parts->arrays[i];
    return NULL;
}

const char *jemi_attached_string(const jemi_attached *parts, const char *key)
{
    for (size_t i = 0; i < parts->n_strings; i++)
        if (strcmp(parts->strings[i].key, key) == 0)
            return parts->strings[i].value;
    return NULL;
}

bool jemi_attached_owns(const char *name)
{
    return starts_with(name, JEMI_ATTACHED_ARRAY);
}

// The file's own, in the file's order; `parts` has room for all that the file has.
static jem_status gather(const jemi_safetensors *file, jemi_attached *parts)
{
    for (size_t i = 0; i < file->n_tensors; i++) {
        const jemi_safetensor *tensor = &file->tensors[i];
        if (!jemi_attached_owns(tensor->name))
            continue;
        if (tensor->dtype != JEMI_F32 && tensor->dtype != JEMI_I64)
            return jemi_fail(JEM_EFORMAT, "tensor '%s' holds %s; expected F32 or I64", tensor->name,
                             jemi_dtype_name(tensor->dtype));
        parts->arrays[parts->n_arrays++] = *tensor;
    }
    for (size_t i = 0; i < file->n_metadata; i++)
        if (starts_with(file->metadata[i].key, JEMI_ATTACHED_STRING))
            parts->strings[parts->n_strings++] = file->metadata[i];
    return JEM_OK;
}

jem_status jemi_attachment_read(jemi_attachment **out, const jemi_safetensors *file)
{
    jemi_attached parts = {0};
    *out = NULL;
    parts.arrays = jemi_alloc(file->n_tensors, sizeof *parts.arrays);
    parts.strings = jemi_alloc(file->n_metadata, sizeof *parts.strings);
    jem_status status = parts.arrays != NULL && parts.strings != NULL
                            ? gather(file, &parts)
                            : jemi_fail_memory("detector of a model file");
    if (status == JEM_OK && parts.n_arrays + parts.n_strings > 0)
        status = jemi_attachment_create(out, &parts);
    jemi_free(parts.arrays);
    jemi_free(parts.strings);
    return status;
}
