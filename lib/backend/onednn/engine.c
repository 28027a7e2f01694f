/*
 * Makes the engine once. A failure is remembered with its status, so that every caller reports it.
 */
#include "backend/onednn/engine.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t cpu;
static dnnl_status_t outcome;

static void create(void)
{
    outcome = dnnl_engine_create(&cpu, dnnl_cpu, 0);
}

jem_status jemi_dnnl_engine(dnnl_engine_t *engine)
{
    pthread_once(&once, create);
    *engine = cpu;
    return jemi_dnnl_check(outcome, "CPU engine");
}
