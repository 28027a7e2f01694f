/*
 * The kinds of attacks, as the driver in attack.c runs them.
 */
#ifndef JEMI_DETECT_ATTACK_KIND_H
#define JEMI_DETECT_ATTACK_KIND_H

#include "detect/attack_front.h"

/**
 * Both functions move points of the rows at work, look at them and keep what is better; they mark
 * rows as idle that need no further step in this restart. Rows must not learn of each other.
 *
 * Moments name random numbers and looks: start() may use those from `moment` on up to
 * JEMI_ATTACK_START_MOMENTS, step() JEMI_ATTACK_STEP_MOMENTS.
 */
typedef struct jemi_attack_kind {
    const char *name, *norm_names; /* for messages */
    int n_planes;                  /* that it needs; in the first one it is given x */
    bool minimizes;                /* it looks for the nearest point that reaches the goal */
    int32_t norms;                 /* that it knows, 1 << JEM_NORM_* or-ed together */
    int32_t steps;                 /* by default */
    jem_status (*start)(jemi_front *front, int32_t restart, uint64_t moment);
    jem_status (*step)(jemi_front *front, int32_t k, uint64_t moment);
} jemi_attack_kind;

enum { JEMI_ATTACK_START_MOMENTS = 1 << 20, JEMI_ATTACK_STEP_MOMENTS = 4 };

extern const jemi_attack_kind jemi_attack_pgd, jemi_attack_apgd, jemi_attack_square,
    jemi_attack_boundary, jemi_attack_pointwise;

#endif
