/*
 * The sentence of a failure, checked memory and the clock.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

static void store(cli_error *err, const char *format, va_list args)
{
    vsnprintf(err->text, sizeof err->text, format, args);
}

cli_status cli_fail(cli_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    store(err, format, args);
    va_end(args);
    return CLI_FAILURE;
}

cli_status cli_usage(cli_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    store(err, format, args);
    va_end(args);
    return CLI_USAGE;
}

cli_status cli_stopped(cli_error *err, int signal, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    store(err, format, args);
    va_end(args);
    return CLI_SIGNAL + signal;
}

cli_status cli_jem(cli_error *err, jem_status status)
{
    if (status == JEM_OK)
        return CLI_OK;
    return cli_fail(err, "%s", jem_last_error());
}

cli_status cli_jem_usage(cli_error *err, jem_status status)
{
    if (status == JEM_EINVAL)
        return cli_usage(err, "%s", jem_last_error());
    return cli_jem(err, status);
}

cli_status cli_alloc(void *out, int64_t count, size_t size, cli_error *err)
{
    void *block = NULL;
    if (count >= 0 && (uint64_t)count <= SIZE_MAX)
        block = calloc(count > 0 ? (size_t)count : 1, size);
    memcpy(out, &block, sizeof block);
    if (block == NULL)
        return cli_fail(err, "out of memory: %lld times %zu bytes were needed", (long long)count,
                        size);
    return CLI_OK;
}

void cli_put_text(FILE *stream, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return;
    jemi_utf8_make_showable(copy);
    fputs(copy, stream);
    free(copy);
}

double cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
