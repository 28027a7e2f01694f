/*
 * The line on stderr that says how far a long run is: rewritten in place on a terminal, a new line
 * every few seconds elsewhere.
 */
#ifndef JEM_CLI_PROGRESS_H
#define JEM_CLI_PROGRESS_H

#include "cli.h"

typedef struct cli_progress {
    bool terminal;
    bool visible;  /* a line stands on the terminal */
    double period; /* seconds between lines; INFINITY = none */
    double shown;  /* when the last line was */
} cli_progress;

/** Lines every `plain_period` seconds where stderr is no terminal; INFINITY = none there. */
void cli_progress_begin(cli_progress *progress, double plain_period);

/** Is it time for another line? */
bool cli_progress_due(const cli_progress *progress);

void cli_progress_show(cli_progress *progress, const char *format, ...) CLI_PRINTF(2, 3);

/** Prints a line that stays. */
void cli_progress_say(cli_progress *progress, const char *format, ...) CLI_PRINTF(2, 3);

/** A jem_log_fn that says warnings; `user` is a cli_progress, or NULL. */
void cli_progress_log(void *user, int32_t level, const char *line);

/** Takes the line off the terminal, so that ordinary output can follow. */
void cli_progress_end(cli_progress *progress);

/** Seconds as 0:07, 12:34 or 1:02:03; returns `text`. */
const char *cli_progress_time(double seconds, char text[32]);

#endif
