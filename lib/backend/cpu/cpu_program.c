/*
 * The life of a program.
 */
#include "backend/cpu/cpu_program.h"

#include "backend/cpu/choose.h"
#include "base/memory.h"
#include "base/status.h"

jem_status jemi_cpu_program_create(jemi_program **out, const jemi_backend *backend,
                                   const jemi_graph *graph, jemi_conv_rows rows)
{
    *out = NULL;
    JEMI_TRY(jemi_choose_check_graph(&rows, graph));
    jemi_cpu_program *program = jemi_calloc(1, sizeof *program);
    if (program == NULL)
        return jemi_fail_memory("program");
    program->base.backend = backend;
    program->base.graph = graph;
    program->rows = rows;
    const jem_status status = jemi_slots_create(&program->slots);
    if (status != JEM_OK) {
        jemi_free(program);
        return status;
    }
    *out = &program->base;
    return JEM_OK;
}

void jemi_cpu_program_destroy(jemi_program *base)
{
    if (base == NULL)
        return;
    jemi_slots_destroy(((jemi_cpu_program *)base)->slots);
    jemi_free(base);
}

jem_status jemi_cpu_program_weights(jemi_weights **out, jemi_program *program)
{
    return jemi_cpu_weights_create(out, program, ((jemi_cpu_program *)program)->slots);
}

jem_status jemi_cpu_program_slot(jemi_program *program, const jemi_packing *packing, int32_t *slot)
{
    return jemi_slots_find(((jemi_cpu_program *)program)->slots, packing, slot);
}
