/*
 * Tells rows that a model was never made for: outside of its input range a network extrapolates,
 * and what it says of such a row, though it is usually finite, looks like any other result.
 */
#ifndef JEM_CLI_RANGE_WATCH_H
#define JEM_CLI_RANGE_WATCH_H

#include "progress.h"

typedef struct cli_range_watch {
    float input_low, input_high; /* of the model */
    int64_t row_size;
    int64_t n;                        /* rows seen */
    int64_t n_outside, first_outside; /* and their values reach from low to high */
    float low, high;
    int64_t n_overflowed, first_overflowed;
} cli_range_watch;

void cli_range_watch_begin(cli_range_watch *watch, const jem_model_info *info);

/** Looks at the next n rows. */
void cli_range_watch_rows(cli_range_watch *watch, int64_t n, const float *x);

/** Looks at what the rows from `first` on gave, `size` numbers each. */
void cli_range_watch_results(cli_range_watch *watch, int64_t first, int64_t n, int64_t size,
                             const float *results);

/** Says on stderr what was found in `name`, if anything. `progress` may be NULL. */
void cli_range_watch_say(const cli_range_watch *watch, const char *name, cli_progress *progress);

#endif
