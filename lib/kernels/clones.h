/*
 * One source, compiled for several instruction sets and picked at load time. With contraction off
 * and no reassociation every clone gives the same bits; only the speed differs.
 */
#ifndef JEMI_KERNELS_CLONES_H
#define JEMI_KERNELS_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define JEMI_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define JEMI_CLONES
#endif

#endif
