/*
 * Parameter generations. A generation is one immutable set of parameters, what belongs to them
 * (running statistics, a fitted temperature, a detector) and their packed weights; readers pin the current one,
 * a writer builds the next and swaps it in. So scoring and training run side by side, and a reader
 * never sees half an update.
 *
 * Retired generations are kept and recycled: in the steady state a writer allocates nothing.
 *
 * Readers and the writer are known by their threads, so that the child of a fork counts the
 * references again: a reader that is not there holds nothing, and what a writer that is not there
 * had begun is free.
 */
#ifndef JEMI_MODEL_GENERATION_H
#define JEMI_MODEL_GENERATION_H

#include "backend/backend.h"
#include "base/claim.h"
#include "base/lock.h"
#include "model/attachment.h"

typedef struct jemi_generation {
    float *params;     /* flat, with state; nobody writes them after jemi_generations_commit() */
    float *normalized; /* what the backend computes with under spectral normalisation, else NULL */
    jemi_weights *weights;
    int64_t references;
    uint64_t version;            /* of the write */
    float temperature;           /* fitted to them; 1 at first; guarded by the lock */
    jemi_attachment *attachment; /* what was fitted to them besides, or NULL; guarded by the lock */
    struct jemi_generation *next; /* in the list of all, for the destroy */
} jemi_generation;

typedef struct jemi_generations {
    jemi_program *program; /* borrowed */
    jemi_claim writer;
    jemi_lock lock; /* guards the fields below, not held while a network is computed */
    jemi_generation *current;
    jemi_generation *writing; /* the writer's, between begin and its end */
    jemi_generation *all;
} jemi_generations;

/** A reader's hold on a generation; lives from pin to unpin. */
typedef struct jemi_pin {
    jemi_generations *generations;
    jemi_generation *generation;
    struct jemi_pin *outer; /* another one of the same thread */
} jemi_pin;

/** Zeroed before. Begins without a current generation: the first commit makes it. */
jem_status jemi_generations_init(jemi_generations *generations, jemi_program *program);
void jemi_generations_fini(jemi_generations *generations);

/** The current parameters, held until jemi_generation_unpin() by the same thread. */
jemi_generation *jemi_generation_pin(jemi_generations *generations, jemi_pin *pin);
void jemi_generation_unpin(jemi_pin *pin);

/**
 * Begins a write: takes the writer's place (JEM_EBUSY) and gives a generation whose params are to
 * be filled. End it by commit or abort.
 */
jem_status jemi_generations_begin(jemi_generations *generations, jemi_generation **next);

/** Lets the writer, and nobody else, compute with what next->params hold: see jemi_runner_try(). */
void jemi_generations_try(jemi_generations *generations, jemi_generation *next);

/** The new parameters are the current ones from here on. */
void jemi_generations_commit(jemi_generations *generations, jemi_generation *next);

/** Commits on JEM_OK, else aborts. */
void jemi_generations_end(jemi_generations *generations, jemi_generation *next, jem_status status);

/** Nothing happened. */
void jemi_generations_abort(jemi_generations *generations, jemi_generation *next);

/** Of the current parameters; those of the next write begin at 1 again. */
void jemi_generations_set_temperature(jemi_generations *generations, float temperature);
float jemi_generation_temperature(jemi_generations *generations, const jemi_generation *generation);

/** Of the current parameters, whose version must be this one, else false and nothing has changed.
 *  Takes over the reference. */
bool jemi_generations_attach(jemi_generations *generations, uint64_t version,
                             jemi_attachment *attachment);
/** A reference for the caller, or NULL. */
jemi_attachment *jemi_generation_attachment(jemi_generations *generations,
                                            const jemi_generation *generation);

/** Parameters, packed weights and attachments of all generations. */
size_t jemi_generations_bytes(jemi_generations *generations);

#endif
