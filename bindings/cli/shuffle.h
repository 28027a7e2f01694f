/*
 * A small deterministic generator for the command's own choices: the order of the training rows
 * and the out-of-distribution test sets. (libjem has its own, which is not exported.)
 */
#ifndef JEM_CLI_SHUFFLE_H
#define JEM_CLI_SHUFFLE_H

#include <stdint.h>

typedef struct cli_random {
    uint64_t state;
} cli_random;

/** Uniform in 0..n-1, n >= 1, without bias. */
int64_t cli_random_below(cli_random *random, int64_t n);

/** Uniform in [0, 1). */
float cli_random_unit(cli_random *random);

/** A random order of items[0..n-1]. */
void cli_shuffle(cli_random *random, int64_t n, int64_t *items);

#endif
