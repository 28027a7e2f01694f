/*
 * In the order in which a fault is told: the model, its detector, the rows.
 */
#include "watched.h"

#include <stdlib.h>

cli_status cli_watched_load(cli_watched *watched, const char *model, const cli_exec_args *exec,
                            cli_error *err)
{
    CLI_TRY(cli_model_load(&watched->model, model, exec, err));
    CLI_TRY(cli_model_info(watched->model, &watched->info, err));
    return cli_detector_load(&watched->detector, watched->model, model, err);
}

cli_status cli_watched_open(cli_watched *watched, const cli_rows_args *rows, cli_error *err)
{
    cli_rows_args asked = *rows;
    asked.any_value = true;
    CLI_TRY(
        cli_alloc(&watched->x, rows->batch * watched->info.input_size, sizeof *watched->x, err));
    CLI_TRY(cli_alloc(&watched->verdicts, rows->batch, sizeof *watched->verdicts, err));
    return cli_rows_open(&watched->rows, watched->model, &asked, err);
}

void cli_watched_close(cli_watched *watched)
{
    free(watched->x);
    free(watched->verdicts);
    cli_rows_close(&watched->rows);
    jem_detector_destroy(watched->detector);
    jem_model_destroy(watched->model);
}

cli_status cli_watched_next(cli_watched *watched, int64_t *n, cli_error *err)
{
    CLI_TRY(cli_rows_next(&watched->rows, watched->x, n, err));
    return cli_jem(err, jem_detect(watched->detector, watched->model, *n, watched->x,
                                   watched->verdicts, sizeof *watched->verdicts));
}
