/*
 * Running statistics of batch normalisation (Ioffe & Szegedy 2015), as torch.nn.BatchNorm keeps
 * them: after each batch
 *
 *     running = 0.9 * running + 0.1 * statistics of the batch,   the variance unbiased
 *
 * Labelled and data batches move them, samples and chains do not. Of a batch that is passed in
 * chunks it is the mean over chunks, by their rows.
 */
#ifndef JEMI_TRAIN_RUNNING_H
#define JEMI_TRAIN_RUNNING_H

#include "model/pass.h"

typedef struct jemi_running {
    const jemi_graph *graph;
    float *room; /* 2 * state_count floats of the caller's */
} jemi_running;

/** Of one batch: begin, add the statistics of each chunk's forward pass, move. */
void jemi_running_begin(jemi_running *running);

/** Of the chunk's last forward. @param share  Of the batch's rows that the chunk has. */
void jemi_running_add(jemi_running *running, const jemi_chunk *chunk, double share);

/** Moves the state of a flat vector; JEM_EDIVERGED when it would not be finite. */
jem_status jemi_running_move(const jemi_running *running, float *params);

#endif
