/*
 * The CPU engine of this process. oneDNN's engine holds no mutable state, so one serves all.
 */
#ifndef JEMI_BACKEND_ONEDNN_ENGINE_H
#define JEMI_BACKEND_ONEDNN_ENGINE_H

#include "backend/onednn/dnnl_compat.h"

/** The engine, made on the first call. Lives as long as the process. */
jem_status jemi_dnnl_engine(dnnl_engine_t *engine);

/** One JSON object: version and instruction set. */
void jemi_dnnl_library_info(char *out, size_t size);

#endif
