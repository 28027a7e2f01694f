/*
 * Layers whose fastest kernel is not the one that the rule of choose.c gives. `jem bench --tune`
 * measures and prints such rows; here are those that won in three runs of it by more than a
 * thousandth of the whole step. The first row that fits counts.
 *
 * In f32 none of them names a kernel of ours: the native backend would then have other bits on other
 * instruction sets.
 *
 * A new row changes the bits of the networks that have this layer. Checkpoints record the choice,
 * and their loading warns when it is another one.
 */
#include "backend/cpu/choice_table.h"

#define ROW(in, out, h, w, kernel, stride, direction, precision, isa, onednn, choice)              \
    {                                                                                              \
        in, out, h, w, kernel, stride, JEMI_CONV_##direction, JEM_PRECISION_##precision,           \
            JEMI_ISA_##isa, onednn, JEMI_KERNEL_##choice                                           \
    }

// Milliseconds of the row's kernel, then of the one that it is instead of: medians on one core of
// an EPYC (Zen 4), oneDNN 2.6.3, for as many rows as a lane takes, or where there are no lanes for
// 4, or 64 with two threads.
/* clang-format off */
const jemi_choice jemi_choice_table[] = {
    // wrn-10-1, 1x28x28
    ROW(16, 32, 28, 28, 1, 2, FORWARD, F32, AVX512_BF16, 2, ONEDNN), // 0.007, DIRECT 0.008
    ROW(16, 32, 28, 28, 1, 2, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.007, DIRECT 0.014
    ROW(32, 64, 14, 14, 1, 2, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.007, DIRECT 0.010
    // wrn-10-2, 1x28x28
    ROW(16, 32, 28, 28, 1, 1, FORWARD, F32, AVX512_BF16, 2, ONEDNN), // 0.013, DIRECT 0.020
    ROW(16, 32, 28, 28, 1, 1, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.009, DIRECT 0.014
    ROW(32, 64, 28, 28, 1, 2, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.010, DIRECT 0.015
    ROW(32, 64, 28, 28, 1, 2, FORWARD, BF16, AVX512_BF16, 0, DIRECT_BF16), // 0.013, DIRECT 0.015
    ROW(64, 128, 14, 14, 1, 2, FORWARD, BF16, AVX512_BF16, 0, DIRECT_BF16), // 0.008, DIRECT 0.012
    ROW(64, 128, 14, 14, 1, 2, TRANSPOSED, BF16, AVX512_BF16, 0, DIRECT_BF16), // 0.010, DIRECT 0.014
    // wrn-16-4, 3x32x32
    ROW(64, 128, 32, 32, 1, 2, FORWARD, F32, AVX512_BF16, 2, ONEDNN), // 2.436, DIRECT 3.442
    ROW(128, 256, 16, 16, 1, 2, FORWARD, F32, AVX512_BF16, 2, ONEDNN), // 1.829, DIRECT 2.251
    ROW(16, 64, 32, 32, 1, 1, FORWARD, F32, AVX512_BF16, 2, ONEDNN), // 0.177, DIRECT 0.258
    ROW(16, 64, 32, 32, 1, 1, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.091, DIRECT 0.121
    ROW(64, 128, 32, 32, 1, 2, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.195, DIRECT 0.285
    ROW(128, 256, 16, 16, 1, 2, TRANSPOSED, F32, AVX512_BF16, 2, ONEDNN), // 0.207, DIRECT 0.260
    ROW(128, 256, 16, 16, 1, 2, FORWARD, BF16, AVX512_BF16, 0, DIRECT_BF16), // 0.164, DIRECT 0.229
};
/* clang-format on */

const int jemi_choice_rows = sizeof jemi_choice_table / sizeof jemi_choice_table[0];
