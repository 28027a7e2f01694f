/*
 * The passes that calls are made of, each kind made in one place.
 */
#ifndef JEMI_MODEL_PASS_H
#define JEMI_MODEL_PASS_H

#include "model/model.h"

/** Of rows that are only looked at. @param wants  JEMI_WANT_DINPUT, or 0. */
jemi_pass jemi_pass_scoring(const jem_model *model, const jemi_runner *runner, uint32_t wants);

/** Of chains: input gradients. */
jemi_pass jemi_pass_chain(const jem_model *model, const jemi_runner *runner);

/**
 * Of rows that a training step learns from: parameter gradients.
 *
 * @param at       The pinned generation, or the writer's own trial.
 * @param dropout  In, may be NULL where the numbers do not matter.
 */
jemi_pass jemi_pass_training(const jem_model *model, const jemi_generation *at,
                             const jemi_dropout *dropout);

/* By a runner. */
jem_status jemi_pass_run(const jemi_pass *pass, jemi_runner *runner, int64_t n,
                         const jemi_rows_work *work);
jem_status jemi_pass_warm(const jemi_pass *pass, jemi_runner *runner, int64_t n);
jem_status jemi_pass_profile(const jemi_pass *pass, jemi_runner *runner, int64_t n, int32_t runs,
                             jemi_describe_fn receive, void *user);

/* In the work of a pass: x (n, C, H, W) -> chunk->out, and chunk->dout -> dx, chunk->dparams. */
static inline jem_status jemi_chunk_forward(jemi_chunk *chunk, const float *x)
{
    return chunk->program->backend->forward(chunk, x);
}

static inline jem_status jemi_chunk_backward(jemi_chunk *chunk, float *dx)
{
    return chunk->program->backend->backward(chunk, dx);
}

/* After a forward with statistics of the batch: these, (state_count). */
static inline void jemi_chunk_statistics(const jemi_chunk *chunk, float *state)
{
    chunk->program->backend->statistics(chunk, state);
}

#endif
