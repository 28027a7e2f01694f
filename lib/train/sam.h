/*
 * Sharpness-aware minimisation: where its second gradient is taken.
 */
#ifndef JEMI_TRAIN_SAM_H
#define JEMI_TRAIN_SAM_H

#include "train/optimizer.h"

/** theta + eps for the gradient in `grad`, whose 2-norm is given; jem_optimizer_config says eps. */
void jemi_sam_perturb(const jem_optimizer *optimizer, const float *theta, double grad_norm,
                      float *perturbed);

#endif
