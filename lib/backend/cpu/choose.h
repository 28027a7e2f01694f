/*
 * Which kernel computes a convolution or a linear layer. The one place that decides it, per shape
 * and direction.
 */
#ifndef JEMI_BACKEND_CPU_CHOOSE_H
#define JEMI_BACKEND_CPU_CHOOSE_H

#include "backend/backend.h"
#include "backend/cpu/choice_table.h"

/** JEM_EUNSUPPORTED when there is a product that no row can compute. */
jem_status jemi_choose_check_graph(const jemi_conv_rows *rows, const jemi_graph *graph);

/** JEM_OK, or JEM_EUNSUPPORTED for a precision that this backend does not compute in. */
jem_status jemi_choose_check(int32_t precision);

/** The row for a CONV or LINEAR node. */
const jemi_conv_impl *jemi_choose(const jemi_conv_rows *rows, const jemi_graph *graph, int32_t node,
                                  jemi_conv_direction direction, int32_t precision,
                                  jemi_choosing by);

/** The same for a plan that is being compiled. */
const jemi_conv_impl *jemi_choose_for(const jemi_compile *c, int32_t node,
                                      jemi_conv_direction direction);

/** A number that differs, in all likelihood, where jemi_choose() does for any layer. */
uint32_t jemi_choose_digest(const jemi_conv_rows *rows, const jemi_graph *graph, int32_t precision,
                            jemi_choosing by);

/**
 * What plans of a program are computed by, in words that are equal where bits are.
 *
 * @param provider  Name, version and instruction set of the library behind JEMI_KERNEL_ONEDNN, told
 *                  where a layer is computed by it: our own kernels have the same bits everywhere.
 *                  NULL = there is none.
 */
void jemi_choose_words(const jemi_program *program, const jemi_conv_rows *rows, int32_t precision,
                       const char *provider, char *out, size_t size);

/** The same of the table. */
uint32_t jemi_choose_table_digest(void);

#endif
