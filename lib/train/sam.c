/*
 * With the scaling |theta| of Kwon et al. the direction |theta| (|theta| g) is theta (theta g), so
 * two products by theta give both it and, between them, the norm.
 */
#include "train/sam.h"

#include <math.h>

#include "kernels/vector.h"

void jemi_sam_perturb(const jem_optimizer *optimizer, const float *theta, double grad_norm,
                      float *perturbed)
{
    const jem_optimizer_config *config = &optimizer->config;
    const int64_t count = optimizer->fingerprint.param_count;
    const float *direction = optimizer->grad;
    double norm = grad_norm;
    if (config->sam_adaptive) {
        jemi_multiply(perturbed, theta, optimizer->grad, count);
        norm = sqrt(jemi_sum_squares(perturbed, count));
        jemi_multiply(perturbed, theta, perturbed, count);
        direction = perturbed;
    }
    const double scale = norm > 0.0 ? config->sam_rho / norm : 0.0;
    jemi_add_scaled(perturbed, theta, direction, (float)scale, count);
}
