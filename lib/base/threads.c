#include "base/threads.h"

#include "base/openmp.h"
#include "base/processors.h"

static _Thread_local int width; // 0: none has been entered

int jemi_threads_enter(int threads)
{
    const int before = width;
    if (before == 0)
        width = jemi_openmp_is_inside() ? 1 : threads;
    else if (threads < before)
        width = threads;
    return before;
}

void jemi_threads_leave(int before)
{
    width = before;
}

int jemi_threads_now(void)
{
    return width > 0 ? width : 1;
}

int jemi_threads_default(void)
{
    const int host = jemi_openmp_count(), processors = jemi_processors_count();
    return host < processors ? host : processors;
}
