/*
 * Bytes of a data file, plain or gzip alike, read in order and counted strictly: a file that ends
 * early, goes on too long or claims more than it can hold is refused with a sentence.
 */
#ifndef JEM_CLI_SOURCE_H
#define JEM_CLI_SOURCE_H

#include <zlib.h>

#include "cli.h"

typedef struct cli_source {
    const char *path;
    gzFile file;
    bool packed;       /* by gzip */
    int64_t bytes_max; /* no content of this file can be longer */
    int64_t bytes_read;
} cli_source;

/**
 * Opens a regular file, an anonymous pipe or a socket, such as standard input. cli_source_close()
 * must follow only on CLI_OK.
 */
cli_status cli_source_open(cli_source *source, const char *path, cli_error *err);
void cli_source_close(cli_source *source);

/** The next `size` bytes, all of them. */
cli_status cli_source_read(cli_source *source, void *out, int64_t size, cli_error *err);

/** Up to `size` bytes; fewer only at the end. */
cli_status cli_source_read_some(cli_source *source, void *out, int64_t size, int64_t *got,
                                cli_error *err);

/** Can `size` more bytes follow? Ask before allocating for them. */
cli_status cli_source_expect(const cli_source *source, int64_t size, cli_error *err);

/** Refuses bytes that are left, and verifies the checksum of a gzip file. */
cli_status cli_source_end(cli_source *source, cli_error *err);

/** Passes over what is left, and verifies the checksum of a gzip file. */
cli_status cli_source_drain(cli_source *source, cli_error *err);

/** A whole file of unknown length; *content must be freed, on failure it is NULL. */
cli_status cli_source_read_file(const char *path, uint8_t **content, int64_t *size, cli_error *err);

#endif
