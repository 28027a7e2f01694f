/*
 * Which rows of the data a training step gets: every row once per pass, in another order each time.
 */
#ifndef JEM_CLI_TRAIN_ROWS_H
#define JEM_CLI_TRAIN_ROWS_H

#include "data.h"
#include "shuffle.h"

typedef struct cli_train_rows {
    cli_random random;
    int64_t n;      /* rows that take turns */
    int64_t batch;  /* of them per step */
    int64_t *order; /* (n), shuffled; the next batch begins at `next` */
    int64_t next;
    float *x; /* (batch, C, H, W) of the last batch */
    int64_t *labels;
} cli_train_rows;

/** All rows, or with `per_class` > 0 a random choice of at most so many of each class. */
cli_status cli_train_rows_init(cli_train_rows *rows, const cli_data *data, int32_t classes,
                               int64_t per_class, int64_t batch, uint64_t seed, cli_error *err);
/** Accepts a zeroed one. */
void cli_train_rows_free(cli_train_rows *rows);

/** Puts the next batch into x and, if there are any, labels. */
cli_status cli_train_rows_next(cli_train_rows *rows, const cli_data *data, const jem_model *model,
                               cli_error *err);

#endif
