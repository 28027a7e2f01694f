/*
 * Langevin chains: K steps of x <- x - step * clamp(dE/dx) + noise, for rows of any origin.
 */
#ifndef JEMI_EBM_LANGEVIN_H
#define JEMI_EBM_LANGEVIN_H

#include "backend/chain.h"
#include "model/pass.h"

/**
 * All steps of some chains before the next ones, so that they stay in cache. Until memory for all
 * of it is there, no chain moves.
 *
 * @param pass  That of jemi_pass_chain().
 * @return JEM_EDIVERGED when something is not finite, JEM_ECANCELLED, or what the backend says.
 */
jem_status jemi_langevin_chains(const jemi_pass *pass, jemi_runner *runner,
                                const jemi_langevin_run_config *config, const jemi_chains *chains);

#endif
