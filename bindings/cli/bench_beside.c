#include "bench_beside.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void never_sleep(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    volatile unsigned turns = 0;
    while (turns % (1u << 20) != 0 || getppid() == parent)
        turns = turns + 1;
    _exit(0);
}

cli_status cli_beside_start(cli_beside *beside, int64_t n, cli_error *err)
{
    const pid_t self = getpid();
    while (beside->count < n) {
        const pid_t pid = fork();
        if (pid == 0)
            never_sleep(self);
        if (pid < 0)
            return cli_fail(err, "a busy process could not be started: %s", strerror(errno));
        beside->pids[beside->count++] = pid;
    }
    return CLI_OK;
}

void cli_beside_stop(cli_beside *beside)
{
    for (int i = 0; i < beside->count; i++)
        kill(beside->pids[i], SIGKILL);
    for (int i = 0; i < beside->count; i++)
        waitpid(beside->pids[i], NULL, 0);
    beside->count = 0;
}
