/*
 * The columns of a model's detector: its scores of features, its combined score, and its verdicts
 * at the threshold that is stored with it.
 */
#include "scorer.h"

#include <stdlib.h>

static void add_detector_columns(cli_scorer *scorer)
{
    for (int32_t kind = 1; kind < 64; kind++) {
        jem_score_info info = {.struct_size = sizeof info};
        if ((scorer->promise.kinds >> kind & 1) != 0 && jem_score_get_info(kind, &info) == JEM_OK &&
            info.source == JEM_SOURCE_FEATURES)
            cli_scorer_add_kind(scorer, kind);
    }
    if (scorer->n_columns < CLI_SCORES_MAX)
        scorer->columns[scorer->n_columns++] =
            (cli_score_column){.name = "detector", .summary = "the model's detector"};
}

// A detector that was calibrated at another precision does not fit, which is no reason to fail.
cli_status cli_scorer_add_detector(cli_scorer *scorer, int64_t batch, cli_error *err)
{
    const jem_status status = jem_model_get_detector(scorer->model, &scorer->detector);
    if (status == JEM_ENOTFOUND)
        return CLI_OK;
    if (status == JEM_EMISMATCH) {
        fprintf(stderr, "the model's detector is left out: %s\n", jem_last_error());
        return CLI_OK;
    }
    CLI_TRY(cli_jem(err, status));
    scorer->promise.struct_size = sizeof scorer->promise;
    CLI_TRY(cli_jem(err, jem_detector_get_info(scorer->detector, &scorer->promise)));
    CLI_TRY(cli_alloc(&scorer->verdicts, batch, sizeof *scorer->verdicts, err));
    add_detector_columns(scorer);
    return CLI_OK;
}

cli_status cli_scorer_detect(cli_scorer *scorer, int64_t first, int64_t n, const float *x,
                             cli_scores *scores, cli_error *err)
{
    if (scorer->detector == NULL)
        return CLI_OK;
    CLI_TRY(cli_jem(err, jem_detect(scorer->detector, scorer->model, n, x, scorer->verdicts,
                                    sizeof *scorer->verdicts)));
    for (int c = 0; c < scorer->n_columns; c++) {
        const cli_score_column *column = &scorer->columns[c];
        float *to = scores->values[c] + first;
        if (column->source == JEM_SOURCE_FEATURES)
            CLI_TRY(cli_jem(
                err, jem_detector_score(scorer->detector, scorer->model, column->kind, n, x, to)));
        for (int64_t i = 0; column->kind == 0 && i < n; i++)
            to[i] = scorer->verdicts[i].score;
    }
    for (int64_t i = 0; i < n; i++)
        scores->flagged[first + i] = scorer->verdicts[i].flag != JEM_FLAG_NONE;
    return CLI_OK;
}
