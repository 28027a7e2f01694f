/*
 * Which instruction set the kernels use: the fastest that the processor has, or that a limit
 * leaves. All give the same bits in f32.
 */
#ifndef JEMI_KERNELS_ISA_H
#define JEMI_KERNELS_ISA_H

#include <stdbool.h>

/** How many sets this library and processor have, the portable one included. */
int jemi_isa_count(void);

/** Their names, the fastest first: "avx512", "avx2", "neon", "portable". */
const char *jemi_isa_name(int index);

/** The name of the one in use. */
const char *jemi_isa_in_use(void);

/**
 * From now on uses no faster set than this one, NULL = the fastest. Packed weights and workspaces
 * depend on the set: those made before must not be used afterwards.
 *
 * @return false for a name that is not one of jemi_isa_name(); then nothing has changed.
 */
bool jemi_isa_limit(const char *name);

/** Has the set in use vectors and fused multiply-adds, so that our kernels are worth choosing where
 *  there are others? */
bool jemi_kernels_available(void);

/** Is it AVX-512? */
bool jemi_avx512_available(void);

/** Has it instructions for bfloat16? */
bool jemi_bf16_available(void);

#endif
