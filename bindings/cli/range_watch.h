/*
 * Tells rows that a model was never made for: outside of its input range a network extrapolates,
 * and what it says of such a row, though it is usually finite, looks like any other result.
 */
#ifndef JEM_CLI_RANGE_WATCH_H
#define JEM_CLI_RANGE_WATCH_H

#include "progress.h"

typedef struct cli_range_watch {
    const jem_model *model;
    float input_low, input_high;      /* of the model */
    uint8_t *outside;                 /* of a batch's rows */
    int64_t n;                        /* rows seen */
    int64_t n_outside, first_outside; /* and their values reach from low to high */
    float low, high;
    int64_t n_overflowed, first_overflowed;
} cli_range_watch;

/** Zeroed before. @param batch  The most rows at a time. */
cli_status cli_range_watch_begin(cli_range_watch *watch, const jem_model *model, int64_t batch,
                                 cli_error *err);
void cli_range_watch_end(cli_range_watch *watch);

/** Looks at the next n rows. */
cli_status cli_range_watch_rows(cli_range_watch *watch, int64_t n, const float *x, cli_error *err);

/** Looks at what the rows from `first` on gave, `size` numbers each. */
void cli_range_watch_results(cli_range_watch *watch, int64_t first, int64_t n, int64_t size,
                             const float *results);

/** Did none of these results overflow? */
bool cli_all_finite(const float *values, int64_t n);

/** Says on stderr what was found in `name`, if anything. `progress` may be NULL. */
void cli_range_watch_say(const cli_range_watch *watch, const char *name, cli_progress *progress);

#endif
