/*
 * The kernels of one instruction set as a table.
 */
#include "kernels/list.h"
#include "kernels/simd/v16.h"

#define DECLARE(type, name, parameters, arguments) JEMI_KERNEL_DECLARE(name);
JEMI_KERNEL_LIST(DECLARE)

extern const jemi_kernel_table JEMI_KERNEL(table);

#define ENTRY(type, name, parameters, arguments) .name = JEMI_KERNEL(name),

const jemi_kernel_table JEMI_KERNEL(table) = {.name = V16_NAME, JEMI_KERNEL_LIST(ENTRY)};
