/*
 * What oneDNN does while it creates something: it locks its caches, sets up its tables and compiles.
 */
#ifndef JEMI_BACKEND_ONEDNN_CREATION_H
#define JEMI_BACKEND_ONEDNN_CREATION_H

#include <stdbool.h>

#include <oneapi/dnnl/dnnl.h>

/**
 * Around each call that creates: a fork waits for its end. oneDNN's own locks would stay locked in
 * the child. One thread at a time; nothing else may be locked in between.
 */
void jemi_dnnl_creation_begin(void);
void jemi_dnnl_creation_end(void);

/** dnnl_primitive_create(), which compiles; dnnl_runtime_error where that is refused. */
dnnl_status_t jemi_dnnl_primitive_create(dnnl_primitive_t *primitive,
                                         const_dnnl_primitive_desc_t pd);

/** Whether this process may make memory executable now. */
bool jemi_dnnl_may_compile(void);

/** Whatever the environment says: nothing is printed, no file is written. Once, at the start. */
void jemi_dnnl_silence(void);

#endif
