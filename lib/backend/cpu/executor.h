/*
 * What the backends of this executor have in common: all of their vtables but the rows that their
 * programs choose from.
 */
#ifndef JEMI_BACKEND_CPU_EXECUTOR_H
#define JEMI_BACKEND_CPU_EXECUTOR_H

#include "backend/cpu/cpu_program.h"
#include "backend/cpu/native_conv.h"
#include "backend/cpu/plan.h"

/** In the initialiser of a jemi_backend. */
#define JEMI_EXECUTOR_SLOTS                                                                        \
    .program_destroy = jemi_cpu_program_destroy, .weights_create = jemi_cpu_program_weights,       \
    .weights_set = jemi_cpu_weights_set, .weights_bytes = jemi_cpu_weights_bytes,                  \
    .weights_destroy = jemi_cpu_weights_destroy, .plan_create = jemi_cpu_plan_create,              \
    .plan_bytes = jemi_cpu_plan_bytes, .plan_time = jemi_cpu_plan_time,                            \
    .plan_describe = jemi_cpu_plan_describe, .plan_destroy = jemi_cpu_plan_destroy,                \
    .forward = jemi_cpu_plan_forward, .backward = jemi_cpu_plan_backward,                          \
    .statistics = jemi_cpu_plan_statistics

/** The rows of our own kernels, in the order of preference; a provider's follow. */
#define JEMI_NATIVE_ROWS                                                                           \
    &jemi_conv_direct_bf16, &jemi_conv_stem, &jemi_conv_winograd, &jemi_conv_direct

#endif
