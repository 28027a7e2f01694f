/*
 * SplitMix64 (Steele, Lea & Flood 2014) and the Fisher-Yates shuffle.
 */
#include "shuffle.h"

static uint64_t next(cli_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t cli_random_below(cli_random *random, int64_t n)
{
    const uint64_t range = (uint64_t)n;
    const uint64_t fair_end = UINT64_MAX - UINT64_MAX % range;
    uint64_t draw;
    do
        draw = next(random);
    while (draw >= fair_end);
    return (int64_t)(draw % range);
}

float cli_random_unit(cli_random *random)
{
    return (float)(next(random) >> 40) * 0x1p-24f;
}

void cli_shuffle(cli_random *random, int64_t n, int64_t *items)
{
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = cli_random_below(random, i + 1);
        const int64_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}
