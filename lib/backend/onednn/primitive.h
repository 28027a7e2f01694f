/*
 * A oneDNN primitive as an op of a plan, and the weights that oneDNN has packed.
 */
#ifndef JEMI_BACKEND_ONEDNN_PRIMITIVE_H
#define JEMI_BACKEND_ONEDNN_PRIMITIVE_H

#include "backend/cpu/ops.h"
#include "backend/onednn/dnnl_compat.h"

/** Where the memory of an argument lies. */
typedef enum jemi_dnnl_source {
    JEMI_DNNL_TENSOR,  /* of that index */
    JEMI_DNNL_PACKED,  /* the op's packed weights */
    JEMI_DNNL_PARAM,   /* the parameter of that index */
    JEMI_DNNL_DPARAM,  /* its gradient */
    JEMI_DNNL_SCRATCH, /* the scratchpad that all ops share */
} jemi_dnnl_source;

/** What an op is called, and what the primitive does beyond its name. */
typedef struct jemi_dnnl_words {
    const char *what;  /* static */
    int32_t direction; /* JEM_STEP_* */
    bool sum, lrelu;
    bool contracts; /* the node's multiply-adds are its own */
} jemi_dnnl_words;

/** Appends an op that executes a primitive of `pd`; arguments follow. */
jem_status jemi_dnnl_op(jemi_compile *c, jemi_dnnl_words words, jemi_op_place at,
                        const_dnnl_primitive_desc_t pd, jemi_op **op);

/** Adds an argument. @param md  In. How the primitive sees it. */
jem_status jemi_dnnl_op_arg(jemi_op *op, int name, const jemi_md *md, jemi_dnnl_source source,
                            int32_t index);

/** The slot of a parameter (O, I, KH, KW) packed in that order. (packing.c) */
jem_status jemi_dnnl_packing_slot(jemi_program *program, int32_t param, const jemi_md *packed,
                                  int32_t *slot);

/** The row of oneDNN's direct convolutions. (convolution.c) */
extern const jemi_conv_impl jemi_conv_onednn;

#endif
