/*
 * A model with its detector, and the rows that it judges: what detect, monitor and explain begin with.
 */
#ifndef JEM_CLI_WATCHED_H
#define JEM_CLI_WATCHED_H

#include "groups.h"
#include "rows.h"

typedef struct cli_watched {
    jem_model *model;
    jem_model_info info;
    jem_detector *detector;
    cli_rows rows;
    float *x;              /* (batch, input_size) */
    jem_verdict *verdicts; /* (batch) */
} cli_watched;

/* clang-format off */
#define CLI_WATCHED_MODEL_ROW(type, field)                                                         \
    CLI_ROW_INPUT("model", type, field, "FILE", "a model with a detector, see jem calibrate",      \
                  CLI_REQUIRED)
/* clang-format on */

/** The model and its detector. Zeroed before; cli_watched_close() must follow, whatever happens. */
cli_status cli_watched_load(cli_watched *watched, const char *model, const cli_exec_args *exec,
                            cli_error *err);

/** The rows, of which any value is handed out, and room for a batch of them. */
cli_status cli_watched_open(cli_watched *watched, const cli_rows_args *rows, cli_error *err);
void cli_watched_close(cli_watched *watched);

/** The next rows with their verdicts; *n = 0 at the end. */
cli_status cli_watched_next(cli_watched *watched, int64_t *n, cli_error *err);

#endif
