/*
 * Shuffled passes over rows; those left over by the last full batch wait for the next shuffle.
 */
#include "train_rows.h"

#include <stdlib.h>

// Keeps, in the order they have, the first `per_class` rows of each class.
static cli_status thin_out(cli_train_rows *rows, const cli_data *data, int32_t classes,
                           int64_t per_class, cli_error *err)
{
    int64_t *taken, kept = 0;
    CLI_TRY(cli_alloc(&taken, classes, sizeof *taken, err));
    for (int32_t c = 0; c < classes; c++)
        taken[c] = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t row = rows->order[i];
        if (taken[data->labels[row]]++ < per_class)
            rows->order[kept++] = row;
    }
    rows->n = kept;
    free(taken);
    return CLI_OK;
}

cli_status cli_train_rows_init(cli_train_rows *rows, const cli_data *data, int32_t classes,
                               int64_t per_class, int64_t batch, uint64_t seed, cli_error *err)
{
    *rows = (cli_train_rows){.random = {seed}, .n = data->n};
    CLI_TRY(cli_alloc(&rows->order, data->n, sizeof *rows->order, err));
    for (int64_t i = 0; i < data->n; i++)
        rows->order[i] = i;
    if (per_class > 0) {
        cli_shuffle(&rows->random, rows->n, rows->order);
        CLI_TRY(thin_out(rows, data, classes, per_class, err));
    }
    rows->batch = batch < rows->n ? batch : rows->n;
    rows->next = rows->n;
    CLI_TRY(cli_alloc(&rows->x, rows->batch * cli_data_row_size(data), sizeof *rows->x, err));
    return cli_alloc(&rows->labels, rows->batch, sizeof *rows->labels, err);
}

void cli_train_rows_free(cli_train_rows *rows)
{
    free(rows->order);
    free(rows->x);
    free(rows->labels);
    *rows = (cli_train_rows){0};
}

cli_status cli_train_rows_next(cli_train_rows *rows, const cli_data *data, const jem_model *model,
                               cli_error *err)
{
    if (rows->next + rows->batch > rows->n) {
        cli_shuffle(&rows->random, rows->n, rows->order);
        rows->next = 0;
    }
    const int64_t *now = rows->order + rows->next;
    rows->next += rows->batch;
    for (int64_t i = 0; data->labels != NULL && i < rows->batch; i++)
        rows->labels[i] = data->labels[now[i]];
    return cli_data_inputs(data, model, now, 0, rows->batch, rows->x, err);
}
