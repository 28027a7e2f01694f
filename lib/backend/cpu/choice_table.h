/*
 * Measured exceptions to the rule by which choose.c takes a kernel.
 */
#ifndef JEMI_BACKEND_CPU_CHOICE_TABLE_H
#define JEMI_BACKEND_CPU_CHOICE_TABLE_H

#include "backend/cpu/conv_impl.h"

/** What of the processor the choice depends on. */
typedef enum jemi_isa { JEMI_ISA_OTHER, JEMI_ISA_AVX512, JEMI_ISA_AVX512_BF16 } jemi_isa;

/** A layer and direction, and the kernel that was measured to be the fastest there. */
typedef struct jemi_choice {
    int64_t in, out, h, w;  /* of the forward convolution; h, w of its source */
    int32_t kernel, stride; /* a linear layer is a 1x1 convolution of single pixels */
    jemi_conv_direction direction;
    int32_t precision; /* JEM_PRECISION_F32, which is also BF16's for f32 kernels; or _BF16 */
    jemi_isa isa;      /* exactly this */
    int32_t onednn;    /* its major version; 0 = any */
    jemi_kernel choice;
} jemi_choice;

extern const jemi_choice jemi_choice_table[];
extern const int jemi_choice_rows;

#endif
