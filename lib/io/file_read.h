/*
 * Reading files piece by piece, so that a reader can look at the beginning before it asks for
 * memory for the rest.
 *
 * A source is a regular file, or an anonymous pipe (standard input, the shell's process
 * substitution), or a socket that is open already. Opening anything else fails at once: a named pipe
 * without a writer would block for ever, and devices have no end.
 */
#ifndef JEMI_IO_FILE_READ_H
#define JEMI_IO_FILE_READ_H

#include <stdbool.h>
#include <stddef.h>

#include <jem/jem.h>

/** The most that is read from a pipe, whose size nobody knows beforehand. */
#define JEMI_PIPE_MAX ((size_t)1 << 30)

/** What has been opened. The first two are sources; the others have no end, or none that is sure. */
typedef enum jemi_source_kind {
    JEMI_SOURCE_FILE,       /* a regular file */
    JEMI_SOURCE_PIPE,       /* or a socket */
    JEMI_SOURCE_NAMED_PIPE, /* which perhaps nobody writes to */
    JEMI_SOURCE_DIRECTORY,
    JEMI_SOURCE_DEVICE
} jemi_source_kind;

typedef struct jemi_source {
    const char *path; /* of the caller's, for messages */
    int fd;           /* valid while `path` is set */
    jemi_source_kind kind;
    size_t size; /* from where it stands, when it was opened; of a pipe JEMI_PIPE_MAX */
} jemi_source;

/**
 * Opens whatever `path` names, without waiting, and says what it is. A descriptor of this process
 * (/dev/stdin) that cannot be opened again is duplicated instead, and stands where it stood: a
 * socket, and what another user opened. For callers with sentences of their own;
 * jemi_source_close() follows.
 *
 * @return 0; -1 with errno, and the source is zeroed.
 */
int jemi_source_look(jemi_source *source, const char *path);

/** Opens what can be read to an end. @return JEM_OK; JEM_EIO, and the source is zeroed. */
jem_status jemi_source_open(jemi_source *source, const char *path);

/** Reads the next `size` bytes; fewer, which *got tells, only where the file ends. JEM_EIO. */
jem_status jemi_source_read(jemi_source *source, void *data, size_t size, size_t *got);

/** Passes over `size` bytes, and over the end without noticing it. JEM_EIO. */
jem_status jemi_source_skip(jemi_source *source, size_t size);

/** Accepts a zeroed or closed source. */
void jemi_source_close(jemi_source *source);

#endif
