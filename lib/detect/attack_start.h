/*
 * Where attacks begin that need nothing but decisions: at a point that reaches the goal, wherever it
 * is.
 */
#ifndef JEMI_DETECT_ATTACK_START_H
#define JEMI_DETECT_ATTACK_START_H

#include "detect/attack_front.h"

/**
 * Looks for such a point among random images of ever larger blocks of one colour, then halves the
 * way from x to it. Rows for which there is none leave the front.
 *
 * @param plane  Out, the points, which were kept.
 * @param spare  A plane that is overwritten.
 */
jem_status jemi_attack_find_start(jemi_front *front, uint64_t moment, int plane, int spare);

#endif
