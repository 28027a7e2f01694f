/*
 * Keys and single counters. Bulk generation is in kernels/noise.c.
 */
#include "base/random.h"

#include <Random123/philox.h>

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit moves every output bit.
static uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

jemi_random_key jemi_random_key_make(uint64_t seed, jemi_purpose purpose, uint32_t epoch)
{
    const uint64_t use = (uint64_t)purpose << 32 | epoch;
    const uint64_t key = mix64(mix64(seed + 0x9e3779b97f4a7c15u) ^ use);
    return (jemi_random_key){{(uint32_t)key, (uint32_t)(key >> 32)}};
}

void jemi_random_u32x4(jemi_random_key key, uint32_t block, uint32_t row, uint64_t step,
                       uint32_t out[4])
{
    const philox4x32_ctr_t counter = {{block, row, (uint32_t)step, (uint32_t)(step >> 32)}};
    const philox4x32_key_t philox_key = {{key.v[0], key.v[1]}};
    const philox4x32_ctr_t numbers = philox4x32(counter, philox_key);
    for (int i = 0; i < 4; i++)
        out[i] = numbers.v[i];
}

uint32_t jemi_random_u32(jemi_random_key key, uint32_t block, uint32_t row, uint64_t step)
{
    uint32_t numbers[4];
    jemi_random_u32x4(key, block, row, step, numbers);
    return numbers[0];
}
