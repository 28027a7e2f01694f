/*
 * The kernels of one instruction set as a table.
 */
#include "kernels/entries.h"

extern const jemi_kernel_table JEMI_KERNEL(table);

#define ENTRY(type, name, parameters, arguments) .name = JEMI_KERNEL(name),

const jemi_kernel_table JEMI_KERNEL(table) = {.name = V16_NAME, JEMI_KERNEL_LIST(ENTRY)};
