/*
 * What a fuzzer of this folder consists of: a table of seeds and words, and the function that is
 * called with each input. driver.c has the mutator and main().
 *
 * With clang -fsanitize=fuzzer a fuzzer is a libFuzzer target without driver.c.
 */
#ifndef JEM_FUZZ_FUZZ_H
#define JEM_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** No input becomes larger. Large ones are there to show cost that grows faster than they do. */
enum { FUZZ_SIZE_MAX = 1 << 18 };

typedef struct fuzz_input {
    uint8_t *bytes; /* room for FUZZ_SIZE_MAX */
    size_t size;
} fuzz_input;

/** Defined by each fuzzer. */
typedef struct fuzz_target {
    const char *name;
    /** Fills in seed i; false when there are no more. Called before anything else. */
    bool (*make_seed)(int i, fuzz_input *seed);
    /** A valid input that is `size` bytes long or somewhat less. */
    void (*make_large)(size_t size, fuzz_input *input);
    const char *const *words; /* put in by the mutator; NULL at the end */
} fuzz_target;

extern const fuzz_target fuzz_this;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** How many inputs were accepted, which a fuzzer counts: few would tell that it sees nothing. */
extern long fuzz_accepted;

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s: %s\n", fuzz_this.name, #condition);                               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
