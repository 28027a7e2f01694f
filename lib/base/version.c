/*
 * One counter for all: 64 bits do not come round.
 */
#include "base/version.h"

#include <stdatomic.h>

uint64_t jemi_version_new(void)
{
    static atomic_uint_least64_t given;
    return atomic_fetch_add(&given, 1) + 1;
}
