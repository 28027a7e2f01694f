/*
 * The library's writer with the command's way of failing. It is linked from the static library, so
 * it has a message of its own, which jem_last_error() does not know. The signals that it wants held
 * back are ignored in main.c.
 */
#include "output.h"

#include "base/status.h"

cli_status cli_output_status(cli_error *err, jem_status status)
{
    return status == JEM_OK ? CLI_OK : cli_fail(err, "%s", jemi_last_message());
}

cli_status cli_output_open(cli_output *output, const char *path, cli_error *err)
{
    return cli_output_status(err, jemi_writer_open(&output->writer, path));
}

cli_status cli_output_write(cli_output *output, const void *bytes, size_t size, cli_error *err)
{
    return cli_output_status(err, jemi_writer_write(&output->writer, bytes, size));
}

cli_status cli_output_commit(cli_output *output, cli_error *err)
{
    return cli_output_status(err, jemi_writer_commit(&output->writer));
}

void cli_output_discard(cli_output *output)
{
    jemi_writer_discard(&output->writer);
}

cli_status cli_output_check(const char *path, cli_error *err)
{
    return cli_output_status(err, jemi_file_check(path));
}
