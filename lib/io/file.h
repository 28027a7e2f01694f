/*
 * Writing whole files. A writer replaces the file in one step, so that a crash or a full disk
 * leaves the old file or the new one and never a mixture.
 */
#ifndef JEMI_IO_FILE_H
#define JEMI_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <jem/jem.h>

/** One piece of what is to be written. `data` may be NULL when size is 0. */
typedef struct jemi_part {
    const void *data;
    size_t size;
} jemi_part;

/**
 * Writes the parts, one after the other, as the new contents of `path`; creates it or replaces a
 * regular file, whose permissions stay. A symbolic link stays and the file it points to is
 * replaced. Other names of the same file (hard links) keep the old contents. A process killed
 * meanwhile may leave a ".name.*.tmp" beside it.
 *
 * @return JEM_OK; JEM_EIO: the old file stands, unless the message says that only its permanence
 *         is in doubt.
 */
jem_status jemi_file_write_atomic(const char *path, const jemi_part *parts, size_t n_parts);

/**
 * The same, and what `path` held before stays as `path` with JEMI_FILE_PREVIOUS added, in place of
 * what was there. `path` itself is never missing, except for a moment on file systems without hard
 * links.
 */
jem_status jemi_file_write_keeping(const char *path, const jemi_part *parts, size_t n_parts);

#define JEMI_FILE_PREVIOUS ".prev"

/** The name under which jemi_file_write_keeping() keeps what `path` held; JEM_EIO. */
jem_status jemi_file_previous(const char *path, char *previous, size_t size);

/** Which file a path leads to, whatever it holds. */
typedef struct jemi_file_id {
    bool exists;
    uint64_t device, number;
} jemi_file_id;

jemi_file_id jemi_file_identify(const char *path);
/** Does `path` still lead to that file? Not if there was none. */
bool jemi_file_is(const char *path, const jemi_file_id *file);

#endif
