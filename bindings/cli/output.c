/*
 * How a file is written whole or not at all: exclusive temporary file, fsync, rename.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cli_status fail_errno(const cli_output *output, cli_error *err)
{
    return cli_fail(err, "%s cannot be written: %s", output->path, strerror(errno));
}

static cli_status check_target(const char *path, cli_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return cli_fail(err, "%s cannot be written: it is %s; expected the name of a file", path,
                        S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
    return CLI_OK;
}

cli_status cli_output_open(cli_output *output, const char *path, cli_error *err)
{
    *output = (cli_output){.path = path};
    CLI_TRY(check_target(path, err));
    const size_t size = strlen(path) + 32;
    CLI_TRY(cli_alloc(&output->temp, (int64_t)size, 1, err));
    snprintf(output->temp, size, "%s.tmp-%ld", path, (long)getpid());
    const int fd = open(output->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        output->file = fdopen(fd, "wb");
    if (output->file != NULL)
        return CLI_OK;
    const cli_status status = fail_errno(output, err);
    if (fd >= 0) {
        close(fd);
        unlink(output->temp);
    }
    free(output->temp);
    output->temp = NULL;
    return status;
}

cli_status cli_output_write(cli_output *output, const void *bytes, size_t size, cli_error *err)
{
    if (fwrite(bytes, 1, size, output->file) != size)
        return fail_errno(output, err);
    return CLI_OK;
}

cli_status cli_output_commit(cli_output *output, cli_error *err)
{
    cli_status status = CLI_OK;
    if (fflush(output->file) != 0 || fsync(fileno(output->file)) != 0)
        status = fail_errno(output, err);
    if (fclose(output->file) != 0 && status == CLI_OK)
        status = fail_errno(output, err);
    output->file = NULL;
    if (status == CLI_OK && rename(output->temp, output->path) != 0)
        status = fail_errno(output, err);
    if (status == CLI_OK) {
        free(output->temp);
        output->temp = NULL;
    }
    cli_output_discard(output);
    return status;
}

void cli_output_discard(cli_output *output)
{
    if (output->file != NULL)
        fclose(output->file);
    if (output->temp != NULL)
        unlink(output->temp);
    free(output->temp);
    output->file = NULL;
    output->temp = NULL;
}

cli_status cli_output_check(const char *path, cli_error *err)
{
    cli_output output;
    CLI_TRY(cli_output_open(&output, path, err));
    cli_output_discard(&output);
    return CLI_OK;
}
