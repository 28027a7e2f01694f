/*
 * A generation is free when nobody references it; the current one is referenced by being current.
 * There are at most as many as runners plus two, so finding a free one is a short walk.
 */
#include "model/generation.h"

#include "base/memory.h"
#include "base/version.h"
#include "nn/spectral.h"

static _Thread_local jemi_pin *own_pins; // of the calling thread, the newest first

// In the child of a fork: what is left is being current, a write of this thread, and its pins.
static int count_references(void *context)
{
    int uses = 0;
    jemi_generations *generations = context;
    for (jemi_generation *g = generations->all; g != NULL; g = g->next)
        g->references = g == generations->current;
    if (!jemi_claim_taken(&generations->writer))
        generations->writing = NULL;
    if (generations->writing != NULL) {
        generations->writing->references++;
        uses++;
    }
    for (const jemi_pin *pin = own_pins; pin != NULL; pin = pin->outer)
        if (pin->generations == generations) {
            pin->generation->references++;
            uses++;
        }
    return uses;
}

// With the lock.
static void begin_writing(jemi_generations *generations, jemi_generation *next)
{
    next->references = 1;
    generations->writing = next;
    jemi_lock_count(&generations->lock, 1);
}

static void end_writing(jemi_generations *generations)
{
    generations->writing = NULL;
    jemi_lock_count(&generations->lock, -1);
}

jem_status jemi_generations_init(jemi_generations *generations, jemi_program *program)
{
    if (!jemi_lock_init(&generations->lock, JEMI_RANK_GENERATIONS, count_references, generations))
        return jemi_fail_memory("lock of the parameters");
    generations->program = program;
    return JEM_OK;
}

static void destroy_generation(const jemi_program *program, jemi_generation *generation)
{
    if (generation == NULL)
        return;
    program->backend->weights_destroy(generation->weights);
    jemi_free(generation->params);
    jemi_free(generation->normalized);
    jemi_attachment_release(generation->attachment);
    jemi_free(generation);
}

void jemi_generations_fini(jemi_generations *generations)
{
    if (generations->program == NULL)
        return;
    jemi_lock_fini(&generations->lock); // first: a fork from here on leaves it alone
    jemi_generation *generation = generations->all;
    while (generation != NULL) {
        jemi_generation *next = generation->next;
        destroy_generation(generations->program, generation);
        generation = next;
    }
    *generations = (jemi_generations){0};
}

jemi_generation *jemi_generation_pin(jemi_generations *generations, jemi_pin *pin)
{
    jemi_lock_enter(&generations->lock);
    jemi_generation *generation = generations->current;
    generation->references++;
    jemi_lock_count(&generations->lock, 1);
    *pin = (jemi_pin){generations, generation, own_pins};
    own_pins = pin;
    jemi_lock_leave(&generations->lock);
    return generation;
}

void jemi_generation_unpin(jemi_pin *pin)
{
    jemi_lock_enter(&pin->generations->lock);
    jemi_pin **at = &own_pins;
    while (*at != pin)
        at = &(*at)->outer;
    *at = pin->outer;
    pin->generation->references--;
    jemi_lock_count(&pin->generations->lock, -1);
    jemi_lock_leave(&pin->generations->lock);
}

static jem_status create_generation(jemi_program *program, jemi_generation **out)
{
    jemi_generation *generation = jemi_calloc(1, sizeof *generation);
    if (generation == NULL)
        return jemi_fail_memory("parameter generation");
    jem_status status = program->backend->weights_create(&generation->weights, program);
    if (status != JEM_OK)
        goto fail;
    const size_t count = (size_t)jemi_graph_size(program->graph);
    const bool normalizes = jemi_spectral_any(program->graph);
    generation->params = jemi_alloc(count, sizeof(float));
    generation->normalized = normalizes ? jemi_alloc(count, sizeof(float)) : NULL;
    if (generation->params == NULL || (normalizes && generation->normalized == NULL)) {
        status = jemi_fail_memory("parameters");
        goto fail;
    }
    *out = generation;
    return JEM_OK;
fail:
    destroy_generation(program, generation);
    return status;
}

// A free generation with one reference for the writer, or NULL.
static jemi_generation *recycle(jemi_generations *generations)
{
    jemi_lock_enter(&generations->lock);
    jemi_generation *generation = generations->all;
    while (generation != NULL && generation->references != 0)
        generation = generation->next;
    if (generation != NULL)
        begin_writing(generations, generation);
    jemi_lock_leave(&generations->lock);
    return generation;
}

static void enlist(jemi_generations *generations, jemi_generation *generation)
{
    jemi_lock_enter(&generations->lock);
    generation->next = generations->all;
    generations->all = generation;
    begin_writing(generations, generation);
    jemi_lock_leave(&generations->lock);
}

static void detach(jemi_generations *generations, jemi_generation *generation)
{
    jemi_lock_enter(&generations->lock);
    jemi_attachment *old = generation->attachment;
    generation->attachment = NULL;
    jemi_lock_leave(&generations->lock);
    jemi_attachment_release(old);
}

jem_status jemi_generations_begin(jemi_generations *generations, jemi_generation **next)
{
    JEMI_TRY(jemi_claim_take(&generations->writer, "model"));
    *next = recycle(generations);
    if (*next == NULL) {
        const jem_status status = create_generation(generations->program, next);
        if (status != JEM_OK) {
            jemi_claim_release(&generations->writer);
            return status;
        }
        enlist(generations, *next);
    }
    (*next)->version = jemi_version_new();
    (*next)->temperature = 1.0f;
    detach(generations, *next);
    return JEM_OK;
}

static void normalize(const jemi_generations *generations, jemi_generation *generation)
{
    if (generation->normalized != NULL)
        jemi_spectral_normalize(generations->program->graph, generation->params,
                                generation->normalized);
}

static void set_weights(const jemi_generations *generations, jemi_generation *generation)
{
    const bool normalizes = generation->normalized != NULL;
    generations->program->backend->weights_set(
        generation->weights, normalizes ? generation->normalized : generation->params);
}

void jemi_generations_try(jemi_generations *generations, jemi_generation *next)
{
    normalize(generations, next);
    set_weights(generations, next);
}

// Packed weights are several times as large as the parameters. When nobody reads the old ones, the
// new ones take their room, so that a run of training has it once.
static void take_room(jemi_generation *next, jemi_generation *old)
{
    if (old->references > 1)
        return;
    jemi_weights *room = old->weights;
    old->weights = next->weights;
    next->weights = room;
}

void jemi_generations_commit(jemi_generations *generations, jemi_generation *next)
{
    normalize(generations, next);
    jemi_lock_enter(&generations->lock);
    jemi_generation *old = generations->current;
    if (old != NULL)
        take_room(next, old);
    set_weights(generations, next); // under the lock: who pins the old ones now would read them
    if (old != NULL)
        old->references--;
    generations->current = next; // the writer's reference becomes that of being current
    end_writing(generations);
    jemi_lock_leave(&generations->lock);
    jemi_claim_release(&generations->writer);
}

void jemi_generations_abort(jemi_generations *generations, jemi_generation *next)
{
    jemi_lock_enter(&generations->lock);
    next->references--;
    end_writing(generations);
    jemi_lock_leave(&generations->lock);
    jemi_claim_release(&generations->writer);
}

void jemi_generations_end(jemi_generations *generations, jemi_generation *next, jem_status status)
{
    if (status == JEM_OK)
        jemi_generations_commit(generations, next);
    else
        jemi_generations_abort(generations, next);
}

void jemi_generations_set_temperature(jemi_generations *generations, float temperature)
{
    jemi_lock_enter(&generations->lock);
    generations->current->temperature = temperature;
    jemi_lock_leave(&generations->lock);
}

float jemi_generation_temperature(jemi_generations *generations, const jemi_generation *generation)
{
    jemi_lock_enter(&generations->lock);
    const float temperature = generation->temperature;
    jemi_lock_leave(&generations->lock);
    return temperature;
}

bool jemi_generations_attach(jemi_generations *generations, uint64_t version,
                             jemi_attachment *attachment)
{
    jemi_lock_enter(&generations->lock);
    jemi_generation *current = generations->current;
    const bool good = current->version == version;
    jemi_attachment *old = current->attachment;
    if (good)
        current->attachment = attachment;
    jemi_lock_leave(&generations->lock);
    if (good)
        jemi_attachment_release(old);
    return good;
}

jemi_attachment *jemi_generation_attachment(jemi_generations *generations,
                                            const jemi_generation *generation)
{
    jemi_lock_enter(&generations->lock);
    jemi_attachment *attachment = jemi_attachment_share(generation->attachment);
    jemi_lock_leave(&generations->lock);
    return attachment;
}

size_t jemi_generations_bytes(jemi_generations *generations)
{
    const jemi_program *program = generations->program;
    const size_t copies = jemi_spectral_any(program->graph) ? 2 : 1;
    const size_t params_bytes = copies * (size_t)jemi_graph_size(program->graph) * sizeof(float);
    size_t bytes = 0;
    jemi_lock_enter(&generations->lock);
    for (const jemi_generation *g = generations->all; g != NULL; g = g->next)
        bytes += params_bytes + program->backend->weights_bytes(g->weights) +
                 jemi_attachment_bytes(g->attachment);
    jemi_lock_leave(&generations->lock);
    return bytes;
}
