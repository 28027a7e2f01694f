/*
 * Writing files. A writer replaces a file in one step, so that a crash or a full disk leaves the
 * old file or the new one and never a mixture. Devices, pipes and open descriptors (/dev/stdout)
 * are written as they are.
 *
 * The command's outputs go this way, too: it links this file from the static library.
 */
#ifndef JEMI_IO_FILE_H
#define JEMI_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <jem/jem.h>

#include "io/file_target.h"
#include "io/file_temp.h"

/** One piece of what is to be written. `data` may be NULL when size is 0. */
typedef struct jemi_part {
    const void *data;
    size_t size;
} jemi_part;

/**
 * Writes the parts, one after the other, as the new contents of `path`; creates it or replaces a
 * regular file, whose permissions stay, and whose owner where the process may set it. A symbolic
 * link stays, and the file it points to is replaced or made. Other names of the same file (hard
 * links) keep the old contents. What is no regular file is opened and written.
 *
 * A process killed meanwhile leaves nothing where the file system has O_TMPFILE, but for the moment
 * in which an existing file is replaced; what is left is removed when the same file is written
 * again.
 *
 * @return JEM_OK; JEM_EIO: the old file stands, unless the message says that only its permanence
 *         is in doubt. What was written to a device or pipe stays written.
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

/** Would `path` be written? Asks the file system and leaves nothing behind; JEM_EIO. */
jem_status jemi_file_check(const char *path);

/* ---- piece by piece -------------------------------------------------------------------------- */

/** A file that is being written. It must stay where it is. */
typedef struct jemi_writer {
    const char *path; /* as the caller said it, for messages */
    jemi_target target;
    bool keeps; /* the old file */
    int dir;    /* of the target; -1 for a stream */
    int fd;     /* of the new file */
    int lock;   /* another descriptor of it, which outlives `fd` */
    bool named; /* the new file has the name `temp` */
    char temp[JEMI_TEMP_SIZE];
} jemi_writer;

/** On JEM_OK jemi_writer_commit() or jemi_writer_discard() must follow. SIGXFSZ and SIGPIPE are the
 *  caller's to hold back. */
jem_status jemi_writer_open(jemi_writer *writer, const char *path);
jem_status jemi_writer_write(jemi_writer *writer, const void *data, size_t size);
/** Gives the file its name. The writer is closed, whatever comes of it. */
jem_status jemi_writer_commit(jemi_writer *writer);
/** Leaves the old file. Accepts a writer that is closed. */
void jemi_writer_discard(jemi_writer *writer);

/* ---- identity -------------------------------------------------------------------------------- */

/** Which file a path leads to, whatever it holds. */
typedef struct jemi_file_id {
    bool exists;
    uint64_t device, number;
} jemi_file_id;

jemi_file_id jemi_file_identify(const char *path);
/** Does `path` still lead to that file? Not if there was none. */
bool jemi_file_is(const char *path, const jemi_file_id *file);

#endif
