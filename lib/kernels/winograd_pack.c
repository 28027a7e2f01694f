#include "kernels/winograd_pack.h"

#include "kernels/grain.h"
#include "kernels/winograd_packed.h"

JEMI_KERNEL_DECLARE(winograd_pack);

enum { LANES = JEMI_LANES, COLUMNS = JEMI_WINOGRAD_COLUMNS, KERNELS = 9 * LANES };

typedef float kernels[9][LANES]; // of one row and 16 columns

const jemi_winograd_scheme *JEMI_KERNEL(winograd_scheme_of)(int64_t stride, bool transposed)
{
    if (stride == 1)
        return &JEMI_KERNEL(winograd_stride1);
    return transposed ? &JEMI_KERNEL(winograd_stride2_transposed) : &JEMI_KERNEL(winograd_stride2);
}

// Of a place's values.
static int64_t packed_index(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
    const int64_t group = column / COLUMNS * COLUMNS;
    return group * rows + row * jemi_winograd_width(column, columns) + (column - group);
}

// (16 columns, row, kernel): as they are transformed.
static int64_t kernels_index(int64_t row, int64_t column, int64_t rows)
{
    return (column / LANES * rows + row) * KERNELS;
}

// ---- ahead -------------------------------------------------------------------------------------

typedef struct pack {
    const jemi_winograd_scheme *scheme;
    float *packed;
    const float *weights;
    bool transposed, keeps_kernels;
    int64_t rows, columns, row_step, column_step;
} pack;

// A kernel lies a column's step from that of the next column.
static void gather(const pack *p, int64_t row, int64_t column, kernels to)
{
    const float *from = p->weights + row * p->row_step + column * p->column_step;
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int k = 0; k < 9; k++)
            to[k][lane] = from[lane * p->column_step + k];
}

static void transform_all(const pack *p, int64_t row, int64_t column)
{
    kernels of;
    gather(p, row, column, of);
    const int64_t places = p->rows * p->columns;
    float *packed = p->packed + packed_index(row, column, p->rows, p->columns);
    const int phases = p->scheme->in_phases * p->scheme->out_phases;
    for (int phase = 0; phase < phases; phase++) {
        p->scheme->transform_weights(of, p->transposed, phase, packed, places);
        packed += jemi_winograd_places(p->scheme, phase) * places;
    }
}

static void pack_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pack *p = context;
    for (int64_t item = begin; item < end; item++) {
        const int64_t column = item / p->rows * LANES, row = item % p->rows;
        if (p->keeps_kernels)
            gather(p, row, column,
                   (float(*)[LANES])(p->packed + kernels_index(row, column, p->rows)));
        else
            transform_all(p, row, column);
    }
}

void JEMI_KERNEL(winograd_pack)(float *packed, const float *weights, int64_t out, int64_t in,
                                int64_t stride, bool transposed)
{
    pack p = {
        .scheme = JEMI_KERNEL(winograd_scheme_of)(stride, transposed),
        .packed = packed,
        .weights = weights,
        .transposed = transposed,
        .keeps_kernels = jemi_winograd_keeps_kernels(in, out, stride),
        .rows = transposed ? out : in,
        .columns = transposed ? in : out,
        .row_step = transposed ? in * 9 : 9,
        .column_step = transposed ? 9 : in * 9,
    };
    const int64_t items = p.columns / LANES * p.rows;
    const int64_t floats = jemi_winograd_weights_count(in, out, stride) / items;
    jemi_parallel(items, jemi_grain(items, floats * JEMI_WORK_OF_FLOAT), pack_task, &p);
}

// ---- while they are used -----------------------------------------------------------------------

void JEMI_KERNEL(winograd_transform)(const jemi_winograd *conv, int phase, int64_t column,
                                     int64_t first, int64_t depth, float *values)
{
    const jemi_winograd_scheme *scheme =
        JEMI_KERNEL(winograd_scheme_of)(conv->stride, conv->transposed);
    const int64_t width = jemi_winograd_width(column, conv->out),
                  stride = jemi_winograd_transformed_stride();
    for (int64_t c = 0; c < width; c += LANES) {
        const float *of = conv->weights + kernels_index(first, column + c, conv->in);
        for (int64_t row = 0; row < depth; row++, of += KERNELS)
            scheme->transform_weights((const float(*)[LANES])of, conv->transposed, phase,
                                      values + row * width + c, stride);
    }
}
