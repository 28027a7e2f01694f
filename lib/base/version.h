/*
 * Numbers that tell one write from another: no two in a process are the same, and none is 0.
 */
#ifndef JEMI_BASE_VERSION_H
#define JEMI_BASE_VERSION_H

#include <stdint.h>

uint64_t jemi_version_new(void);

#endif
