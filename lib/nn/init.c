/*
 * Initial values: U(-1, 1) / sqrt(fan_in) for weights and biases alike, ones and zeros where layers
 * normalise, which is what PyTorch's layers do by default. Each number depends on the seed, the
 * index of its tensor and its place in it alone, so a tensor's values do not change when the ones
 * before it change size.
 */
#include <math.h>

#include "base/random.h"
#include "nn/graph.h"
#include "nn/spectral.h"

// With u and v at random the first estimates of a largest singular value would be far too small;
// PyTorch's torch.nn.utils.parametrizations.spectral_norm begins with as many.
enum { POWER_ITERATIONS = 15 };

static void fill_uniform(jemi_random_key key, uint32_t tensor, float bound, int64_t count,
                         float *values)
{
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t bits[4];
        jemi_random_u32x4(key, (uint32_t)(i / 4), tensor, 0, bits);
        for (int64_t j = 0; j < 4 && i + j < count; j++)
            values[i + j] = bound * (2.0f * jemi_unit_from_u32(bits[j]) - 1.0f);
    }
}

static void fill_tensor(jemi_random_key key, uint32_t index, const jemi_param *param, float *params)
{
    float *values = params + param->offset;
    if (param->init == JEMI_INIT_UNIFORM) {
        const float bound = (float)(1.0 / sqrt((double)param->fan_in));
        fill_uniform(key, index, bound, param->count, values);
        return;
    }
    for (int64_t i = 0; i < param->count; i++)
        values[i] = param->init == JEMI_INIT_ONE ? 1.0f : 0.0f;
}

void jemi_graph_init_params(const jemi_graph *graph, uint64_t seed, float *params)
{
    const jemi_random_key key = jemi_random_key_make(seed, JEMI_RANDOM_INIT, 0);
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++)
        fill_tensor(key, (uint32_t)i, jemi_graph_tensor(graph, i), params);
    for (int32_t k = 0; k < POWER_ITERATIONS; k++)
        jemi_spectral_iterate(graph, params);
}
