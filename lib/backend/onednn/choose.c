/*
 * Fixed by shape, direction, instruction set and precision, never by batch or by timing at run time:
 * so a row's bits depend neither on the rows beside it nor on the machine's load.
 *
 * Where our kernels run they are faster than oneDNN's, which in f32 are direct convolutions (its own
 * Winograd is slower than ours, and gone in version 3). Where both of ours fit, Winograd is the
 * faster one: 16..640 channels, 7x7 to 32x32, strides 1 and 2; the exception that was measured is
 * small, 32 channels of 28x28 forward with stride 2 (0.067 ms direct, 0.086 ms). `jem bench --tune`
 * shows all for any network.
 *
 * What is left, f32-strict and processors without AVX-512, goes to oneDNN's direct convolution, whose
 * bits do not depend on batch and threads either.
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

bool jemi_choose_stem(const jemi_node *node, jemi_shape in, const jemi_layout *diff_dst)
{
    return node->kind == JEMI_NODE_CONV && node->stride == 1 && in.c <= JEMI_STEM_CHANNELS &&
           diff_dst->block == JEMI_STEM_BLOCK;
}
