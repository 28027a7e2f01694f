/*
 * The settings of scores, as calls and detectors take them.
 */
#ifndef JEMI_API_SCORE_H
#define JEMI_API_SCORE_H

#include "base/status.h"

/** Reads a possibly NULL config; defaults filled in, values checked. */
jem_status jemi_check_score_config(const jem_score_config *config, jem_score_config *own);

#endif
