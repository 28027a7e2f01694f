/*
 * Weights in the orders that kernels want them in.
 *
 * A program keeps a table of slots, "parameter p packed in that way", which plans extend while they
 * are compiled. A weights object holds at most one packed copy per slot, made when a plan first asks
 * for it after weights_set() and shared by all plans from then on.
 */
#ifndef JEMI_BACKEND_CPU_WEIGHT_CACHE_H
#define JEMI_BACKEND_CPU_WEIGHT_CACHE_H

#include "backend/backend.h"

typedef struct jemi_packing jemi_packing;

/** A family of ways to pack a weight. */
typedef struct jemi_packing_type {
    size_t (*bytes)(const jemi_packing *packing, const jemi_param *param);
    /** Fills a block of that size, which is zeroed before the first time. Asks for no memory. */
    void (*pack)(const jemi_packing *packing, const jemi_param *param, void *packed,
                 const float *plain);
    /** May two keys share a copy? NULL where there are no keys. */
    bool (*same)(const void *a, const void *b);
    void (*destroy)(void *key); /* NULL where there are no keys */
} jemi_packing_type;

struct jemi_packing {
    const jemi_packing_type *type;
    int32_t param;   /* index into the graph's */
    int32_t variant; /* of the type: its own numbers */
    void *key;       /* of the type: more than a number can say */
};

/** The slots of a program. */
typedef struct jemi_slots jemi_slots;
jem_status jemi_slots_create(jemi_slots **out);
void jemi_slots_destroy(jemi_slots *slots);

/** The slot of a packing, found or added. Takes over its key, also on failure. */
jem_status jemi_slots_find(jemi_slots *slots, const jemi_packing *packing, int32_t *slot);

/** @param slots  Those of the program. */
jem_status jemi_cpu_weights_create(jemi_weights **out, jemi_program *program, jemi_slots *slots);

/* Slots of the vtable. */
void jemi_cpu_weights_set(jemi_weights *weights, const float *params);
size_t jemi_cpu_weights_bytes(const jemi_weights *weights);
void jemi_cpu_weights_destroy(jemi_weights *weights);

/** The flat vector of the last weights_set(). */
const float *jemi_cpu_weights_params(const jemi_weights *weights);

/**
 * The copy of these weights for a slot, packed now if it is missing or stale.
 *
 * @param packed  Out. Borrowed: valid until the next weights_set(); for reading only.
 *
 * Threads: any number at once. Costs one atomic load once the copy is fresh.
 */
jem_status jemi_cpu_weights_get(jemi_weights *weights, int32_t slot, const void **packed);

#endif
