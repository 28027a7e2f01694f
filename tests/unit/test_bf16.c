/*
 * Rounding to bfloat16: every upper half with the lower halves around which rounding turns, by
 * scalars and by vectors, which give the same bits wherever in an array a value stands.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/isa.h"
#include "nearest_bf16.h"
#include "support.h"

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static const uint32_t lower_halves[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};

// Every upper half there is with this lower half.
static float *all_with(uint32_t lower)
{
    float *values = malloc(65536 * sizeof *values);
    for (uint32_t upper = 0; upper < 65536; upper++)
        values[upper] = float_of(upper << 16 | lower);
    return values;
}

START_TEST(test_rounding)
{
    float *values = all_with(lower_halves[_i]);
    for (int i = 0; i < 65536; i++) {
        const float have = float_of((uint32_t)jemi_bf16_from_float(values[i]) << 16);
        const float want = nearest_bf16(values[i]);
        ck_assert_msg(isnan(want) ? isnan(have) : bits_of(have) == bits_of(want),
                      "%a becomes %a, expected %a", (double)values[i], (double)have, (double)want);
    }
    free(values);
}
END_TEST

typedef struct row {
    const char *name;
    uint32_t bits;
    uint16_t rounded;
} row;

static const row rows[] = {
    {"one", 0x3f800000, 0x3f80},
    {"a tie, down to even", 0x3f808000, 0x3f80},
    {"a tie, up to even", 0x3f818000, 0x3f82},
    {"above a tie", 0x3f808001, 0x3f81},
    {"a tie below zero", 0xbf818000, 0xbf82},
    {"carried into the exponent", 0x3fffffff, 0x4000},
    {"largest float", 0x7f7fffff, 0x7f80},
    {"largest that stays finite", 0x7f7f7fff, 0x7f7f},
    {"infinity", 0x7f800000, 0x7f80},
    {"minus infinity", 0xff800000, 0xff80},
    {"minus zero", 0x80000000, 0x8000},
    {"quiet NaN", 0x7fc00000, 0x7fc0},
    {"NaN whose payload is in the lower half", 0x7f800001, 0x7fc0},
    {"NaN that rounding would overflow", 0xffffffff, 0xffff},
    {"smallest normal", 0x00800000, 0x0080},
    {"largest subnormal", 0x007fffff, 0x0000},
    {"minus smallest subnormal", 0x80000001, 0x8000},
};

START_TEST(test_special_values)
{
    for (int i = 0; i < COUNT(rows); i++) {
        const uint16_t have = jemi_bf16_from_float(float_of(rows[i].bits));
        ck_assert_msg(have == rows[i].rounded, "%s: %04x, expected %04x", rows[i].name, have,
                      rows[i].rounded);
    }
}
END_TEST

// A vector, its rest, and enough for several threads: 65521 is a prime.
START_TEST(test_vectors_round_as_scalars_do)
{
    static const int64_t counts[] = {1, 15, 16, 17, 4096, 65521};
    float *values = all_with(lower_halves[_i]);
    uint16_t have[65521 + 1];
    if (!jemi_bf16_available()) {
        puts("skipped: no bfloat16 instructions here");
        free(values);
        return;
    }
    support_threads(2);
    for (int c = 0; c < COUNT(counts); c++)
        for (int64_t first = 0; first <= 65536 - counts[c]; first += 13107) {
            have[counts[c]] = 0xabcd;
            jemi_bf16_from_floats(have, values + first, counts[c]);
            for (int64_t i = 0; i < counts[c]; i++)
                ck_assert_msg(have[i] == jemi_bf16_from_float(values[first + i]),
                              "%a becomes %04x in a vector, %04x alone", (double)values[first + i],
                              have[i], jemi_bf16_from_float(values[first + i]));
            ck_assert_uint_eq(have[counts[c]], 0xabcd);
        }
    free(values);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_rounding, 0, COUNT(lower_halves));
    tcase_add_test(tcase, test_special_values);
    tcase_add_loop_test(tcase, test_vectors_round_as_scalars_do, 0, COUNT(lower_halves));
}

int main(void)
{
    return support_main("bf16", add_tests);
}
