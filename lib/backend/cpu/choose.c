/*
 * The choice is fixed by shape, direction, instruction set, precision, oneDNN's version and what the
 * caller asked for, never by batch or by timing at run time: so a row's bits depend neither on the
 * rows beside it nor on the machine's load.
 *
 * The rule is the order of the program's rows: the first that fits and is worthwhile. Where our
 * kernels run they are faster than oneDNN's, which in f32 are direct convolutions (its own Winograd
 * is slower than ours, and gone in version 3). Where several of ours fit, the first layer's is the
 * fastest, then Winograd: 16..640 channels, 7x7 to 32x32, strides 1 and 2. Measured exceptions are
 * rows of choice_table.c; `jem bench --tune` finds them.
 */
#include "backend/cpu/choose.h"

#include <assert.h>

#include "backend/cpu/compile.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/epilogue.h"
#include "kernels/isa.h"

// ---- the table ---------------------------------------------------------------------------------

static jemi_isa isa(void)
{
    if (jemi_bf16_available())
        return JEMI_ISA_AVX512_BF16;
    return jemi_avx512_available() ? JEMI_ISA_AVX512 : JEMI_ISA_OTHER;
}

static bool is_of(const jemi_choice *row, const jemi_conv *conv, int32_t version)
{
    const jemi_node *node = conv->node;
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    const bool here = row->direction == conv->direction && row->precision == conv->precision &&
                      row->isa == isa() && (row->onednn == 0 || row->onednn == version);
    if (!here || row->out != node->shape.c)
        return false;
    if (linear)
        return row->in == jemi_shape_size(conv->in) && row->h == 1 && row->w == 1;
    return row->in == conv->in.c && row->h == conv->in.h && row->w == conv->in.w &&
           row->kernel == node->kernel && row->stride == node->stride &&
           node->pad == node->kernel / 2;
}

static bool can(const jemi_conv_impl *row, const jemi_conv *conv)
{
    return row->fits == NULL || row->fits(conv);
}

// The program's row with that kernel, if it may be asked for; else NULL.
static const jemi_conv_impl *row_of(const jemi_conv_rows *rows, jemi_kernel kernel,
                                    const jemi_conv *conv)
{
    for (int32_t i = 0; i < rows->count; i++) {
        const jemi_conv_impl *row = rows->rows[i];
        if (row->kernel == kernel)
            return can(row, conv) && !(row->splits_rows && conv->direction == JEMI_CONV_WEIGHTS)
                       ? row
                       : NULL;
    }
    return NULL;
}

// NULL when there is no exception, or this program cannot make it. The table was measured on many
// rows at a time.
static const jemi_conv_impl *by_table(const jemi_conv_rows *rows, const jemi_conv *conv)
{
    if (conv->latency)
        return NULL;
    for (int i = 0; i < jemi_choice_rows; i++)
        if (is_of(&jemi_choice_table[i], conv, rows->version))
            return row_of(rows, jemi_choice_table[i].choice, conv);
    return NULL;
}

// Without vectors a provider's kernels go before ours. But ours among themselves are chosen as on any
// other processor, so that the native backend has the same bits on all.
static bool is_preferred(const jemi_conv_rows *rows, const jemi_conv_impl *row,
                         const jemi_conv *conv)
{
    const bool has_provider = rows->version != 0;
    if (has_provider && row->kernel != JEMI_KERNEL_ONEDNN && !jemi_kernels_available())
        return false;
    return row->worthwhile == NULL || row->worthwhile(conv);
}

// The first row that fits and is worthwhile; where there is none, the first that fits, or NULL.
static const jemi_conv_impl *by_rule(const jemi_conv_rows *rows, const jemi_conv *conv)
{
    const jemi_conv_impl *first = NULL;
    for (int32_t i = 0; i < rows->count; i++) {
        const jemi_conv_impl *row = rows->rows[i];
        if (!can(row, conv))
            continue;
        if (is_preferred(rows, row, conv))
            return row;
        if (first == NULL)
            first = row;
    }
    return first;
}

const jemi_conv_impl *jemi_choose(const jemi_conv_rows *rows, const jemi_graph *graph,
                                  int32_t index, jemi_conv_direction direction, int32_t precision,
                                  jemi_choosing by)
{
    const jemi_node *node = &graph->nodes[index];
    jemi_conv conv = {node, graph->nodes[node->input[0]].shape, direction, precision, by.latency};
    const jemi_conv_impl *asked = row_of(rows, by.kernel, &conv);
    if (asked != NULL)
        return asked;
    const jemi_conv_impl *rule = by_rule(rows, &conv);
    assert(rule != NULL);
    const jemi_conv_impl *exception = by_table(rows, &conv);
    // What bf16 leaves to f32 is chosen as there.
    if (exception == NULL && precision == JEM_PRECISION_BF16 &&
        rule->kernel != JEMI_KERNEL_DIRECT_BF16) {
        conv.precision = JEM_PRECISION_F32;
        exception = by_table(rows, &conv);
    }
    return exception != NULL ? exception : rule;
}

const jemi_conv_impl *jemi_choose_for(const jemi_compile *c, int32_t node,
                                      jemi_conv_direction direction)
{
    const jemi_plan *plan = &c->plan->base;
    return jemi_choose(c->rows, c->graph, node, direction, plan->spec.precision,
                       plan->program->choosing);
}

static bool contracts(const jemi_node *node)
{
    return node->kind == JEMI_NODE_CONV || node->kind == JEMI_NODE_LINEAR;
}

jem_status jemi_choose_check_graph(const jemi_conv_rows *rows, const jemi_graph *graph)
{
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        for (int32_t d = JEMI_CONV_FORWARD; contracts(node) && d <= JEMI_CONV_WEIGHTS; d++) {
            const jemi_conv conv = {node, graph->nodes[node->input[0]].shape,
                                    (jemi_conv_direction)d, JEM_PRECISION_F32, false};
            if (by_rule(rows, &conv) == NULL)
                return jemi_fail(JEM_EUNSUPPORTED,
                                 "this backend has no kernel for convolutions of %dx%d",
                                 (int)node->kernel, (int)node->kernel);
        }
    }
    return JEM_OK;
}

jem_status jemi_choose_check(int32_t precision)
{
    if (precision < JEM_PRECISION_F32 || precision > JEM_PRECISION_BF16)
        return jemi_fail(JEM_EUNSUPPORTED, "precision %d is not offered by this backend",
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

// *foreign: some layer is a provider's.
static uint32_t digest_of(const jemi_conv_rows *rows, const jemi_graph *graph, int32_t precision,
                          jemi_choosing by, bool *foreign)
{
    uint32_t digest = fnv_basis;
    *foreign = false;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        for (int32_t d = JEMI_CONV_FORWARD; contracts(&graph->nodes[i]) && d <= JEMI_CONV_WEIGHTS;
             d++) {
            const jemi_kernel kernel =
                jemi_choose(rows, graph, i, (jemi_conv_direction)d, precision, by)->kernel;
            digest = fnv(digest, kernel);
            *foreign |= kernel == JEMI_KERNEL_ONEDNN;
        }
    return digest;
}

uint32_t jemi_choose_digest(const jemi_conv_rows *rows, const jemi_graph *graph, int32_t precision,
                            jemi_choosing by)
{
    bool foreign;
    return digest_of(rows, graph, precision, by, &foreign);
}

void jemi_choose_words(const jemi_program *program, const jemi_conv_rows *rows, int32_t precision,
                       const char *provider, char *out, size_t size)
{
    bool foreign;
    const uint32_t digest = digest_of(rows, program->graph, precision, program->choosing, &foreign);
    assert(!foreign || provider != NULL);
    jemi_format(out, size, "%s, kernels %08x", foreign ? provider : "native", (unsigned)digest);
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
