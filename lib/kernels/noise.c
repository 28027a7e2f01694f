/*
 * Normals in bulk, and the Langevin update.
 *
 * The work goes in tiles of 16 counters = 64 numbers, held as separate arrays so that the compiler
 * turns each loop into vector code. logarithm, sine and cosine are polynomials fitted here (maximum
 * error below 1e-8 on their intervals) and nothing is contracted or reassociated: all
 * instruction sets give the same bits.
 */
#include "kernels/noise.h"

#include <math.h>
#include <string.h>

#include <Random123/philox.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(fill_uniform);
JEMI_KERNEL_DECLARE(fill_normal);
JEMI_KERNEL_DECLARE(add_noise);
JEMI_KERNEL_DECLARE(langevin);

enum { LANES = JEMI_LANES, TILE = 4 * LANES };

typedef struct tile_source {
    jemi_random_key key;
    uint32_t row;
    uint64_t step;
} tile_source;

static inline __attribute__((always_inline)) void random_tile(const tile_source *source,
                                                              uint32_t block,
                                                              uint32_t bits[4][LANES])
{
    const philox4x32_key_t key = {{source->key.v[0], source->key.v[1]}};
    for (int lane = 0; lane < LANES; lane++) {
        const philox4x32_ctr_t counter = {{block + (uint32_t)lane, source->row,
                                           (uint32_t)source->step, (uint32_t)(source->step >> 32)}};
        const philox4x32_ctr_t numbers = philox4x32(counter, key);
        bits[0][lane] = numbers.v[0];
        bits[1][lane] = numbers.v[1];
        bits[2][lane] = numbers.v[2];
        bits[3][lane] = numbers.v[3];
    }
}

// ln x for normal x > 0: x = 2^e m, m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1)).
static inline float natural_log(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t e = (bits - 0x3f3504f3) >> 23;
    const int32_t mantissa_bits = bits - e * (1 << 23);
    float m;
    memcpy(&m, &mantissa_bits, sizeof m);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float z = s * s;
    const float q = 0.66666685f + z * (0.3998875f + z * 0.29580998f);
    return (float)e * 0.69314718f + (2.0f * s + s * z * q);
}

// Box-Muller: a pair of normals from a pair of uniforms; the second is an angle in turns.
static inline void box_muller(uint32_t bits_radius, uint32_t bits_angle, float *first,
                              float *second)
{
    const float radius = sqrtf(-2.0f * natural_log(jemi_unit_from_u32(bits_radius)));
    const float turns = jemi_unit_from_u32(bits_angle);
    const int32_t quadrant = (int32_t)(turns * 4.0f + 0.5f);
    const float f = turns - (float)quadrant * 0.25f; // -1/8 .. 1/8
    const float w = f * f;
    const float sine =
        f * (6.28318529f + w * (-41.3416626f + w * (81.59254821f + w * -75.40184025f)));
    const float cosine =
        1.0f + w * (-19.73920879f + w * (64.93936907f + w * (-85.44882288f + w * 59.4242252f)));
    const float c = (quadrant & 1) != 0 ? sine : cosine;
    const float s = (quadrant & 1) != 0 ? cosine : sine;
    *first = radius * (((quadrant + 1) & 2) != 0 ? -c : c);
    *second = radius * ((quadrant & 2) != 0 ? -s : s);
}

static inline __attribute__((always_inline)) void normal_tile(const tile_source *source,
                                                              uint32_t block, float out[TILE])
{
    uint32_t bits[4][LANES];
    float z[4][LANES];
    random_tile(source, block, bits);
    for (int lane = 0; lane < LANES; lane++) {
        box_muller(bits[0][lane], bits[1][lane], &z[0][lane], &z[1][lane]);
        box_muller(bits[2][lane], bits[3][lane], &z[2][lane], &z[3][lane]);
    }
    for (int lane = 0; lane < LANES; lane++)
        for (int word = 0; word < 4; word++)
            out[4 * lane + word] = z[word][lane];
}

static int64_t tile_end(int64_t begin, int64_t len)
{
    return begin + TILE < len ? begin + TILE : len;
}

void JEMI_KERNEL(fill_uniform)(float *out, int64_t len, float low, float high, jemi_random_key key,
                               uint32_t row, uint64_t step)
{
    const tile_source source = {key, row, step};
    const float range = high - low;
    for (int64_t begin = 0; begin < len; begin += TILE) {
        uint32_t bits[4][LANES];
        random_tile(&source, (uint32_t)(begin / 4), bits);
        const int64_t end = tile_end(begin, len);
        for (int64_t i = begin; i < end; i++)
            out[i] = low + range * jemi_unit_from_u32(bits[(i - begin) % 4][(i - begin) / 4]);
    }
}

void JEMI_KERNEL(fill_normal)(float *out, int64_t len, jemi_random_key key, uint32_t row,
                              uint64_t step)
{
    const tile_source source = {key, row, step};
    for (int64_t begin = 0; begin < len; begin += TILE) {
        float tile[TILE];
        normal_tile(&source, (uint32_t)(begin / 4), tile);
        memcpy(out + begin, tile, (size_t)(tile_end(begin, len) - begin) * sizeof *out);
    }
}

static void add_noise_row(float *x, int64_t len, float std, const tile_source *source)
{
    for (int64_t begin = 0; begin < len; begin += TILE) {
        float tile[TILE];
        normal_tile(source, (uint32_t)(begin / 4), tile);
        const int64_t end = tile_end(begin, len);
        for (int64_t i = begin; i < end; i++)
            x[i] += std * tile[i - begin];
    }
}

typedef struct noise_rows {
    float *x;
    int64_t len;
    float std;
    tile_source first; // of the first row
} noise_rows;

static void add_noise_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const noise_rows *rows = context;
    for (int64_t r = begin; r < end; r++) {
        tile_source source = rows->first;
        source.row += (uint32_t)r;
        add_noise_row(rows->x + r * rows->len, rows->len, rows->std, &source);
    }
}

void JEMI_KERNEL(add_noise)(float *x, int64_t n, int64_t len, float std, jemi_random_key key,
                            uint32_t first, uint64_t step)
{
    if (std == 0.0f)
        return;
    noise_rows rows = {x, len, std, {key, first, step}};
    jemi_parallel(n, jemi_grain(n, len * JEMI_WORK_OF_NORMAL), add_noise_task, &rows);
}

// Sums squares in TILE / 4 fixed lanes, so that the order of additions is part of the definition.
typedef struct square_sum {
    float lane[LANES];
} square_sum;

static inline void update_tile(float *x, const float *grad, const float *noise, int64_t count,
                               const jemi_langevin_params *p, square_sum *gradient,
                               square_sum *position)
{
    for (int64_t i = 0; i < count; i++) {
        const float g = grad[i];
        float clamped = g < p->grad_clamp ? g : p->grad_clamp;
        clamped = clamped > -p->grad_clamp ? clamped : -p->grad_clamp;
        float moved = x[i] - p->step_size * clamped;
        moved += p->noise_std * noise[i];
        gradient->lane[i % LANES] += g * g;
        // 0 * inf and 0 * NaN are NaN: a lane stays 0 exactly as long as all positions are finite.
        position->lane[i % LANES] += moved * 0.0f;
        moved = moved < p->high ? moved : p->high;
        x[i] = moved > p->low ? moved : p->low;
    }
}

static float total(const square_sum *sum)
{
    float result = 0.0f;
    for (int lane = 0; lane < LANES; lane++)
        result += sum->lane[lane];
    return result;
}

static float langevin_row(float *x, const float *grad, int64_t len, const jemi_langevin_params *p,
                          const tile_source *source)
{
    square_sum gradient = {{0}};
    square_sum position = {{0}};
    float noise[TILE] = {0};
    for (int64_t begin = 0; begin < len; begin += TILE) {
        if (p->noise_std != 0.0f)
            normal_tile(source, (uint32_t)(begin / 4), noise);
        const int64_t count = tile_end(begin, len) - begin;
        if (count == TILE) // a constant trip count is what vectorises
            update_tile(x + begin, grad + begin, noise, TILE, p, &gradient, &position);
        else
            update_tile(x + begin, grad + begin, noise, count, p, &gradient, &position);
    }
    return sqrtf(total(&gradient)) + total(&position);
}

typedef struct langevin_rows {
    float *x;
    const float *grad;
    int64_t len;
    const jemi_langevin_params *params;
    float *grad_norm;
} langevin_rows;

static void langevin_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const langevin_rows *rows = context;
    const jemi_langevin_params *p = rows->params;
    for (int64_t r = begin; r < end; r++) {
        const uint32_t row = p->rows != NULL ? p->rows[r] : p->first_row + (uint32_t)r;
        const tile_source source = {p->key, row, p->step};
        const int64_t at = r * rows->len;
        const float norm = langevin_row(rows->x + at, rows->grad + at, rows->len, p, &source);
        if (rows->grad_norm != NULL)
            rows->grad_norm[r] = norm;
    }
}

void JEMI_KERNEL(langevin)(float *x, const float *grad, int64_t n, int64_t len,
                           const jemi_langevin_params *p, float *grad_norm)
{
    langevin_rows rows = {x, grad, len, p, grad_norm};
    jemi_parallel(n, jemi_grain(n, len * JEMI_WORK_OF_NORMAL), langevin_task, &rows);
}
