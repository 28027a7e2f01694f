/*
 * What every file of the command shares: how a failure travels, and checked memory.
 *
 * Functions that can fail return a cli_status and leave one sentence in a cli_error; only main.c
 * prints it. The status is the exit code of the program.
 */
#ifndef JEM_CLI_CLI_H
#define JEM_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "jem/jem.h"

/** Exit codes. FOUND: all went well, and something unusual was found. A signal that stopped the work adds 128 + its number: 130 for Ctrl-C. */
typedef int cli_status;
enum { CLI_OK = 0, CLI_FAILURE = 1, CLI_USAGE = 2, CLI_FOUND = 3, CLI_SIGNAL = 128 };

typedef struct cli_error {
    char text[2048];
} cli_error;

#define CLI_PRINTF(text, first) __attribute__((format(printf, text, first)))

/** Stores the sentence and returns CLI_FAILURE. */
cli_status cli_fail(cli_error *err, const char *format, ...) CLI_PRINTF(2, 3);

/** Stores the sentence and returns CLI_USAGE: the command line was wrong. */
cli_status cli_usage(cli_error *err, const char *format, ...) CLI_PRINTF(2, 3);

/** Stores the sentence and returns the exit code of that signal. */
cli_status cli_stopped(cli_error *err, int signal, const char *format, ...) CLI_PRINTF(3, 4);

/** CLI_OK for JEM_OK; otherwise stores libjem's sentence and returns CLI_FAILURE. */
cli_status cli_jem(cli_error *err, jem_status status);

/** The same for calls whose JEM_EINVAL means a wrong command line. */
cli_status cli_jem_usage(cli_error *err, jem_status status);

/** Forwards a failure. For functions that own nothing yet. */
#define CLI_TRY(call)                                                                              \
    do {                                                                                           \
        const cli_status cli_try_status = (call);                                                  \
        if (cli_try_status != CLI_OK)                                                              \
            return cli_try_status;                                                                 \
    } while (0)

/** count * size zeroed bytes in *out, which must be freed; never NULL on CLI_OK. */
cli_status cli_alloc(void *out, int64_t count, size_t size, cli_error *err);

/** Prints text that may come from a file or another stranger: what could steer the terminal is
 *  replaced by '?', as in libjem's messages. */
void cli_put_text(FILE *stream, const char *text);

/** Seconds of a clock that only goes forward. */
double cli_seconds(void);

#endif
