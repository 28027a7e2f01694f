/*
 * Rows that a model is applied to: those of a .npy file, or raw float32 frames as they come.
 */
#ifndef JEM_CLI_ROWS_H
#define JEM_CLI_ROWS_H

#include "io/file_read.h"
#include "npy.h"

typedef struct cli_rows {
    const jem_model *model;
    jem_model_info info; /* of the model */
    const char *path;
    bool any_value; /* NaN and infinity are handed out, too */
    int64_t n;      /* rows of a file; of frames those that have come */
    int64_t next;
    /* A file: */
    cli_npy npy;
    /* Or frames: */
    bool raw;
    jemi_source source;
    unsigned char *bytes; /* (batch frames) */
    int64_t batch, used;  /* frames, bytes */
} cli_rows;

/** What a command asks for. */
typedef struct cli_rows_args {
    const char *path;
    int32_t layout; /* of a file; the value of --layout */
    bool raw, any_value;
    int64_t batch; /* the most rows at a time */
} cli_rows_args;

/* clang-format off */
#define CLI_ROWS_ROW(type, field)                                                                  \
    CLI_ROW_INPUT("in", type, field, "X.npy",                                                      \
                 "rows, (n, C, H, W) or (n, C*H*W): 8-bit, or numbers in the model's input "       \
                 "range; rows of a table as they were in training",                                \
                 CLI_REQUIRED)
/* clang-format on */

/** Zeroed before; cli_rows_close() must follow, whatever happens. */
cli_status cli_rows_open(cli_rows *rows, const jem_model *model, const cli_rows_args *args,
                         cli_error *err);
void cli_rows_close(cli_rows *rows);

/**
 * The next rows as inputs: of a file a whole batch, of frames those that are there, and at least
 * one is waited for.
 *
 * @param x  Out. (batch, input_size). @param n  Out. 0 at the end.
 */
cli_status cli_rows_next(cli_rows *rows, float *x, int64_t *n, cli_error *err);

#endif
