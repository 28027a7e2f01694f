/*
 * An ordered map from string to string: the metadata of a model.
 *
 * Keys come from files, a million of them if a stranger likes: nothing takes longer than a search in
 * a balanced tree.
 */
#ifndef JEMI_MODEL_STRINGS_H
#define JEMI_MODEL_STRINGS_H

#include <stddef.h>

#include <jem/jem.h>

typedef struct jemi_string_entry {
    const char *key;
    const char *value;              /* NULL = removed; the entry stays until they are many */
    char *later_value;              /* the block of a value that replaced the first */
    struct jemi_string_entry *next; /* in the order in which keys were first set */
    struct jemi_string_entry *left, *right;
    int32_t level; /* of an AA tree */
} jemi_string_entry;

/** Zeroed = empty. */
typedef struct jemi_strings {
    size_t count;
    /* Private. */
    size_t n_removed;
    jemi_string_entry *first, *last, *root;
} jemi_strings;

/** Copies both; a NULL value removes the key. JEM_ENOMEM leaves the map as it was. */
jem_status jemi_strings_set(jemi_strings *strings, const char *key, const char *value);

/** NULL when there is none. Valid until the next change. */
const char *jemi_strings_get(const jemi_strings *strings, const char *key);

/** The entry after `entry`, or the first for NULL; NULL when there are no more. */
const jemi_string_entry *jemi_strings_next(const jemi_strings *strings,
                                           const jemi_string_entry *entry);

/** The entry after that of a key, or the first for NULL; NULL when there is no such key, or no more. */
const jemi_string_entry *jemi_strings_after(const jemi_strings *strings, const char *key);

jem_status jemi_strings_copy(jemi_strings *strings, const jemi_strings *source);
void jemi_strings_fini(jemi_strings *strings);

#endif
