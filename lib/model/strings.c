/*
 * A list in the order of the keys' first setting, and an AA tree (Andersson 1993) over it: a
 * red-black tree whose red links lean right, so that two rotations keep it balanced. No choice of
 * keys makes it deep, as one could a hash table's chains.
 *
 * The first value of a key lies in the entry's own block, later ones in blocks of theirs. A removed
 * key stays as an entry without value; when half of the entries are such, the others are put into a
 * new tree.
 */
#include "model/strings.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

// ---- the tree ----------------------------------------------------------------------------------

// A left child of the same level goes to the right.
static jemi_string_entry *skew(jemi_string_entry *top)
{
    jemi_string_entry *left = top->left;
    if (left == NULL || left->level != top->level)
        return top;
    top->left = left->right;
    left->right = top;
    return left;
}

// Of three of one level in a row the middle one goes up.
static jemi_string_entry *split(jemi_string_entry *top)
{
    jemi_string_entry *right = top->right;
    if (right == NULL || right->right == NULL || right->right->level != top->level)
        return top;
    top->right = right->left;
    right->left = top;
    right->level++;
    return right;
}

// Recursion is as deep as the tree: at most 2 log2(n). The key is not in it.
static jemi_string_entry *insert(jemi_string_entry *top, jemi_string_entry *entry)
{
    if (top == NULL)
        return entry;
    jemi_string_entry **side = strcmp(entry->key, top->key) < 0 ? &top->left : &top->right;
    *side = insert(*side, entry);
    return split(skew(top));
}

static jemi_string_entry *find(const jemi_strings *strings, const char *key)
{
    jemi_string_entry *entry = strings->root;
    while (entry != NULL) {
        const int order = strcmp(key, entry->key);
        if (order == 0)
            break;
        entry = order < 0 ? entry->left : entry->right;
    }
    return entry;
}

// ---- the map -----------------------------------------------------------------------------------

// An entry with its strings, in one block.
static jemi_string_entry *make_entry(const char *key, const char *value)
{
    const size_t key_size = strlen(key) + 1, value_size = strlen(value) + 1;
    size_t size;
    if (!jemi_add(key_size, value_size, &size) || !jemi_add(size, sizeof(jemi_string_entry), &size))
        return NULL;
    jemi_string_entry *entry = jemi_alloc(size, 1);
    if (entry == NULL)
        return NULL;
    char *text = (char *)(entry + 1);
    *entry = (jemi_string_entry){.key = memcpy(text, key, key_size),
                                 .value = memcpy(text + key_size, value, value_size),
                                 .level = 1};
    return entry;
}

static void free_entry(jemi_string_entry *entry)
{
    jemi_free(entry->later_value);
    jemi_free(entry);
}

static void append(jemi_strings *strings, jemi_string_entry *entry)
{
    if (strings->last != NULL)
        strings->last->next = entry;
    else
        strings->first = entry;
    strings->last = entry;
    strings->root = insert(strings->root, entry);
    strings->count++;
}

// Without the removed ones.
static void rebuild(jemi_strings *strings)
{
    jemi_string_entry *entry = strings->first;
    *strings = (jemi_strings){0};
    while (entry != NULL) {
        jemi_string_entry *next = entry->next;
        entry->next = entry->left = entry->right = NULL;
        entry->level = 1;
        if (entry->value != NULL)
            append(strings, entry);
        else
            free_entry(entry);
        entry = next;
    }
}

// Takes over a block that holds the new value; NULL = removed.
static void replace_value(jemi_strings *strings, jemi_string_entry *entry, char *value)
{
    const bool was = entry->value != NULL, is = value != NULL;
    jemi_free(entry->later_value);
    entry->value = entry->later_value = value;
    strings->count += (size_t)is - (size_t)was;
    strings->n_removed += (size_t)was - (size_t)is;
    if (strings->n_removed > strings->count)
        rebuild(strings);
}

jem_status jemi_strings_set(jemi_strings *strings, const char *key, const char *value)
{
    jemi_string_entry *entry = find(strings, key);
    if (value == NULL) {
        if (entry != NULL)
            replace_value(strings, entry, NULL);
        return JEM_OK;
    }
    if (entry != NULL) {
        char *copy = jemi_strdup(value);
        if (copy == NULL)
            return jemi_fail_memory("metadata");
        replace_value(strings, entry, copy);
        return JEM_OK;
    }
    entry = make_entry(key, value);
    if (entry == NULL)
        return jemi_fail_memory("metadata");
    append(strings, entry);
    return JEM_OK;
}

const char *jemi_strings_get(const jemi_strings *strings, const char *key)
{
    const jemi_string_entry *entry = find(strings, key);
    return entry != NULL ? entry->value : NULL;
}

const jemi_string_entry *jemi_strings_next(const jemi_strings *strings,
                                           const jemi_string_entry *entry)
{
    entry = entry != NULL ? entry->next : strings->first;
    while (entry != NULL && entry->value == NULL)
        entry = entry->next;
    return entry;
}

const jemi_string_entry *jemi_strings_after(const jemi_strings *strings, const char *key)
{
    if (key == NULL)
        return jemi_strings_next(strings, NULL);
    const jemi_string_entry *entry = find(strings, key);
    return entry != NULL ? jemi_strings_next(strings, entry) : NULL;
}

jem_status jemi_strings_copy(jemi_strings *strings, const jemi_strings *source)
{
    const jemi_string_entry *entry = jemi_strings_next(source, NULL);
    for (; entry != NULL; entry = jemi_strings_next(source, entry))
        JEMI_TRY(jemi_strings_set(strings, entry->key, entry->value));
    return JEM_OK;
}

void jemi_strings_fini(jemi_strings *strings)
{
    for (jemi_string_entry *entry = strings->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        free_entry(entry);
    }
    *strings = (jemi_strings){0};
}
