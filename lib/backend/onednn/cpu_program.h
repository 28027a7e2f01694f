/*
 * A network as this executor sees it: the graph, the ways there are to compute its products, and the
 * table of packed weights. One for all plans and weights of a model.
 */
#ifndef JEMI_BACKEND_ONEDNN_CPU_PROGRAM_H
#define JEMI_BACKEND_ONEDNN_CPU_PROGRAM_H

#include "backend/onednn/conv_impl.h"
#include "backend/onednn/weight_cache.h"

typedef struct jemi_cpu_program {
    jemi_program base;
    jemi_conv_rows rows;
    jemi_slots *slots;
} jemi_cpu_program;

/** @param rows  Static storage. */
jem_status jemi_cpu_program_create(jemi_program **out, const jemi_backend *backend,
                                   const jemi_graph *graph, jemi_conv_rows rows);
void jemi_cpu_program_destroy(jemi_program *program);

static inline jemi_slots *jemi_cpu_program_slots(const jemi_program *program)
{
    return ((const jemi_cpu_program *)program)->slots;
}

#endif
