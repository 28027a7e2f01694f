/*
 * All memory of the library. Blocks are 64-byte aligned, so a kernel may assume whole cache lines.
 */
#ifndef JEMI_BASE_MEMORY_H
#define JEMI_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jem/jem.h>

/** Uninitialised array; NULL when out of memory or when count * size overflows. Zero count is 1. */
void *jemi_alloc(size_t count, size_t size);

/** Zeroed array, otherwise as jemi_alloc(). */
void *jemi_calloc(size_t count, size_t size);

/** A copy of a NUL-terminated string, or NULL when out of memory. */
char *jemi_strdup(const char *string);

/** NULL is a no-op. */
void jemi_free(void *block);

/** *product = a * b; false when it overflows. The only way to multiply sizes from outside. */
bool jemi_mul(size_t a, size_t b, size_t *product);

/** *sum = a + b; false when it overflows. */
bool jemi_add(size_t a, size_t b, size_t *sum);

/** Does no block live? */
bool jemi_memory_is_idle(void);

/** Swaps the process-wide allocator; false while blocks live. NULL = the default. */
bool jemi_memory_set_allocator(const jem_allocator *allocator);

#endif
