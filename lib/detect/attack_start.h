/*
 * Where attacks begin that need nothing but decisions: at a point that reaches the goal, wherever it
 * is.
 */
#ifndef JEMI_DETECT_ATTACK_START_H
#define JEMI_DETECT_ATTACK_START_H

#include "detect/attack_front.h"

enum { JEMI_ATTACK_FIND_MOMENTS = 48 };

/**
 * Looks for such a point among random images of ever larger blocks of one colour. Rows for which
 * there is none leave the front.
 *
 * @param moment  It uses JEMI_ATTACK_FIND_MOMENTS from here on.
 * @param plane   Out, the points, which were kept.
 * @param spare   A plane that is overwritten.
 */
jem_status jemi_attack_find_start(jemi_front *front, uint64_t moment, int plane, int spare);

/** Halves the way from x to these points, again and again: they move to the boundary. */
jem_status jemi_attack_halve_way(jemi_front *front, uint64_t moment, int plane, int spare);

#endif
