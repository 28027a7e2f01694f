/*
 * Terminals: whether stderr is one, how wide it is, and how a line on it is replaced.
 */
#include "progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void cli_progress_begin(cli_progress *progress, double plain_period)
{
    const bool terminal = isatty(STDERR_FILENO);
    *progress = (cli_progress){.terminal = terminal,
                               .period = terminal ? 0.1 : plain_period,
                               .shown = terminal ? 0.0 : cli_seconds()};
}

bool cli_progress_due(const cli_progress *progress)
{
    return cli_seconds() - progress->shown >= progress->period;
}

void cli_progress_show(cli_progress *progress, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    progress->shown = cli_seconds();
    progress->visible = progress->terminal;
    if (progress->terminal)
        fprintf(stderr, "\r\033[K%.*s", terminal_columns() - 1, line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->visible)
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
    progress->visible = false;
}

void cli_progress_say(cli_progress *progress, const char *format, ...)
{
    char line[2048];
    va_list args;
    cli_progress_end(progress);
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    cli_put_text(stderr, line);
    fputc('\n', stderr);
}

void cli_progress_log(void *user, int32_t level, const char *line)
{
    cli_progress nothing_shown = {.terminal = false};
    if (level >= JEM_LOG_WARNING)
        cli_progress_say(user != NULL ? user : &nothing_shown, "%s", line);
}

const char *cli_progress_time(double seconds, char text[32])
{
    const long long whole = isfinite(seconds) && seconds < 1e9 ? (long long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    return text;
}
