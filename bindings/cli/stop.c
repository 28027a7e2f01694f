/*
 * The signal flag. With the list of outputs in named_files.c it is all that is not local to a call.
 */
#include "stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_signal;

static void note(int signal_number)
{
    stop_signal = signal_number;
}

void cli_stop_catch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        struct sigaction old;
        // nohup's wish is respected.
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int cli_stop_signal(void)
{
    return stop_signal;
}

const char *cli_stop_name(void)
{
    return stop_signal == SIGINT ? "Ctrl-C" : stop_signal == SIGTERM ? "SIGTERM" : "SIGHUP";
}

int32_t cli_stop_progress(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return stop_signal != 0;
}
