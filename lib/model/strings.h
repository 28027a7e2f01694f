/*
 * A small ordered map from string to string: the metadata of a model.
 */
#ifndef JEMI_MODEL_STRINGS_H
#define JEMI_MODEL_STRINGS_H

#include <jem/jem.h>

typedef struct jemi_strings_entry {
    char *key;
    char *value;
} jemi_strings_entry;

/** Zeroed = empty. Keys are unique, in the order in which they were first set. */
typedef struct jemi_strings {
    jemi_strings_entry *entries;
    int32_t count;
    int32_t capacity;
} jemi_strings;

/** Copies both; a NULL value removes the key. JEM_ENOMEM leaves the map as it was. */
jem_status jemi_strings_set(jemi_strings *strings, const char *key, const char *value);

/** NULL when there is none. Valid until the next change. */
const char *jemi_strings_get(const jemi_strings *strings, const char *key);

jem_status jemi_strings_copy(jemi_strings *strings, const jemi_strings *source);
void jemi_strings_fini(jemi_strings *strings);

#endif
