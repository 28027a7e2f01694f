/*
 * Files that people pass for a model, recognised by their first bytes.
 */
#ifndef JEMI_IO_FOREIGN_H
#define JEMI_IO_FOREIGN_H

#include <stddef.h>

/** As many of a file's first bytes as are looked at; fewer do for most kinds. */
enum { JEMI_FOREIGN_HEAD = 512 };

/** What a file is that begins with these bytes, "a GGUF file" for example; NULL = unknown. */
const char *jemi_foreign_kind(const void *head, size_t size);

#endif
