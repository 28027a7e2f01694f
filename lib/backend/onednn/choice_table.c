/*
 * Layers whose fastest kernel is not the one that the rule of choose.c gives. `jem bench --tune`
 * measures and prints such rows; here are those that won in three runs of it.
 *
 * A new row changes the bits of the networks that have this layer. Checkpoints record the choice and
 * warn when it is another one.
 */
#include "backend/onednn/choose.h"

#define ROW(in, out, h, w, kernel, stride, direction, precision, isa, onednn, choice)              \
    {                                                                                              \
        in, out, h, w, kernel, stride, JEMI_CONV_##direction, JEM_PRECISION_##precision,           \
            JEMI_ISA_##isa, onednn, JEM_KERNEL_##choice                                            \
    }

// in, out, h, w, kernel, stride; with the milliseconds measured, those of the rule's kernel second.
const jemi_choice jemi_choice_table[] = {
    ROW(32, 32, 28, 28, 3, 2, FORWARD, F32, AVX512_BF16, 0, DIRECT),
};

const int jemi_choice_rows = sizeof jemi_choice_table / sizeof jemi_choice_table[0];
