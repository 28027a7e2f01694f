/*
 * The digest of a file: CRC-64/XZ (ECMA-182 polynomial, reflected, initial and final inversion;
 * "123456789" gives 995dc9bbdf1939fa). It finds every change of up to 64 neighbouring bits for
 * certain, others with a chance of 1 - 2^-64. It guards against damage, not against forgery.
 */
#ifndef JEMI_IO_DIGEST_H
#define JEMI_IO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/** The digest of what `digest` covers followed by these bytes; that of nothing is 0. */
uint64_t jemi_digest(uint64_t digest, const void *data, size_t size);

#endif
