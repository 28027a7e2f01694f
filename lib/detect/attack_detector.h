/*
 * What an attack sees of a network that a detector guards.
 */
#ifndef JEMI_DETECT_ATTACK_DETECTOR_H
#define JEMI_DETECT_ATTACK_DETECTOR_H

#include "detect/attack_front.h"

/**
 * As jemi_attack_look(). The cost is the detector's score above the threshold of the predicted
 * class, and the goal is reached where jem_detect() would not flag.
 */
jem_status jemi_attack_look_at_detector(jemi_front *front, int plane, int grads);

#endif
