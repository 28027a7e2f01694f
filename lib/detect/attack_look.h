/*
 * What an attack sees of the network: how far points are from the goal, whether they reach it, and
 * which way to go.
 */
#ifndef JEMI_DETECT_ATTACK_LOOK_H
#define JEMI_DETECT_ATTACK_LOOK_H

#include "detect/attack_front.h"

/**
 * Looks at the points of a plane and sets cost and reached of each row at work.
 *
 * The cost is the log odds of the label, log p(y|x) - log(1 - p(y|x)), its negative with a target,
 * or the energy; of a detector see attack_detector.h. Cross-entropy rises and falls with the log
 * odds, and its gradient has their direction; but where p(y|x) rounds to 1, as that of a confident
 * network does, cross-entropy is 0 and its gradient too, while the odds still have theirs.
 *
 * With refinement each point is moved by Langevin steps first, for each sample anew. Costs are the
 * means over the samples, the goal is judged by the mean logits, and the gradient at the end of a
 * chain stands for the one at its beginning (straight-through: the chain's Jacobian is taken for the
 * identity), averaged over the samples.
 *
 * @param moment  Names the noise of the refinement; each look has one of its own.
 * @param grads   A plane, out: the gradients of the costs, 0 where a row overflows. -1 = none.
 */
jem_status jemi_attack_look(jemi_front *front, int plane, uint64_t moment, int grads);

/** A look by noise that no look of an attack can have seen. */
jem_status jemi_attack_verdict(jemi_front *front, int plane);

#endif
