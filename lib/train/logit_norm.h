/*
 * LogitNorm (Wei et al. 2022, arXiv 2205.09310, eq. 5): the cross entropy of logits of one length,
 *
 *     g = f / s,   s = tau |f| + tau 1e-7   (the small number is that of the authors' code)
 *
 * so that a network cannot lower its loss by making its logits longer. With p = softmax g,
 *
 *     dCE/dg = p - onehot(y)     dg_k/df_j = [k = j] / s - f_k tau f_j / (|f| s^2)
 *     dCE/df_j = (p_j - [j = y]) / s - (tau / (|f| s^2)) (sum_k p_k f_k - f_y) f_j
 *
 * The second part removes all of the first that points along f, but for the small number. At f = 0
 * it is 0, which is its limit.
 */
#ifndef JEMI_TRAIN_LOGIT_NORM_H
#define JEMI_TRAIN_LOGIT_NORM_H

#include <stdint.h>

/** The cross entropy of one row of K logits. */
double jemi_logit_norm_loss(double tau, int64_t n_classes, const float *f, int64_t label);

/** Adds `weight` times its gradient to df. (K). */
void jemi_logit_norm_gradient(double tau, int64_t n_classes, const float *f, int64_t label,
                              double weight, float *df);

#endif
