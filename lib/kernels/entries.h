/*
 * The entries of the instruction set that a file is compiled for.
 */
#ifndef JEMI_KERNELS_ENTRIES_H
#define JEMI_KERNELS_ENTRIES_H

#include "kernels/list.h"
#include "kernels/simd/v16.h"

#define JEMI_KERNEL_DECLARE(type, name, parameters, arguments) type JEMI_KERNEL(name) parameters;
JEMI_KERNEL_LIST(JEMI_KERNEL_DECLARE)
#undef JEMI_KERNEL_DECLARE

#endif
