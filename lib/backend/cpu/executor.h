/*
 * What the backends of this executor have in common: all of their vtables but the rows that their
 * programs choose from.
 */
#ifndef JEMI_BACKEND_CPU_EXECUTOR_H
#define JEMI_BACKEND_CPU_EXECUTOR_H

#include "backend/cpu/cpu_program.h"
#include "backend/cpu/native_conv.h"
#include "backend/cpu/plan.h"
#include "backend/rows/rows.h"

/** In the initialiser of a jemi_backend. */
#define JEMI_EXECUTOR_SLOTS                                                                        \
    .program_destroy = jemi_cpu_program_destroy, .weights_create = jemi_cpu_program_weights,       \
    .weights_set = jemi_cpu_weights_set, .weights_bytes = jemi_cpu_weights_bytes,                  \
    .weights_destroy = jemi_cpu_weights_destroy, .planner = &jemi_cpu_planner, JEMI_ROWS_SLOTS

/** The rows of our own kernels, in the order of preference; a provider's follow. */
#define JEMI_NATIVE_ROWS                                                                           \
    &jemi_conv_direct_bf16, &jemi_conv_stem, &jemi_conv_winograd, &jemi_conv_direct

#endif
