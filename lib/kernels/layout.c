/*
 * Moving images between the canonical order and a layout, a tile of pixels at a time so that both
 * sides stay in the first-level cache. Nothing is computed here.
 */
#include "kernels/layout.h"

#include <string.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(layout_load);
JEMI_KERNEL_DECLARE(layout_store);
JEMI_KERNEL_DECLARE(layout_clear_padding);

enum { PIXELS = 64 };

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// One channel block of one row: `lanes` planes of `pixels` into [pixel][block].
static void interleave(float *dst, const float *planes, int64_t pixels, int64_t lanes,
                       int64_t block)
{
    for (int64_t begin = 0; begin < pixels; begin += PIXELS) {
        const int64_t end = min64(begin + PIXELS, pixels);
        for (int64_t lane = 0; lane < lanes; lane++)
            for (int64_t p = begin; p < end; p++)
                dst[p * block + lane] = planes[lane * pixels + p];
        for (int64_t lane = lanes; lane < block; lane++)
            for (int64_t p = begin; p < end; p++)
                dst[p * block + lane] = 0.0f;
    }
}

static void separate(float *planes, const float *src, int64_t pixels, int64_t lanes, int64_t block)
{
    for (int64_t begin = 0; begin < pixels; begin += PIXELS) {
        const int64_t end = min64(begin + PIXELS, pixels);
        for (int64_t lane = 0; lane < lanes; lane++)
            for (int64_t p = begin; p < end; p++)
                planes[lane * pixels + p] = src[p * block + lane];
    }
}

static void load_row(float *dst, const jemi_layout *layout, const float *row)
{
    const int64_t pixels = layout->h * layout->w;
    for (int64_t c = 0; c < layout->c; c += layout->block) {
        const int64_t lanes = min64(layout->block, layout->c - c);
        interleave(dst, row + c * pixels, pixels, lanes, layout->block);
        dst += pixels * layout->block;
    }
}

static void store_row(float *row, const float *src, const jemi_layout *layout)
{
    const int64_t pixels = layout->h * layout->w;
    for (int64_t c = 0; c < layout->c; c += layout->block) {
        const int64_t lanes = min64(layout->block, layout->c - c);
        separate(row + c * pixels, src, pixels, lanes, layout->block);
        src += pixels * layout->block;
    }
}

// Rows of images in both orders. Only the first n exist in the canonical one.
typedef struct move {
    float *dst;
    const float *src;
    const jemi_layout *layout;
    int64_t n;
} move;

static int64_t canonical_row(const jemi_layout *layout)
{
    return layout->c * layout->h * layout->w;
}

static void load_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const move *m = context;
    const int64_t row = jemi_layout_row(m->layout), from = canonical_row(m->layout);
    const bool same = jemi_layout_is_canonical(m->layout);
    for (int64_t r = begin; r < end; r++) {
        if (r >= m->n)
            memset(m->dst + r * row, 0, (size_t)row * sizeof *m->dst);
        else if (same)
            memcpy(m->dst + r * row, m->src + r * row, (size_t)row * sizeof *m->dst);
        else
            load_row(m->dst + r * row, m->layout, m->src + r * from);
    }
}

static void store_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const move *m = context;
    const int64_t row = jemi_layout_row(m->layout), to = canonical_row(m->layout);
    const bool same = jemi_layout_is_canonical(m->layout);
    for (int64_t r = begin; r < end; r++) {
        if (same)
            memcpy(m->dst + r * row, m->src + r * row, (size_t)row * sizeof *m->dst);
        else
            store_row(m->dst + r * to, m->src + r * row, m->layout);
    }
}

static void share_rows(jemi_task task, move *m, int64_t rows)
{
    jemi_parallel(rows, jemi_grain(rows, jemi_layout_row(m->layout) * JEMI_WORK_OF_FLOAT), task, m);
}

void JEMI_KERNEL(layout_load)(float *dst, const jemi_layout *layout, const float *canonical,
                              int64_t n)
{
    move m = {dst, canonical, layout, n};
    share_rows(load_task, &m, layout->n);
}

void JEMI_KERNEL(layout_store)(float *canonical, const float *src, const jemi_layout *layout,
                               int64_t n)
{
    move m = {canonical, src, layout, n};
    share_rows(store_task, &m, n);
}

void JEMI_KERNEL(layout_clear_padding)(float *data, const jemi_layout *layout)
{
    const int64_t used = layout->c % layout->block;
    if (used == 0)
        return;
    const int64_t pixels = layout->h * layout->w;
    const int64_t row = jemi_layout_row(layout);
    for (int64_t r = 0; r < layout->n; r++) {
        float *last = data + (r + 1) * row - pixels * layout->block;
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t lane = used; lane < layout->block; lane++)
                last[p * layout->block + lane] = 0.0f;
    }
}
