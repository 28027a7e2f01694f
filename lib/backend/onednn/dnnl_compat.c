/*
 * The two C APIs of oneDNN. v2: a memory descriptor is a struct, a primitive descriptor is made
 * from an operation descriptor. v3: descriptors are opaque and owned, primitive descriptors are
 * made in one call, and the eltwise post-op has lost its scale.
 */
#include "backend/onednn/dnnl_compat.h"

#include <string.h>

#include "backend/onednn/creation.h"
#include "base/status.h"

#define DNNL_TRY(call)                                                                             \
    do {                                                                                           \
        const dnnl_status_t dnnl_try_status = (call);                                              \
        if (dnnl_try_status != dnnl_success)                                                       \
            return dnnl_try_status;                                                                \
    } while (0)

// ---- memory descriptors ------------------------------------------------------------------------

static dnnl_format_tag_t tag_of(int rank, jemi_md_order order)
{
    if (order == JEMI_MD_ANY)
        return dnnl_format_tag_any;
    if (rank == 1)
        return dnnl_a;
    return order == JEMI_MD_PLAIN ? dnnl_abcd : dnnl_acdb;
}

// rank and n_inner are set.
static void fill(jemi_blocking *b, const int64_t *dims, const int64_t *padded,
                 const int64_t *strides, const int64_t *inner_size, const int64_t *inner_dim)
{
    for (int i = 0; i < b->rank; i++) {
        b->dims[i] = dims[i];
        b->padded[i] = padded[i];
        b->strides[i] = strides[i];
    }
    for (int i = 0; i < b->n_inner; i++) {
        b->inner_size[i] = inner_size[i];
        b->inner_dim[i] = inner_dim[i];
    }
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t jemi_md_init(jemi_md *md, int rank, const int64_t *dims, jemi_md_order order)
{
    return dnnl_memory_desc_create_with_tag(&md->raw, rank, dims, dnnl_f32, tag_of(rank, order));
}

dnnl_status_t jemi_md_copy(jemi_md *md, const jemi_md *from)
{
    return dnnl_memory_desc_clone(&md->raw, from->raw);
}

void jemi_md_fini(jemi_md *md)
{
    if (md->raw != NULL)
        dnnl_memory_desc_destroy(md->raw);
    md->raw = NULL;
}

bool jemi_md_equal(const jemi_md *a, const jemi_md *b)
{
    return dnnl_memory_desc_equal(a->raw, b->raw) != 0;
}

size_t jemi_md_bytes(const jemi_md *md)
{
    return dnnl_memory_desc_get_size(md->raw);
}

bool jemi_md_blocking(const jemi_md *md, jemi_blocking *b)
{
    *b = (jemi_blocking){0};
    const dnnl_dims_t *dims, *padded, *strides, *sizes, *inner;
    dnnl_format_kind_t kind;
    if (dnnl_memory_desc_query(md->raw, dnnl_query_format_kind, &kind) != dnnl_success ||
        kind != dnnl_blocked ||
        dnnl_memory_desc_query(md->raw, dnnl_query_ndims_s32, &b->rank) != dnnl_success ||
        b->rank > JEMI_RANK_MAX ||
        dnnl_memory_desc_query(md->raw, dnnl_query_inner_nblks_s32, &b->n_inner) != dnnl_success ||
        b->n_inner > JEMI_INNER_MAX ||
        dnnl_memory_desc_query(md->raw, dnnl_query_dims, &dims) != dnnl_success ||
        dnnl_memory_desc_query(md->raw, dnnl_query_padded_dims, &padded) != dnnl_success ||
        dnnl_memory_desc_query(md->raw, dnnl_query_strides, &strides) != dnnl_success ||
        dnnl_memory_desc_query(md->raw, dnnl_query_inner_blks, &sizes) != dnnl_success ||
        dnnl_memory_desc_query(md->raw, dnnl_query_inner_idxs, &inner) != dnnl_success)
        return false;
    fill(b, *dims, *padded, *strides, *sizes, *inner);
    return true;
}

#else

dnnl_status_t jemi_md_init(jemi_md *md, int rank, const int64_t *dims, jemi_md_order order)
{
    return dnnl_memory_desc_init_by_tag(&md->raw, rank, dims, dnnl_f32, tag_of(rank, order));
}

dnnl_status_t jemi_md_copy(jemi_md *md, const jemi_md *from)
{
    *md = *from;
    return dnnl_success;
}

void jemi_md_fini(jemi_md *md)
{
    memset(md, 0, sizeof *md);
}

bool jemi_md_equal(const jemi_md *a, const jemi_md *b)
{
    return dnnl_memory_desc_equal(&a->raw, &b->raw) != 0;
}

size_t jemi_md_bytes(const jemi_md *md)
{
    return dnnl_memory_desc_get_size(&md->raw);
}

bool jemi_md_blocking(const jemi_md *md, jemi_blocking *b)
{
    *b = (jemi_blocking){0};
    const dnnl_blocking_desc_t *from = &md->raw.format_desc.blocking;
    if (md->raw.format_kind != dnnl_blocked || md->raw.ndims > JEMI_RANK_MAX ||
        from->inner_nblks > JEMI_INNER_MAX)
        return false;
    b->rank = md->raw.ndims;
    b->n_inner = from->inner_nblks;
    fill(b, md->raw.dims, md->raw.padded_dims, from->strides, from->inner_blks, from->inner_idxs);
    return true;
}

#endif

// Strides of dimensions of size 1 say nothing.
static bool stride_is(const jemi_blocking *b, int dim, int64_t outer_count, int64_t expected)
{
    return outer_count == 1 || b->strides[dim] == expected;
}

bool jemi_md_layout(const jemi_md *md, jemi_layout *layout)
{
    jemi_blocking b;
    if (!jemi_md_blocking(md, &b) || b.rank != 4)
        return false;
    const bool plain = b.n_inner == 0;
    if (!plain && (b.n_inner != 1 || b.inner_dim[0] != 1))
        return false;
    // Without inner blocks it is nchw, or nhwc if neighbouring channels are adjacent.
    const int64_t pixels = b.dims[2] * b.dims[3];
    const bool nhwc = plain && b.dims[1] > 1 && b.strides[1] == 1;
    const int64_t block = plain ? (nhwc ? b.dims[1] : 1) : b.inner_size[0];
    const int64_t blocks = b.padded[1] / block;
    *layout = (jemi_layout){b.dims[0], b.dims[1], b.dims[2], b.dims[3], block};
    return stride_is(&b, 3, b.dims[3], block) && stride_is(&b, 2, b.dims[2], b.dims[3] * block) &&
           (nhwc || stride_is(&b, 1, blocks, pixels * block)) &&
           stride_is(&b, 0, b.dims[0], blocks * pixels * block);
}

// ---- primitive descriptors ---------------------------------------------------------------------

static dnnl_status_t append_post_ops(dnnl_post_ops_t post_ops, const jemi_conv_desc *desc)
{
#if DNNL_VERSION_MAJOR >= 3
    if (desc->sum)
        DNNL_TRY(dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef));
    if (desc->lrelu)
        DNNL_TRY(dnnl_post_ops_append_eltwise(post_ops, dnnl_eltwise_relu, desc->slope, 0.0f));
#else
    if (desc->sum)
        DNNL_TRY(dnnl_post_ops_append_sum(post_ops, 1.0f));
    if (desc->lrelu)
        DNNL_TRY(
            dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_relu, desc->slope, 0.0f));
#endif
    return dnnl_success;
}

static dnnl_status_t set_attributes(dnnl_primitive_attr_t attr, const jemi_conv_desc *desc)
{
    DNNL_TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    // Else an environment variable may ask for factors in fewer bits.
    DNNL_TRY(dnnl_primitive_attr_set_fpmath_mode(attr, dnnl_fpmath_mode_strict));
    if (desc == NULL || !(desc->sum || desc->lrelu))
        return dnnl_success;
    dnnl_post_ops_t post_ops;
    DNNL_TRY(dnnl_post_ops_create(&post_ops));
    dnnl_status_t status = append_post_ops(post_ops, desc);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, post_ops);
    dnnl_post_ops_destroy(post_ops);
    return status;
}

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t first_conv_create(dnnl_primitive_desc_t *pd, const jemi_conv_desc *d,
                                       dnnl_primitive_attr_t attr, dnnl_engine_t engine)
{
    const dnnl_dims_t strides = {d->stride, d->stride};
    const dnnl_dims_t dilates = {0, 0};
    const dnnl_dims_t pads = {d->pad, d->pad};
    switch (d->direction) {
    case JEMI_CONV_TRANSPOSED:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, dnnl_convolution_direct, d->src.raw, d->weights.raw, d->dst.raw, strides,
            dilates, pads, pads, d->hint, attr);
    case JEMI_CONV_WEIGHTS:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, dnnl_convolution_direct, d->src.raw, d->weights.raw, d->bias.raw,
            d->dst.raw, strides, dilates, pads, pads, d->hint, attr);
    default:
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, dnnl_convolution_direct, d->src.raw, d->weights.raw,
            d->bias.raw, d->dst.raw, strides, dilates, pads, pads, attr);
    }
}

// v3 has convolutions made of small matrix products (brg..) that must not be taken; what v2 takes
// comes next. The order of their sums changes with batch and thread count (seen with 3.7.2 on a Zen
// 5: kernels of 1 and of 3, stride 1 and 2), and a row's bits must depend on the row alone. Where the
// last block of channels is not full, values are wrong too (mlp-1500, input gradients off by 1 %).
static bool must_be_skipped(const_dnnl_primitive_desc_t pd)
{
    return strncmp(jemi_pd_impl(pd), "brg", strlen("brg")) == 0;
}

static dnnl_status_t conv_create(dnnl_primitive_desc_t *pd, const jemi_conv_desc *d,
                                 dnnl_primitive_attr_t attr, dnnl_engine_t engine)
{
    DNNL_TRY(first_conv_create(pd, d, attr, engine));
    dnnl_status_t status = dnnl_success;
    while (status == dnnl_success && must_be_skipped(*pd))
        status = dnnl_primitive_desc_next_impl(*pd);
    if (status == dnnl_success)
        return dnnl_success;
    dnnl_primitive_desc_destroy(*pd);
    *pd = NULL;
    return status == dnnl_last_impl_reached ? dnnl_unimplemented : status;
}

static dnnl_status_t reorder_create(dnnl_primitive_desc_t *pd, const jemi_md *from,
                                    const jemi_md *to, dnnl_primitive_attr_t attr,
                                    dnnl_engine_t engine)
{
    return dnnl_reorder_primitive_desc_create(pd, from->raw, engine, to->raw, engine, attr);
}

#else

static dnnl_status_t conv_create(dnnl_primitive_desc_t *pd, const jemi_conv_desc *d,
                                 dnnl_primitive_attr_t attr, dnnl_engine_t engine)
{
    const dnnl_dims_t strides = {d->stride, d->stride};
    const dnnl_dims_t pads = {d->pad, d->pad};
    dnnl_convolution_desc_t op;
    switch (d->direction) {
    case JEMI_CONV_TRANSPOSED:
        DNNL_TRY(dnnl_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &d->src.raw,
                                                          &d->weights.raw, &d->dst.raw, strides,
                                                          pads, pads));
        break;
    case JEMI_CONV_WEIGHTS:
        DNNL_TRY(dnnl_convolution_backward_weights_desc_init(
            &op, dnnl_convolution_direct, &d->src.raw, &d->weights.raw, &d->bias.raw, &d->dst.raw,
            strides, pads, pads));
        break;
    default:
        DNNL_TRY(dnnl_convolution_forward_desc_init(
            &op, dnnl_forward_training, dnnl_convolution_direct, &d->src.raw, &d->weights.raw,
            &d->bias.raw, &d->dst.raw, strides, pads, pads));
    }
    return dnnl_primitive_desc_create(pd, &op, attr, engine, d->hint);
}

static dnnl_status_t reorder_create(dnnl_primitive_desc_t *pd, const jemi_md *from,
                                    const jemi_md *to, dnnl_primitive_attr_t attr,
                                    dnnl_engine_t engine)
{
    return dnnl_reorder_primitive_desc_create(pd, &from->raw, engine, &to->raw, engine, attr);
}

#endif

static dnnl_status_t conv_create_alone(dnnl_primitive_desc_t *pd, const jemi_conv_desc *desc,
                                       dnnl_primitive_attr_t attr, dnnl_engine_t engine)
{
    jemi_dnnl_creation_begin();
    const dnnl_status_t status = conv_create(pd, desc, attr, engine);
    jemi_dnnl_creation_end();
    return status;
}

static dnnl_status_t reorder_create_alone(dnnl_primitive_desc_t *pd, const jemi_md *from,
                                          const jemi_md *to, dnnl_primitive_attr_t attr,
                                          dnnl_engine_t engine)
{
    jemi_dnnl_creation_begin();
    const dnnl_status_t status = reorder_create(pd, from, to, attr, engine);
    jemi_dnnl_creation_end();
    return status;
}

dnnl_status_t jemi_dnnl_conv_create(dnnl_primitive_desc_t *pd, const jemi_conv_desc *desc,
                                    dnnl_engine_t engine)
{
    dnnl_primitive_attr_t attr;
    DNNL_TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t status = set_attributes(attr, desc);
    if (status == dnnl_success)
        status = conv_create_alone(pd, desc, attr, engine);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

dnnl_status_t jemi_dnnl_reorder_create(dnnl_primitive_desc_t *pd, const jemi_md *from,
                                       const jemi_md *to, dnnl_engine_t engine)
{
    dnnl_primitive_attr_t attr;
    DNNL_TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t status = set_attributes(attr, NULL);
    if (status == dnnl_success)
        status = reorder_create_alone(pd, from, to, attr, engine);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

void jemi_conv_desc_fini(jemi_conv_desc *desc)
{
    jemi_md_fini(&desc->src);
    jemi_md_fini(&desc->weights);
    jemi_md_fini(&desc->bias);
    jemi_md_fini(&desc->dst);
}

// ---- queries, memory, statuses -----------------------------------------------------------------

dnnl_status_t jemi_pd_query(const_dnnl_primitive_desc_t pd, jemi_pd_md which, jemi_md *md)
{
    static const dnnl_query_t queries[] = {
        [JEMI_PD_SRC] = dnnl_query_src_md,
        [JEMI_PD_WEIGHTS] = dnnl_query_weights_md,
        [JEMI_PD_DST] = dnnl_query_dst_md,
        [JEMI_PD_DIFF_SRC] = dnnl_query_diff_src_md,
        [JEMI_PD_DIFF_WEIGHTS] = dnnl_query_diff_weights_md,
        [JEMI_PD_DIFF_DST] = dnnl_query_diff_dst_md,
        [JEMI_PD_SCRATCHPAD] = dnnl_query_scratchpad_md,
    };
    // v3 hands out `const struct dnnl_memory_desc *`, v2 `const dnnl_memory_desc_t *`.
#if DNNL_VERSION_MAJOR >= 3
    const const_dnnl_memory_desc_t found = dnnl_primitive_desc_query_md(pd, queries[which], 0);
    return found == NULL ? dnnl_unimplemented : dnnl_memory_desc_clone(&md->raw, found);
#else
    const dnnl_memory_desc_t *found = dnnl_primitive_desc_query_md(pd, queries[which], 0);
    if (found == NULL)
        return dnnl_unimplemented;
    md->raw = *found;
    return dnnl_success;
#endif
}

const char *jemi_pd_impl(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success)
        return "unknown";
    return name;
}

dnnl_status_t jemi_memory_create(dnnl_memory_t *memory, const jemi_md *md, dnnl_engine_t engine,
                                 void *data)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_create(memory, md->raw, engine, data);
#else
    return dnnl_memory_create(memory, &md->raw, engine, data);
#endif
}

jem_status jemi_dnnl_check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return JEM_OK;
    if (status == dnnl_out_of_memory)
        return jemi_fail_memory(what);
    if (!jemi_dnnl_may_compile())
        return jemi_fail(JEM_EBACKEND,
                         "oneDNN cannot compile the %s: the system refuses memory that is writable "
                         "and executable (seccomp, SELinux or PR_SET_MDWE); allow it, or make the "
                         "model with JEM_BACKEND_REF",
                         what);
    return jemi_fail(JEM_EBACKEND, "oneDNN failed with status %d on: %s", (int)status, what);
}
