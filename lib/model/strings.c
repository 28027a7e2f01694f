/*
 * Linear search: a model carries a handful of strings.
 */
#include "model/strings.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

static int32_t find(const jemi_strings *strings, const char *key)
{
    for (int32_t i = 0; i < strings->count; i++)
        if (strcmp(strings->entries[i].key, key) == 0)
            return i;
    return -1;
}

static void remove_at(jemi_strings *strings, int32_t index)
{
    jemi_free(strings->entries[index].key);
    jemi_free(strings->entries[index].value);
    strings->count--;
    memmove(&strings->entries[index], &strings->entries[index + 1],
            (size_t)(strings->count - index) * sizeof strings->entries[0]);
}

static bool reserve_one(jemi_strings *strings)
{
    if (strings->count < strings->capacity)
        return true;
    const int32_t capacity = strings->capacity == 0 ? 8 : 2 * strings->capacity;
    jemi_strings_entry *entries = jemi_alloc((size_t)capacity, sizeof *entries);
    if (entries == NULL)
        return false;
    if (strings->count > 0)
        memcpy(entries, strings->entries, (size_t)strings->count * sizeof *entries);
    jemi_free(strings->entries);
    strings->entries = entries;
    strings->capacity = capacity;
    return true;
}

jem_status jemi_strings_set(jemi_strings *strings, const char *key, const char *value)
{
    const int32_t index = find(strings, key);
    if (value == NULL) {
        if (index >= 0)
            remove_at(strings, index);
        return JEM_OK;
    }
    char *value_copy = jemi_strdup(value);
    char *key_copy = index < 0 ? jemi_strdup(key) : NULL;
    if (value_copy == NULL || (index < 0 && (key_copy == NULL || !reserve_one(strings)))) {
        jemi_free(value_copy);
        jemi_free(key_copy);
        return jemi_fail_memory("metadata");
    }
    if (index >= 0) {
        jemi_free(strings->entries[index].value);
        strings->entries[index].value = value_copy;
    } else {
        strings->entries[strings->count++] = (jemi_strings_entry){key_copy, value_copy};
    }
    return JEM_OK;
}

const char *jemi_strings_get(const jemi_strings *strings, const char *key)
{
    const int32_t index = find(strings, key);
    return index >= 0 ? strings->entries[index].value : NULL;
}

jem_status jemi_strings_copy(jemi_strings *strings, const jemi_strings *source)
{
    for (int32_t i = 0; i < source->count; i++)
        JEMI_TRY(jemi_strings_set(strings, source->entries[i].key, source->entries[i].value));
    return JEM_OK;
}

void jemi_strings_fini(jemi_strings *strings)
{
    while (strings->count > 0)
        remove_at(strings, strings->count - 1);
    jemi_free(strings->entries);
    *strings = (jemi_strings){0};
}
