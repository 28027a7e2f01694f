/*
 * Fixed by shape, direction, instruction set, precision, oneDNN's version and what the caller asked
 * for, never by batch or by timing at run time: so a row's bits depend neither on the rows beside
 * it nor on the machine's load.
 *
 * The rule: where our kernels run they are faster than oneDNN's, which in f32 are direct
 * convolutions (its own Winograd is slower than ours, and gone in version 3). Where several of ours
 * fit, the first layer's is the fastest, then Winograd: 16..640 channels, 7x7 to 32x32, strides 1
 * and 2. Exceptions that were measured are rows of choice_table.c; `jem bench --tune` finds them.
 *
 * What is left, f32-strict and processors without AVX-512, goes to oneDNN's direct convolution,
 * whose bits do not depend on batch and threads either. But its gradients of weights are summed as
 * its threads share the rows: so for those it is never chosen where ours can.
 */
#include "backend/onednn/choose.h"

#include "base/status.h"
#include "kernels/bf16.h"
#include "kernels/direct.h"
#include "kernels/stem.h"

enum { JEMI_BLOCK = 16 };

typedef struct layer {
    const jemi_node *node;
    jemi_shape in;
    jemi_conv_direction direction;
    int32_t precision;
} layer;

// ---- what each kernel can do -------------------------------------------------------------------

// Channels that nChw16c has no padding for.
static bool whole_blocks(int64_t channels)
{
    return channels % JEMI_BLOCK == 0;
}

static bool fits_winograd(const layer *l)
{
    const jemi_node *node = l->node;
    return node->kind == JEMI_NODE_CONV && node->kernel == 3 && node->stride <= 2 &&
           node->pad == 1 && whole_blocks(l->in.c) && whole_blocks(node->shape.c) &&
           node->shape.h >= 4 && node->shape.w >= 4;
}

static bool fits_direct(const layer *l)
{
    return l->node->kind != JEMI_NODE_CONV || l->node->kernel <= JEMI_DIRECT_KERNEL_MAX;
}

static bool fits_stem(const layer *l)
{
    const bool limits =
        l->direction == JEMI_CONV_DATA ? l->node->stride == 1 : l->node->kernel <= JEMI_STEM_KERNEL;
    return l->node->kind == JEMI_NODE_CONV && l->in.c <= JEMI_STEM_CHANNELS && limits;
}

static bool fits(const layer *l, int32_t kernel)
{
    const bool strict = l->precision == JEM_PRECISION_F32_STRICT;
    const bool weights = l->direction == JEMI_CONV_WEIGHTS;
    if (kernel == JEM_KERNEL_ONEDNN)
        return !weights;
    if (!jemi_avx512_available())
        return false;
    switch (kernel) {
    case JEM_KERNEL_WINOGRAD:
        return !strict && fits_winograd(l);
    case JEM_KERNEL_DIRECT:
        return !strict && fits_direct(l);
    case JEM_KERNEL_DIRECT_BF16:
        return l->precision == JEM_PRECISION_BF16 && jemi_bf16_available() && !weights &&
               fits_direct(l);
    case JEM_KERNEL_STEM:
        return (!strict || l->direction == JEMI_CONV_DATA) && fits_stem(l);
    default:
        return false;
    }
}

// ---- the table ---------------------------------------------------------------------------------

static jemi_isa isa(void)
{
    if (jemi_bf16_available())
        return JEMI_ISA_AVX512_BF16;
    return jemi_avx512_available() ? JEMI_ISA_AVX512 : JEMI_ISA_OTHER;
}

static bool is_of(const jemi_choice *row, const layer *l)
{
    const jemi_node *node = l->node;
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    const bool here = row->direction == l->direction && row->precision == l->precision &&
                      row->isa == isa() && (row->onednn == 0 || row->onednn == DNNL_VERSION_MAJOR);
    if (!here || row->out != node->shape.c)
        return false;
    if (linear)
        return row->in == jemi_shape_size(l->in) && row->h == 1 && row->w == 1;
    return row->in == l->in.c && row->h == l->in.h && row->w == l->in.w &&
           row->kernel == node->kernel && row->stride == node->stride &&
           node->pad == node->kernel / 2;
}

// JEM_KERNEL_CHOSEN when there is no row.
static int32_t by_table(const layer *l)
{
    for (int i = 0; i < jemi_choice_rows; i++)
        if (is_of(&jemi_choice_table[i], l))
            return jemi_choice_table[i].choice;
    return JEM_KERNEL_CHOSEN;
}

// ---- the rule ----------------------------------------------------------------------------------

// Two thirds of a multiplication and of a byte per tap: where Winograd saves less than that.
static bool better_in_bf16(const layer *l)
{
    if (!fits(l, JEM_KERNEL_DIRECT_BF16))
        return false;
    if (l->node->kind == JEMI_NODE_LINEAR)
        return whole_blocks(jemi_shape_size(l->in));
    return l->node->stride > 1 && l->node->kernel == 3 && whole_blocks(l->in.c);
}

static int32_t by_rule(const layer *l)
{
    static const int32_t order[] = {JEM_KERNEL_STEM, JEM_KERNEL_WINOGRAD, JEM_KERNEL_DIRECT};
    if (better_in_bf16(l))
        return JEM_KERNEL_DIRECT_BF16;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (fits(l, order[i]))
            return order[i];
    return JEM_KERNEL_ONEDNN;
}

int32_t jemi_choose(const jemi_graph *graph, int32_t index, jemi_conv_direction direction,
                    int32_t precision, int32_t wanted)
{
    const jemi_node *node = &graph->nodes[index];
    layer l = {node, graph->nodes[node->input[0]].shape, direction, precision};
    if (wanted != JEM_KERNEL_CHOSEN && fits(&l, wanted))
        return wanted;
    int32_t row = by_table(&l);
    const int32_t rule = by_rule(&l);
    // What bf16 leaves to f32 is chosen as there.
    if (row == JEM_KERNEL_CHOSEN && precision == JEM_PRECISION_BF16 &&
        rule != JEM_KERNEL_DIRECT_BF16) {
        l.precision = JEM_PRECISION_F32;
        row = by_table(&l);
    }
    return row != JEM_KERNEL_CHOSEN && fits(&l, row) ? row : rule;
}

jem_status jemi_choose_check(int32_t precision)
{
    if (precision < JEM_PRECISION_F32 || precision > JEM_PRECISION_BF16)
        return jemi_fail(JEM_EUNSUPPORTED, "precision %d is not offered by oneDNN plans",
                         (int)precision);
    return JEM_OK;
}

// ---- digests -----------------------------------------------------------------------------------

static const uint32_t fnv_basis = 2166136261u;

// FNV-1a (Fowler, Noll & Vo) over numbers instead of bytes.
static uint32_t fnv(uint32_t digest, int64_t number)
{
    return (digest ^ (uint32_t)number) * 16777619u;
}

uint32_t jemi_choose_digest(const jemi_graph *graph, int32_t precision, int32_t wanted)
{
    uint32_t digest = fnv_basis;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node_kind kind = graph->nodes[i].kind;
        if (kind != JEMI_NODE_CONV && kind != JEMI_NODE_LINEAR)
            continue;
        for (int32_t d = JEMI_CONV_FORWARD; d <= JEMI_CONV_WEIGHTS; d++)
            digest = fnv(digest, jemi_choose(graph, i, (jemi_conv_direction)d, precision, wanted));
    }
    return digest;
}

uint32_t jemi_choose_table_digest(void)
{
    uint32_t digest = fnv_basis;
    for (int i = 0; i < jemi_choice_rows; i++) {
        const jemi_choice *r = &jemi_choice_table[i];
        const int64_t numbers[] = {r->in,     r->out,    r->h,         r->w,
                                   r->kernel, r->stride, r->direction, r->precision,
                                   r->isa,    r->onednn, r->choice};
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            digest = fnv(digest, numbers[k]);
    }
    return digest;
}
