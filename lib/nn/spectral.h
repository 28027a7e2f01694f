/*
 * Spectral normalisation (Miyato et al. 2018): a layer computes with W / sigma, where
 *
 *     sigma = u . W v        v = W' u / |W' u|        u = W v / |W v|
 *
 * estimates the largest singular value of the weight as a matrix (O, rest). u and v are state; each
 * training step improves them by one power iteration, as torch.nn.utils.spectral_norm does, and for
 * gradients they are constants.
 *
 * All of it is about weights, so no backend knows of it: a generation hands normalised weights to
 * the backend, and a training step maps the gradient back. Without such layers every function here
 * does nothing.
 */
#ifndef JEMI_NN_SPECTRAL_H
#define JEMI_NN_SPECTRAL_H

#include "nn/graph.h"

/** Whether any weight of the network is normalised. */
bool jemi_spectral_any(const jemi_graph *graph);

/** One power iteration on every u and v of a flat vector. */
void jemi_spectral_iterate(const jemi_graph *graph, float *params);

/** The flat vector that a backend computes with: `params` with every normalised W / sigma. */
void jemi_spectral_normalize(const jemi_graph *graph, const float *params, float *normalized);

/** dL/d(W / sigma) to dL/dW, in place, for every normalised W of a flat gradient (params only). */
void jemi_spectral_gradient(const jemi_graph *graph, const float *params, float *grad);

#endif
