/*
 * The vtable of the oneDNN backend: the CPU executor with oneDNN's convolutions among its rows.
 */
#include "backend/cpu/executor.h"
#include "backend/onednn/engine.h"
#include "backend/onednn/primitive.h"

static const jemi_conv_impl *const rows[] = {JEMI_NATIVE_ROWS, &jemi_conv_onednn};

static jem_status program_create(jemi_program **out, const jemi_graph *graph)
{
    return jemi_cpu_program_create(
        out, &jemi_backend_onednn, graph,
        (jemi_conv_rows){rows, sizeof rows / sizeof rows[0], DNNL_VERSION_MAJOR});
}

const jemi_backend jemi_backend_onednn = {
    .name = "onednn",
    .id = JEM_BACKEND_ONEDNN,
    .program_create = program_create,
    JEMI_EXECUTOR_SLOTS,
    .choice = jemi_dnnl_choice,
    .library_info = jemi_dnnl_library_info,
    .limit_isa = jemi_dnnl_limit_isa,
};
