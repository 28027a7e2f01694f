/*
 * The augmentation of the JEM authors' CIFAR code: pad by reflection, crop, flip.
 */
#include "train/augment.h"

#include "kernels/grain.h"

// One image's draw: out(i, j) = x(i + down, +-j + right), reflected at the edges.
typedef struct move {
    int64_t down, right;
    int flip;
} move;

static move draw_move(const jemi_augmentation *augmentation, jemi_random_key key, uint32_t row,
                      uint64_t step)
{
    const uint32_t places = 2 * (uint32_t)augmentation->crop + 1;
    uint32_t bits[4];
    jemi_random_u32x4(key, 0, row, step, bits);
    return (move){
        .down = (int64_t)jemi_below_from_u32(bits[0], places) - augmentation->crop,
        .right = (int64_t)jemi_below_from_u32(bits[1], places) - augmentation->crop,
        .flip = augmentation->flip && bits[2] >> 31 != 0,
    };
}

// 0 .. size-1 for an index less than size beyond either edge.
static int64_t reflected(int64_t index, int64_t size)
{
    if (index < 0)
        return -index;
    return index < size ? index : 2 * (size - 1) - index;
}

static void move_image(const move *m, jemi_shape shape, const float *x, float *out)
{
    for (int64_t i = 0; i < shape.c * shape.h; i++) {
        const int64_t channel = i / shape.h;
        const float *from =
            x + (channel * shape.h + reflected(i % shape.h + m->down, shape.h)) * shape.w;
        float *to = out + i * shape.w;
        for (int64_t j = 0; j < shape.w; j++) {
            const int64_t seen = m->flip ? shape.w - 1 - j : j;
            to[j] = from[reflected(seen + m->right, shape.w)];
        }
    }
}

typedef struct rows {
    const jemi_augmentation *augmentation;
    jemi_shape shape;
    const float *x;
    float *out;
    jemi_random_key key;
    uint32_t first;
    uint64_t step;
} rows;

static void augment_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const rows *a = context;
    const int64_t len = jemi_shape_size(a->shape);
    for (int64_t r = begin; r < end; r++) {
        const move m = draw_move(a->augmentation, a->key, a->first + (uint32_t)r, a->step);
        move_image(&m, a->shape, a->x + r * len, a->out + r * len);
    }
}

void jemi_augment_rows(const jemi_augmentation *augmentation, jemi_shape shape, int64_t n,
                       const float *x, float *out, jemi_random_key key, uint32_t first,
                       uint64_t step)
{
    rows a = {augmentation, shape, x, out, key, first, step};
    jemi_parallel(n, jemi_grain(n, jemi_shape_size(shape) * JEMI_WORK_OF_FLOAT), augment_task, &a);
}
