/*
 * Files the command writes: whole or not at all. The bytes go to a temporary file beside the
 * target, which takes the target's name when all of them are safely on the disk.
 */
#ifndef JEM_CLI_OUTPUT_H
#define JEM_CLI_OUTPUT_H

#include <stdio.h>

#include "cli.h"

typedef struct cli_output {
    const char *path;
    char *temp; /* NULL when nothing is open */
    FILE *file;
} cli_output;

/** Refuses targets that are not regular files. Then cli_output_commit() or _discard() must follow.
 */
cli_status cli_output_open(cli_output *output, const char *path, cli_error *err);

cli_status cli_output_write(cli_output *output, const void *bytes, size_t size, cli_error *err);

/** Closes the file and gives it its name. On failure nothing is left behind. */
cli_status cli_output_commit(cli_output *output, cli_error *err);

/** Closes and removes the temporary file. Does nothing after a commit. */
void cli_output_discard(cli_output *output);

/** Would `path` be writable? Leaves nothing behind. */
cli_status cli_output_check(const char *path, cli_error *err);

#endif
