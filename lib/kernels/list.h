/*
 * The functions of this room that are compiled once per instruction set: F(type, name, parameters,
 * arguments) for each. Their headers declare them as jemi_<name>, which runs the set in use
 * (isa.c); a set's own is called JEMI_KERNEL(<name>).
 */
#ifndef JEMI_KERNELS_LIST_H
#define JEMI_KERNELS_LIST_H

#include "kernels/activation.h"
#include "kernels/bf16.h"
#include "kernels/direct.h"
#include "kernels/direct_weights.h"
#include "kernels/dropout.h"
#include "kernels/epilogue_alone.h"
#include "kernels/layout.h"
#include "kernels/noise.h"
#include "kernels/norm.h"
#include "kernels/panels.h"
#include "kernels/pooling.h"
#include "kernels/stem.h"
#include "kernels/vector.h"
#include "kernels/winograd.h"

#define JEMI_KERNEL_LIST(F)                                                                        \
    F(void, act_forward,                                                                           \
      (float *dst, const float *src, int64_t count, jemi_activation activation),                   \
      (dst, src, count, activation))                                                               \
    F(void, act_forward_signs,                                                                     \
      (float *dst, uint16_t *signs, const float *src, int64_t count, jemi_activation activation),  \
      (dst, signs, src, count, activation))                                                        \
    F(void, act_gradient,                                                                          \
      (float *dst, const float *diff, jemi_kept kept, const float *add, int64_t count,             \
       jemi_activation activation),                                                                \
      (dst, diff, kept, add, count, activation))                                                   \
    F(void, act_gradient_run,                                                                      \
      (float *dst, const float *diff, jemi_kept kept, int64_t count, jemi_activation activation),  \
      (dst, diff, kept, count, activation))                                                        \
    F(void, sum, (float *dst, const float *a, const float *b, int64_t count), (dst, a, b, count))  \
    F(void, bf16_from_floats, (uint16_t * dst, const float *src, int64_t count),                   \
      (dst, src, count))                                                                           \
    F(void, direct_pack,                                                                           \
      (float *packed, const float *weights, int64_t out, int64_t in, int64_t kernel,               \
       bool transposed),                                                                           \
      (packed, weights, out, in, kernel, transposed))                                              \
    F(void, direct_pack_bf16,                                                                      \
      (uint16_t * packed, const float *weights, int64_t out, int64_t in, int64_t kernel,           \
       bool transposed),                                                                           \
      (packed, weights, out, in, kernel, transposed))                                              \
    F(void, direct_run, (const jemi_direct *conv, const void *x, float *y), (conv, x, y))          \
    F(int64_t, direct_weights_workspace, (const jemi_direct_weights *conv), (conv))                \
    F(void, direct_weights_run,                                                                    \
      (const jemi_direct_weights *conv, const float *x, const float *dy, float *dw,                \
       float *workspace),                                                                          \
      (conv, x, dy, dw, workspace))                                                                \
    F(void, bias_gradient, (const jemi_layout *layout, const float *dy, float *db),                \
      (layout, dy, db))                                                                            \
    F(void, dropout_mask,                                                                          \
      (uint8_t * kept, const jemi_layout *layout, const jemi_dropout_draw *draw),                  \
      (kept, layout, draw))                                                                        \
    F(void, dropout_apply,                                                                         \
      (float *dst, const float *src, const uint8_t *kept, int64_t count, float rate),              \
      (dst, src, kept, count, rate))                                                               \
    F(void, epilogue_alone,                                                                        \
      (float *dst, const float *src, int64_t count, const jemi_epilogue *then),                    \
      (dst, src, count, then))                                                                     \
    F(void, layout_load,                                                                           \
      (float *dst, const jemi_layout *layout, const float *canonical, int64_t n),                  \
      (dst, layout, canonical, n))                                                                 \
    F(void, layout_store,                                                                          \
      (float *canonical, const float *src, const jemi_layout *layout, int64_t n),                  \
      (canonical, src, layout, n))                                                                 \
    F(void, layout_clear_padding, (float *data, const jemi_layout *layout), (data, layout))        \
    F(void, fill_uniform,                                                                          \
      (float *out, int64_t len, float low, float high, jemi_random_key key, uint32_t row,          \
       uint64_t step),                                                                             \
      (out, len, low, high, key, row, step))                                                       \
    F(void, fill_normal,                                                                           \
      (float *out, int64_t len, jemi_random_key key, uint32_t row, uint64_t step),                 \
      (out, len, key, row, step))                                                                  \
    F(void, add_noise,                                                                             \
      (float *x, int64_t n, int64_t len, float std, jemi_random_key key, uint32_t first,           \
       uint64_t step),                                                                             \
      (x, n, len, std, key, first, step))                                                          \
    F(void, langevin,                                                                              \
      (float *x, const float *grad, int64_t n, int64_t len, const jemi_langevin_params *p,         \
       float *grad_norm),                                                                          \
      (x, grad, n, len, p, grad_norm))                                                             \
    F(void, norm_forward,                                                                          \
      (const jemi_norm_pass *pass, float *dst, const float *src, const float *weight,              \
       const float *bias, float *mean, float *var, void *scratch),                                 \
      (pass, dst, src, weight, bias, mean, var, scratch))                                          \
    F(void, norm_gradient,                                                                         \
      (const jemi_norm_pass *pass, float *diff_src, const float *diff_dst, const float *src,       \
       const float *weight, const float *mean, const float *var, float *dweight, float *dbias,     \
       void *scratch),                                                                             \
      (pass, diff_src, diff_dst, src, weight, mean, var, dweight, dbias, scratch))                 \
    F(void, multiply_panels,                                                                       \
      (const float *panels, int64_t n, int64_t rank, const float *x, float *products),             \
      (panels, n, rank, x, products))                                                              \
    F(void, avgpool_forward, (float *dst, const float *src, const jemi_pooling *pooling),          \
      (dst, src, pooling))                                                                         \
    F(void, avgpool_transposed,                                                                    \
      (float *diff_src, const float *diff_dst, jemi_kept kept, jemi_activation activation,         \
       const jemi_pooling *pooling),                                                               \
      (diff_src, diff_dst, kept, activation, pooling))                                             \
    F(void, stem_pack,                                                                             \
      (float *packed, const float *weights, int64_t out, int64_t c, int64_t kernel),               \
      (packed, weights, out, c, kernel))                                                           \
    F(void, stem_forward,                                                                          \
      (float *y, const float *images, const float *weights, const jemi_stem *stem,                 \
       const jemi_epilogue *then),                                                                 \
      (y, images, weights, stem, then))                                                            \
    F(int64_t, stem_weights_workspace, (const jemi_stem *stem), (stem))                            \
    F(void, stem_weights,                                                                          \
      (float *dw, const float *images, const float *dy, const jemi_stem *stem, float *workspace),  \
      (dw, images, dy, stem, workspace))                                                           \
    F(void, stem_transposed,                                                                       \
      (float *diff_src, const float *diff_dst, const float *weights, const jemi_stem *stem),       \
      (diff_src, diff_dst, weights, stem))                                                         \
    F(void, accumulate, (float *sum, const float *x, int64_t count), (sum, x, count))              \
    F(void, multiply, (float *out, const float *a, const float *b, int64_t count),                 \
      (out, a, b, count))                                                                          \
    F(void, add_scaled, (float *out, const float *x, const float *y, float scale, int64_t count),  \
      (out, x, y, scale, count))                                                                   \
    F(void, blend, (float *mean, const float *x, float weight, int64_t count),                     \
      (mean, x, weight, count))                                                                    \
    F(double, sum_squares, (const float *x, int64_t count), (x, count))                            \
    F(double, sum_squares_difference, (const float *x, const float *y, int64_t count),             \
      (x, y, count))                                                                               \
    F(float, max_abs, (const float *x, int64_t count), (x, count))                                 \
    F(bool, all_finite, (const float *x, int64_t count, int64_t *index), (x, count, index))        \
    F(void, project_run, (const jemi_run *run, const double *basis, int64_t rank, double *z),      \
      (run, basis, rank, z))                                                                       \
    F(void, spread_run,                                                                            \
      (const jemi_run *run, const double *z, int64_t rank, int64_t n, double *image),              \
      (run, z, rank, n, image))                                                                    \
    F(bool, adam_step,                                                                             \
      (float *theta_new, const float *theta, const float *grad, const float *m, const float *v,    \
       int64_t count, const jemi_adam_params *p),                                                  \
      (theta_new, theta, grad, m, v, count, p))                                                    \
    F(void, adam_moments,                                                                          \
      (float *m, float *v, const float *theta, const float *grad, int64_t count,                   \
       const jemi_adam_params *p),                                                                 \
      (m, v, theta, grad, count, p))                                                               \
    F(bool, sgd_step,                                                                              \
      (float *theta_new, const float *theta, const float *grad, const float *velocity,             \
       int64_t count, const jemi_sgd_params *p),                                                   \
      (theta_new, theta, grad, velocity, count, p))                                                \
    F(void, sgd_velocity,                                                                          \
      (float *velocity, const float *theta, const float *grad, int64_t count,                      \
       const jemi_sgd_params *p),                                                                  \
      (velocity, theta, grad, count, p))                                                           \
    F(void, winograd_pack,                                                                         \
      (float *packed, const float *weights, int64_t out, int64_t in, int64_t stride,               \
       bool transposed),                                                                           \
      (packed, weights, out, in, stride, transposed))                                              \
    F(int64_t, winograd_workspace, (const jemi_winograd *conv, int threads), (conv, threads))      \
    F(int64_t, winograd_weights_workspace, (const jemi_winograd *conv, int threads),               \
      (conv, threads))                                                                             \
    F(void, winograd_weights_run,                                                                  \
      (const jemi_winograd *conv, const float *x, const float *dy, float *dw, float *workspace),   \
      (conv, x, dy, dw, workspace))                                                                \
    F(void, winograd_run, (const jemi_winograd *conv, const float *x, float *y, float *workspace), \
      (conv, x, y, workspace))

typedef struct jemi_kernel_table {
    const char *name; /* of the set */
#define JEMI_KERNEL_FIELD(type, name, parameters, arguments) type(*name) parameters;
    JEMI_KERNEL_LIST(JEMI_KERNEL_FIELD)
#undef JEMI_KERNEL_FIELD
} jemi_kernel_table;

#endif
