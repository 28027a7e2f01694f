/*
 * Weights in the orders that primitives want them in.
 *
 * A program keeps a table of slots, "parameter p in memory order m", which plans extend while they
 * are built. A weights object holds at most one packed copy per slot, made when a plan first asks
 * for it after weights_set() and shared by all plans from then on.
 */
#ifndef JEMI_BACKEND_ONEDNN_PACKED_H
#define JEMI_BACKEND_ONEDNN_PACKED_H

#include "backend/backend.h"
#include "backend/onednn/dnnl_compat.h"

/* Slots of the vtable. */
jem_status jemi_dnnl_program_create(jemi_program **out, const jemi_graph *graph);
void jemi_dnnl_program_destroy(jemi_program *program);
jem_status jemi_dnnl_weights_create(jemi_weights **out, jemi_program *program);
void jemi_dnnl_weights_set(jemi_weights *weights, const float *params);
size_t jemi_dnnl_weights_bytes(const jemi_weights *weights);
void jemi_dnnl_weights_destroy(jemi_weights *weights);

/**
 * The slot of a parameter in a memory order, found or added.
 *
 * @param plain   In. The order of the flat vector, in the rank that `packed` has.
 * @param packed  In. Copied.
 */
jem_status jemi_dnnl_program_slot(jemi_program *program, int32_t param, const jemi_md *plain,
                                  const jemi_md *packed, int32_t *slot);

/** How weights are packed, other than by oneDNN. */
typedef enum jemi_packing {
    JEMI_PACK_REORDER, /* by oneDNN, or not at all where the orders are the same */
    JEMI_PACK_STEM,
    JEMI_PACK_WINOGRAD,
    JEMI_PACK_WINOGRAD_BACKWARD,
    JEMI_PACK_WINOGRAD_STRIDE2,
    JEMI_PACK_WINOGRAD_STRIDE2_BACKWARD,
    JEMI_PACK_DIRECT,
    JEMI_PACK_DIRECT_BACKWARD,
    JEMI_PACK_DIRECT_BF16,
    JEMI_PACK_DIRECT_BF16_BACKWARD,
} jemi_packing;

/** The slot of a layer's weights for our own kernels, found or added. */
jem_status jemi_dnnl_program_own_slot(jemi_program *program, jemi_packing how, int32_t param,
                                      int32_t *slot);

/** The flat vector of the last weights_set(). */
const float *jemi_dnnl_weights_params(const jemi_weights *weights);

/**
 * The copy of these weights for a slot, packed now if it is missing or stale.
 *
 * @param memory  Out. Borrowed: valid until the next weights_set(); for reading only.
 *
 * Threads: any number at once. Costs one atomic load once the copy is fresh.
 */
jem_status jemi_dnnl_weights_get(jemi_weights *weights, int32_t slot, dnnl_memory_t *memory);

#endif
