/*
 * Direct convolution everywhere, in f32: what every oneDNN has fast kernels for, and whose bits do
 * not depend on batch and threads.
 */
#include "backend/onednn/choose.h"

#include "base/status.h"
#include "kernels/bf16.h"
#include "kernels/direct.h"
#include "kernels/stem.h"

enum { JEMI_BLOCK = 16 };

// Channels that nChw16c has no padding for.
static bool whole_blocks(int64_t channels)
{
    return channels % JEMI_BLOCK == 0;
}

// Two thirds of a multiplication and of a byte per tap: where Winograd saves less than that.
static bool better_in_bf16(const jemi_node *node, jemi_shape in)
{
    if (node->kind == JEMI_NODE_LINEAR)
        return whole_blocks(jemi_shape_size(in));
    return node->stride > 1 && node->kernel == 3 && whole_blocks(in.c);
}

static bool fits_winograd(const jemi_node *node, jemi_shape in)
{
    return node->kind == JEMI_NODE_CONV && node->kernel == 3 && node->stride <= 2 &&
           node->pad == 1 && whole_blocks(in.c) && whole_blocks(node->shape.c) &&
           node->shape.h >= 4 && node->shape.w >= 4;
}

static bool fits_direct(const jemi_node *node)
{
    return node->kind != JEMI_NODE_CONV || node->kernel <= JEMI_DIRECT_KERNEL_MAX;
}

static bool fits_stem(const jemi_node *node, jemi_shape in)
{
    return node->kind == JEMI_NODE_CONV && in.c <= JEMI_STEM_CHANNELS &&
           node->kernel <= JEMI_STEM_KERNEL;
}

jemi_own jemi_choose_own_weights(const jemi_node *node, jemi_shape in, int32_t precision)
{
    if (precision == JEM_PRECISION_F32_STRICT || !jemi_avx512_available())
        return JEMI_OWN_NONE;
    if (fits_stem(node, in))
        return JEMI_OWN_STEM;
    if (fits_winograd(node, in))
        return JEMI_OWN_WINOGRAD;
    return fits_direct(node) ? JEMI_OWN_DIRECT : JEMI_OWN_NONE;
}

jemi_own jemi_choose_own(const jemi_node *node, jemi_shape in, int32_t precision)
{
    const bool bf16 = precision == JEM_PRECISION_BF16 && jemi_bf16_available();
    if (bf16 && !fits_stem(node, in) && better_in_bf16(node, in))
        return JEMI_OWN_DIRECT_BF16;
    return jemi_choose_own_weights(node, in, precision);
}

jem_status jemi_choose_check(int32_t precision)
{
    if (precision < JEM_PRECISION_F32 || precision > JEM_PRECISION_BF16)
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
