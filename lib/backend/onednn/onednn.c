/*
 * The vtable of the oneDNN backend: the CPU executor with oneDNN's convolutions among its rows.
 */
#include "backend/onednn/cpu_program.h"
#include "backend/onednn/engine.h"
#include "backend/onednn/native_conv.h"

extern const jemi_conv_impl jemi_conv_onednn;

static const jemi_conv_impl *const rows[] = {
    &jemi_conv_direct_bf16, &jemi_conv_stem,   &jemi_conv_winograd,
    &jemi_conv_direct,      &jemi_conv_onednn,
};

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
    .program_destroy = jemi_cpu_program_destroy,
    .weights_create = jemi_cpu_weights_create,
    .weights_set = jemi_cpu_weights_set,
    .weights_bytes = jemi_cpu_weights_bytes,
    .weights_destroy = jemi_cpu_weights_destroy,
    .plan_create = jemi_cpu_plan_create,
    .plan_bytes = jemi_cpu_plan_bytes,
    .plan_time = jemi_cpu_plan_time,
    .plan_describe = jemi_cpu_plan_describe,
    .plan_destroy = jemi_cpu_plan_destroy,
    .forward = jemi_cpu_plan_forward,
    .backward = jemi_cpu_plan_backward,
    .statistics = jemi_cpu_plan_statistics,
    .choice = jemi_dnnl_choice,
    .library_info = jemi_dnnl_library_info,
};
