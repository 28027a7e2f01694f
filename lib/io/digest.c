/*
 * CRC-64 by sixteen tables, sixteen bytes a step ("slicing", Kounavis & Berry 2005): table k holds
 * the remainder of a byte that k more bytes follow.
 */
#include "io/digest.h"

#include <pthread.h>

#define POLYNOMIAL UINT64_C(0xC96C5795D7870F42) // ECMA-182, bits reversed

enum { SLICES = 16 };

static uint64_t table[SLICES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int k = 1; k < SLICES; k++)
        for (unsigned byte = 0; byte < 256; byte++) {
            const uint64_t crc = table[k - 1][byte];
            table[k][byte] = crc >> 8 ^ table[0][crc & 255];
        }
}

static uint64_t step_slices(uint64_t crc, const unsigned char *p)
{
    uint64_t next = 0;
    for (int i = 0; i < 8; i++)
        next ^= table[15 - i][p[i] ^ (crc >> 8 * i & 255)];
    for (int i = 8; i < SLICES; i++)
        next ^= table[15 - i][p[i]];
    return next;
}

uint64_t jemi_digest(uint64_t digest, const void *data, size_t size)
{
    pthread_once(&table_once, make_table);
    const unsigned char *p = data;
    uint64_t crc = ~digest;
    for (; size >= SLICES; size -= SLICES, p += SLICES)
        crc = step_slices(crc, p);
    for (; size > 0; size--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
}
