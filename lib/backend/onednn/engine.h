/*
 * The CPU engine of this process. oneDNN's engine holds no mutable state, so one serves all.
 */
#ifndef JEMI_BACKEND_ONEDNN_ENGINE_H
#define JEMI_BACKEND_ONEDNN_ENGINE_H

#include "backend/backend.h"
#include "backend/onednn/dnnl_compat.h"

/** The engine, made on the first call. Lives as long as the process. */
jem_status jemi_dnnl_engine(dnnl_engine_t *engine);

/* Slots of the vtable. */
void jemi_dnnl_library_info(char *out, size_t size);
jem_status jemi_dnnl_limit_isa(const char *isa);
void jemi_dnnl_choice(const jemi_program *program, int32_t precision, char *out, size_t size);

#endif
