/*
 * Weights in the orders that oneDNN's convolutions want, packed by a loop of our own: the reorders
 * of oneDNN 3.7.2 write wrong values where the last blocks of outputs and of inputs are not full
 * (7x20x3x3 from oihw to OIhw16i16o), and they take memory for each call.
 */
#include <string.h>

#include "backend/cpu/cpu_program.h"
#include "backend/onednn/primitive.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "kernels/grain.h"

typedef struct key {
    jemi_blocking order;
    size_t bytes;
} key;

static bool same(const void *a, const void *b)
{
    const jemi_blocking *p = &((const key *)a)->order, *q = &((const key *)b)->order;
    return memcmp(p, q, sizeof *p) == 0;
}

static size_t packed_bytes(const jemi_packing *packing, const jemi_param *param)
{
    (void)param;
    return ((const key *)packing->key)->bytes;
}

// What index `at` of a dimension adds to an element's place: by its inner blocks, the last of which
// is the innermost, and by its stride.
static int64_t place(const jemi_blocking *order, int dim, int64_t at)
{
    int64_t offset = 0, span = 1;
    for (int i = order->n_inner - 1; i >= 0; i--) {
        const int64_t size = order->inner_size[i];
        if (order->inner_dim[i] == dim) {
            offset += at % size * span;
            at /= size;
        }
        span *= size;
    }
    return offset + at * order->strides[dim];
}

typedef struct copy {
    const jemi_blocking *order;
    const float *plain; /* (O, I, KH, KW) */
    float *packed;
} copy;

static void copy_kernel(const copy *c, const float *plain, float *packed)
{
    const int64_t kh = c->order->dims[2], kw = c->order->dims[3];
    for (int64_t y = 0; y < kh; y++)
        for (int64_t x = 0; x < kw; x++)
            packed[place(c->order, 2, y) + place(c->order, 3, x)] = plain[y * kw + x];
}

static void copy_outputs(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const copy *c = context;
    const int64_t *dims = c->order->dims, kernel = dims[2] * dims[3];
    for (int64_t o = begin; o < end; o++)
        for (int64_t i = 0; i < dims[1]; i++)
            copy_kernel(c, c->plain + (o * dims[1] + i) * kernel,
                        c->packed + place(c->order, 0, o) + place(c->order, 1, i));
}

// What pads the last blocks was zeroed with the block of memory.
static void pack(const jemi_packing *packing, const jemi_param *param, void *packed,
                 const float *plain)
{
    (void)param;
    const jemi_blocking *order = &((const key *)packing->key)->order;
    copy c = {order, plain, packed};
    const int64_t work = order->dims[1] * order->dims[2] * order->dims[3];
    jemi_parallel(order->dims[0], jemi_grain(order->dims[0], work), copy_outputs, &c);
}

static const jemi_packing_type type = {
    .bytes = packed_bytes, .pack = pack, .same = same, .destroy = jemi_free};

jem_status jemi_dnnl_packing_slot(jemi_program *program, int32_t param, const jemi_md *packed,
                                  int32_t *slot)
{
    key *k = jemi_calloc(1, sizeof *k);
    if (k == NULL)
        return jemi_fail_memory("order of packed weights");
    if (!jemi_md_blocking(packed, &k->order) || k->order.rank != 4) {
        jemi_free(k);
        return jemi_fail(JEM_EBACKEND, "oneDNN wants weights in an order that is not blocked");
    }
    k->bytes = jemi_md_bytes(packed);
    const jemi_packing packing = {.type = &type, .param = param, .key = k};
    return jemi_cpu_program_slot(program, &packing, slot);
}
