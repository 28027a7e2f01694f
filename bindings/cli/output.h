/*
 * Files the command writes: whole or not at all, by the library's own writer.
 */
#ifndef JEM_CLI_OUTPUT_H
#define JEM_CLI_OUTPUT_H

#include "cli.h"
#include "io/file.h"

typedef struct cli_output {
    jemi_writer writer;
} cli_output;

/** On CLI_OK cli_output_commit() or _discard() must follow; the output must stay where it is. */
cli_status cli_output_open(cli_output *output, const char *path, cli_error *err);

cli_status cli_output_write(cli_output *output, const void *bytes, size_t size, cli_error *err);

/** Closes the file and gives it its name. On failure nothing is left behind. */
cli_status cli_output_commit(cli_output *output, cli_error *err);

/** Closes the output; a file is as it was before. Does nothing after a commit. */
void cli_output_discard(cli_output *output);

/** Would `path` be writable? Leaves nothing behind. */
cli_status cli_output_check(const char *path, cli_error *err);

/** CLI_OK for JEM_OK; otherwise stores the sentence of a call of io/file.h. */
cli_status cli_output_status(cli_error *err, jem_status status);

#endif
