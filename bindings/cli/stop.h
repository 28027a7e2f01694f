/*
 * Ctrl-C and SIGTERM as a request: the first sets a flag that long loops look at, the second has
 * its usual effect.
 */
#ifndef JEM_CLI_STOP_H
#define JEM_CLI_STOP_H

#include <stdint.h>

/**
 * From now on the first SIGINT, SIGTERM or SIGHUP is only noted. To be called when the computation
 * begins: what still waits for an input shall end at the first.
 */
void cli_stop_catch(void);

/** The signal that asked to stop, or 0. */
int cli_stop_signal(void);

/** How people call that signal. */
const char *cli_stop_name(void);

/** A jem_progress_fn that cancels after such a signal. */
int32_t cli_stop_progress(void *user, int64_t done, int64_t total);

#endif
