/*
 * The vtable of the oneDNN backend.
 *
 * Reading order of this folder: lower (what is fused and kept), forward and backward (steps in
 * order), choose (which kernel), convolution (the primitives), own (our kernels), norm and dropout,
 * arena, plan, run; packed (weights); dnnl_compat (v2 and v3).
 */
#include "backend/onednn/engine.h"
#include "backend/onednn/packed.h"
#include "backend/onednn/plan.h"

static jem_status program_create(jemi_program **out, const jemi_graph *graph)
{
    *out = NULL;
    const jem_status status = jemi_dnnl_program_create(out, graph);
    if (status == JEM_OK)
        (*out)->backend = &jemi_backend_onednn;
    return status;
}

const jemi_backend jemi_backend_onednn = {
    .name = "onednn",
    .id = JEM_BACKEND_ONEDNN,
    .program_create = program_create,
    .program_destroy = jemi_dnnl_program_destroy,
    .weights_create = jemi_dnnl_weights_create,
    .weights_set = jemi_dnnl_weights_set,
    .weights_bytes = jemi_dnnl_weights_bytes,
    .weights_destroy = jemi_dnnl_weights_destroy,
    .plan_create = jemi_dnnl_plan_create,
    .plan_bytes = jemi_dnnl_plan_bytes,
    .plan_time = jemi_dnnl_plan_time,
    .plan_describe = jemi_dnnl_plan_describe,
    .plan_destroy = jemi_dnnl_plan_destroy,
    .forward = jemi_dnnl_plan_forward,
    .backward = jemi_dnnl_plan_backward,
    .statistics = jemi_dnnl_plan_statistics,
    .choice = jemi_dnnl_choice,
    .library_info = jemi_dnnl_library_info,
};
