/*
 * The reference in double, for tests: what the float backends are held against, and what numeric
 * differences are held against it.
 */
#ifndef JEMI_BACKEND_REF_REF_H
#define JEMI_BACKEND_REF_REF_H

#include "backend/plan.h"

/**
 * Forward and, when dout is given, backward of n rows in JEMI_MODE_EVAL, everything double.
 *
 * @param dout     In, may be NULL. (n, K).
 * @param din      Out, may be NULL. (n, C, H, W).
 * @param dparams  Out, may be NULL. Flat, summed over rows, overwritten.
 */
jem_status jemi_ref_run_f64(const jemi_graph *graph, const double *params, int64_t n,
                            const double *in, double *out, const double *dout, double *din,
                            double *dparams);

/**
 * The same as part of training or of a chain.
 *
 * @param dropout  In, may be NULL where there is none.
 * @param state    Out, may be NULL. (state_count). What the contract's statistics() gives.
 */
jem_status jemi_ref_run_mode_f64(const jemi_graph *graph, jemi_mode mode,
                                 const jemi_dropout *dropout, const double *params, int64_t n,
                                 const double *in, double *out, const double *dout, double *din,
                                 double *dparams, double *state);

#endif
