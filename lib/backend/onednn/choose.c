/*
 * Direct convolution everywhere, in f32: what every oneDNN has fast kernels for, and whose bits do
 * not depend on batch and threads.
 */
#include "backend/onednn/choose.h"

#include "base/status.h"
#include "kernels/stem.h"

jem_status jemi_choose_check(int32_t precision)
{
    if (precision != JEM_PRECISION_F32)
        return jemi_fail(JEM_EUNSUPPORTED, "precision %d is not offered by oneDNN plans",
                         (int)precision);
    return JEM_OK;
}

dnnl_alg_kind_t jemi_choose_algorithm(const jemi_node *node, jemi_conv_direction direction,
                                      int32_t precision)
{
    (void)node;
    (void)direction;
    (void)precision;
    return dnnl_convolution_direct;
}

bool jemi_choose_stem(const jemi_node *node, jemi_shape in, const jemi_layout *diff_dst)
{
    return node->kind == JEMI_NODE_CONV && node->stride == 1 && in.c <= JEMI_STEM_CHANNELS &&
           diff_dst->block == JEMI_STEM_BLOCK;
}
