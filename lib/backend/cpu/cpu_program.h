/*
 * A network as this executor sees it: the graph, the ways there are to compute its products, and the
 * table of packed weights. One for all plans and weights of a model.
 */
#ifndef JEMI_BACKEND_CPU_CPU_PROGRAM_H
#define JEMI_BACKEND_CPU_CPU_PROGRAM_H

#include "backend/cpu/conv_impl.h"
#include "backend/cpu/weight_cache.h"

typedef struct jemi_cpu_program {
    jemi_program base;
    jemi_conv_rows rows;
    jemi_slots *slots;
} jemi_cpu_program;

/** @param rows  Static storage. */
jem_status jemi_cpu_program_create(jemi_program **out, const jemi_backend *backend,
                                   const jemi_graph *graph, jemi_conv_rows rows);

/* Slots of the vtable. */
void jemi_cpu_program_destroy(jemi_program *program);
jem_status jemi_cpu_program_weights(jemi_weights **out, jemi_program *program);

/** The slot of a packing of one of the program's parameters: see jemi_slots_find(). */
jem_status jemi_cpu_program_slot(jemi_program *program, const jemi_packing *packing, int32_t *slot);

#endif
