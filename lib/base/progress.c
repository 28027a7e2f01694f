/*
 * Progress functions are the host's code: they run as the host has set the thread.
 */
#include "base/progress.h"

#include "base/environment.h"

jem_status jemi_progress_add(jemi_progress *progress, int64_t n)
{
    progress->done += n;
    if (progress->tell == NULL)
        return JEM_OK;
    const int begun = jemi_environment_host_begin();
    const int32_t stop = progress->tell(progress->user, progress->done, progress->total);
    jemi_environment_host_end(begun);
    if (stop != 0)
        return jemi_fail(JEM_ECANCELLED, "cancelled after %lld of %lld %s",
                         (long long)progress->done, (long long)progress->total, progress->unit);
    return JEM_OK;
}
