/*
 * The sampler handle: transition kernel, replay buffer, random streams.
 *
 * Counters instead of generator state: how many steps the caller's rows and the buffer's chains
 * have taken, and how many draws there were. With the seed they say everything about what comes
 * next.
 */
#ifndef JEMI_EBM_SAMPLER_H
#define JEMI_EBM_SAMPLER_H

#include <stdbool.h>

#include "base/claim.h"
#include "ebm/langevin.h"
#include "ebm/starts.h"
#include "model/pass.h"

/** Where the chains of a buffer once were. Zeroed = no room for any. */
typedef struct jemi_kept_chains {
    int32_t capacity;
    int64_t row_len;
    float *chains; /* (capacity, row_len) */
    int64_t *ages; /* (capacity) */
    uint64_t slot_steps, draws;
    bool filled;
} jemi_kept_chains;

struct jem_sampler {
    jem_sampler_config config;
    jemi_fingerprint fingerprint;
    int32_t threads; /* of the model that it was made for: of calls that have no model */
    jemi_claim claim;
    jemi_starts starts;
    uint64_t row_steps;  /* taken by caller's rows */
    uint64_t slot_steps; /* taken by chains of the buffer */
    uint64_t row_starts; /* calls of jem_sampler_start */
    uint64_t draws;      /* of the buffer, its filling included */
    float *chains;       /* (capacity, C, H, W) */
    int64_t *ages;       /* (capacity), steps since the last start */
    bool filled;         /* false: the next use starts every chain */
    uint32_t epoch;      /* of the random streams; another after each jemi_sampler_go_back() */
    uint64_t version;    /* of the buffer as others than its draws have last set it */
    /* Of a draw in progress: */
    uint32_t *order; /* (capacity), 0 .. capacity-1 between draws */
    bool shuffled;   /* it is not */
    uint32_t *slots; /* (capacity), those drawn */
    int64_t *draw_labels;
    int64_t *draw_ages;
    float *draw_norms;
};

jem_status jemi_sampler_create(jem_sampler **out, const jem_model *model,
                               const jem_sampler_config *config);
void jemi_sampler_destroy(jem_sampler *sampler);

/** The class of a slot when class-conditional, else -1. */
int64_t jemi_sampler_slot_label(const jem_sampler *sampler, uint32_t slot);

/** JEM_EINVAL when starts want a fit that was not made. */
jem_status jemi_sampler_check_fit(const jem_sampler *sampler);

/** Whether chains that start anew in a training step start at that step's data. */
bool jemi_sampler_takes_data(const jem_sampler *sampler);

void jemi_sampler_start(jem_sampler *sampler, int64_t n, const int64_t *labels, float *x);

/** Starts all chains, from what was fitted, unless that has been done. */
void jemi_sampler_fill(jem_sampler *sampler);

/** The buffer is another from here on: what was kept of it before has no meaning any more. */
void jemi_sampler_renew(jem_sampler *sampler);

/** Replaces n chains from chain `first` on; the others are started unless that has been done. */
void jemi_sampler_put(jem_sampler *sampler, int64_t first, int64_t n, const float *x);

/** Langevin steps on the caller's rows. @param pass  That of jemi_pass_chain(). */
jem_status jemi_sampler_run(jem_sampler *sampler, jemi_runner *runner, const jemi_pass *pass,
                            const jemi_chains *chains, int32_t steps, jem_progress_fn progress,
                            void *user);

/** What a draw tells of its chains. */
typedef struct jemi_draw_figures {
    double grad_norm; /* mean |dE/dx| per row in the last step */
    double age;       /* mean number of steps since the last start, this draw's included */
    double clamped;   /* part of the elements that lie on x_low or x_high, 0..1 */
} jemi_draw_figures;

/** A draw of n chains from the buffer. */
typedef struct jemi_draw {
    int64_t n;
    float *x; /* out, (n, C, H, W) */
    /* Rows at which chains start where jemi_sampler_takes_data(); NULL = those that were fitted. */
    const float *data;
    int64_t n_data;
    jem_progress_fn progress; /* may be NULL */
    void *user;
} jemi_draw;

/**
 * Neither the buffer nor the streams move on before jemi_sampler_finish_draw(), with which every
 * draw ends, unless memory ran out: then nothing has happened and the draw can be made again.
 * The chains' classes are in draw_labels until the next draw.
 *
 * @param pass     That of jemi_pass_chain().
 * @param figures  Out, may be NULL.
 */
jem_status jemi_sampler_draw(jem_sampler *sampler, jemi_runner *runner, const jemi_pass *pass,
                             const jemi_draw *draw, jemi_draw_figures *figures);

/** Stores the chains of the last draw; NULL when it failed, so that only its noise is used up. */
void jemi_sampler_finish_draw(jem_sampler *sampler, int64_t n, const float *x);

/** Room for the chains of this sampler, unless there is; on failure there is none. */
jem_status jemi_kept_chains_reserve(jemi_kept_chains *kept, const jem_sampler *sampler);
void jemi_kept_chains_fini(jemi_kept_chains *kept);

/** Keeps where the buffer's chains and streams are now. There is room. */
void jemi_sampler_keep(const jem_sampler *sampler, jemi_kept_chains *kept);

/**
 * Back to what was kept, on other random streams. Chains of the draw just finished that are not
 * finite or beyond +-bound start anew, in what is kept too; all of them do, if none is.
 *
 * @param draw  n = 0: there was none.
 */
void jemi_sampler_go_back(jem_sampler *sampler, jemi_kept_chains *kept, const jemi_draw *draw,
                          double bound);

#endif
