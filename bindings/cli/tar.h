/*
 * The entries of a tar archive one after the other, packed by gzip or not.
 */
#ifndef JEM_CLI_TAR_H
#define JEM_CLI_TAR_H

#include "source.h"

typedef struct cli_tar_entry {
    char name[104]; /* the last part of its path; "" for what is no file */
    int64_t size;
} cli_tar_entry;

/** The next entry; *more is false at the end. Its content must then be read or skipped. */
cli_status cli_tar_next(cli_source *source, cli_tar_entry *entry, bool *more, cli_error *err);

/** The content of the entry, which must be freed. */
cli_status cli_tar_read(cli_source *source, const cli_tar_entry *entry, uint8_t **content,
                        cli_error *err);
cli_status cli_tar_skip(cli_source *source, const cli_tar_entry *entry, cli_error *err);

#endif
