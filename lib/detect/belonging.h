/*
 * Which model something was learnt about. What a detector knows means nothing for other parameters,
 * and little for other rounding or other inputs.
 */
#ifndef JEMI_DETECT_BELONGING_H
#define JEMI_DETECT_BELONGING_H

#include <stdatomic.h>

#include "model/model.h"

/** Fixed widths: it is stored in files. */
typedef struct jemi_belonging {
    uint64_t network;  /* digest of the architecture and all parameters */
    uint64_t input;    /* digest of the input range and the standardisation */
    int32_t precision; /* JEM_PRECISION_*, of scoring */
    int32_t backend;   /* JEM_BACKEND_* */
} jemi_belonging;

/** Of what a runner computes with. */
jemi_belonging jemi_belonging_of(const jem_model *model, const jemi_runner *runner);

/**
 * @param verified  Version of the last parameters that were found to be these, 0 = none: the digest
 *                  of many parameters takes a while. Any number of threads may check at once.
 * @return JEM_OK; JEM_EMISMATCH with what is different.
 */
jem_status jemi_belonging_check(const jemi_belonging *belonging, _Atomic uint64_t *verified,
                                const jem_model *model, const jemi_runner *runner);

#endif
