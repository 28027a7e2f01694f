/*
 * The part of oneDNN that libjem uses, in the words both of its C APIs (v2 and v3) can be put into.
 *
 * v2 has op descriptors and plain memory-descriptor structs, v3 has neither; nothing outside
 * dnnl_compat.c knows. Descriptors made here are values with a fini, statuses are oneDNN's own
 * until jemi_dnnl_check() turns them into ours.
 */
#ifndef JEMI_BACKEND_ONEDNN_DNNL_COMPAT_H
#define JEMI_BACKEND_ONEDNN_DNNL_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <oneapi/dnnl/dnnl.h>

#include <jem/jem.h>

#include "backend/cpu/conv_impl.h"
#include "kernels/layout.h"

/** No limit on instruction sets; v2 and v3 have two names for it. */
#if DNNL_VERSION_MAJOR >= 3
#define JEMI_DNNL_ANY_ISA dnnl_cpu_isa_default
#else
#define JEMI_DNNL_ANY_ISA dnnl_cpu_isa_all
#endif

/** A memory descriptor: shape, data type and order. Zeroed = none; fini accepts it. */
typedef struct jemi_md {
    dnnl_memory_desc_t raw;
} jemi_md;

typedef enum jemi_md_order {
    JEMI_MD_ANY,    /* the primitive chooses */
    JEMI_MD_PLAIN,  /* row-major: nchw, oihw, a */
    JEMI_MD_PIXELS, /* nhwc */
} jemi_md_order;

/** @param rank  1 or 4. f32. */
dnnl_status_t jemi_md_init(jemi_md *md, int rank, const int64_t *dims, jemi_md_order order);
dnnl_status_t jemi_md_copy(jemi_md *md, const jemi_md *from);
void jemi_md_fini(jemi_md *md);
bool jemi_md_equal(const jemi_md *a, const jemi_md *b);
size_t jemi_md_bytes(const jemi_md *md);

enum { JEMI_RANK_MAX = 4, JEMI_INNER_MAX = 8 };

/** A blocked order: an element's place is the sum over dimensions of (index / product of its inner
 *  blocks) * stride, and its place in the inner blocks, which stand outermost first. */
typedef struct jemi_blocking {
    int rank, n_inner;
    int64_t dims[JEMI_RANK_MAX], padded[JEMI_RANK_MAX], strides[JEMI_RANK_MAX];
    int64_t inner_size[JEMI_INNER_MAX], inner_dim[JEMI_INNER_MAX];
} jemi_blocking;

/** False where the order is no blocked one. Unused places are 0. */
bool jemi_md_blocking(const jemi_md *md, jemi_blocking *blocking);

/** How our kernels may walk an image descriptor; false if it is of no order they know. */
bool jemi_md_layout(const jemi_md *md, jemi_layout *layout);

/**
 * One direct convolution; forward always oneDNN's forward_training, also where no gradient is
 * wanted: its forward_inference takes other kernels, and a row's logits would depend on which plan
 * computed them. Its src, weights, bias, dst stand for their gradients in the other
 * directions.
 */
typedef struct jemi_conv_desc {
    jemi_conv_direction direction;
    jemi_md src, weights, bias, dst;
    int64_t stride, pad;
    bool sum; /* dst += : post-ops, forward only */
    bool lrelu;
    float slope;
    const_dnnl_primitive_desc_t hint; /* of JEMI_CONV_FORWARD, for the other directions */
} jemi_conv_desc;

void jemi_conv_desc_fini(jemi_conv_desc *desc);

dnnl_status_t jemi_dnnl_conv_create(dnnl_primitive_desc_t *pd, const jemi_conv_desc *desc,
                                    dnnl_engine_t engine);
dnnl_status_t jemi_dnnl_reorder_create(dnnl_primitive_desc_t *pd, const jemi_md *from,
                                       const jemi_md *to, dnnl_engine_t engine);

typedef enum jemi_pd_md {
    JEMI_PD_SRC,
    JEMI_PD_WEIGHTS,
    JEMI_PD_DST,
    JEMI_PD_DIFF_SRC,
    JEMI_PD_DIFF_WEIGHTS,
    JEMI_PD_DIFF_DST,
    JEMI_PD_SCRATCHPAD,
} jemi_pd_md;

/** A copy of what a primitive descriptor settled on. */
dnnl_status_t jemi_pd_query(const_dnnl_primitive_desc_t pd, jemi_pd_md which, jemi_md *md);

/** The implementation's name. Lives as long as the descriptor. */
const char *jemi_pd_impl(const_dnnl_primitive_desc_t pd);

/** @param data  May be NULL: set later by dnnl_memory_set_data_handle(). */
dnnl_status_t jemi_memory_create(dnnl_memory_t *memory, const jemi_md *md, dnnl_engine_t engine,
                                 void *data);

/** JEM_OK, or a failure with a sentence that says what could not be done. */
jem_status jemi_dnnl_check(dnnl_status_t status, const char *what);

#endif
