/*
 * Other programs that want the processors, for jem bench: each is a process that never sleeps.
 */
#ifndef CLI_BENCH_BESIDE_H
#define CLI_BENCH_BESIDE_H

#include <sys/types.h>

#include "cli.h"

enum { CLI_BESIDE_MAX = 64 };

typedef struct cli_beside {
    pid_t pids[CLI_BESIDE_MAX];
    int count;
} cli_beside;

/** Starts n busy processes, at most CLI_BESIDE_MAX. They end with this one at the latest. */
cli_status cli_beside_start(cli_beside *beside, int64_t n, cli_error *err);

/** Ends them; nothing was started is fine. */
void cli_beside_stop(cli_beside *beside);

#endif
