/*
 * Lookups are binary searches in the permutations that the header's reader has sorted.
 */
#include "io/safetensors_parts.h"

#include <string.h>

#include "base/status.h"

jem_status jemi_safetensors_fail_goes_on(const jemi_safetensors *file)
{
    return jemi_fail(JEM_EFORMAT, "the tensors take %zu bytes, but the file goes on after them",
                     file->data_size);
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
