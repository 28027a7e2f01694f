/*
 * The columns of every model, and their memory: scores of logits and of the gradient, as the
 * library lists them.
 */
#include "scorer.h"

#include <stdlib.h>
#include <string.h>

bool cli_scorer_add_kind(cli_scorer *scorer, int32_t kind)
{
    jem_score_info info = {.struct_size = sizeof info};
    if (scorer->n_columns == CLI_SCORES_MAX || jem_score_get_info(kind, &info) != JEM_OK)
        return false;
    scorer->columns[scorer->n_columns++] = (cli_score_column){
        .name = info.name, .summary = info.summary, .kind = kind, .source = info.source};
    return true;
}

static bool is_refinement(int32_t kind)
{
    return kind == JEM_SCORE_REFINE || kind == JEM_SCORE_REFINE_DISTANCE;
}

static void add_plain_kinds(cli_scorer *scorer, bool refinement)
{
    jem_score_info info = {.struct_size = sizeof info};
    for (int32_t kind = 1; jem_score_get_info(kind, &info) == JEM_OK; kind++)
        if (info.source != JEM_SOURCE_FEATURES && scorer->classes >= info.classes_min &&
            (refinement || !is_refinement(kind)))
            cli_scorer_add_kind(scorer, kind);
}

cli_status cli_scorer_begin(cli_scorer *scorer, const jem_model *model, int64_t batch,
                            bool refinement, cli_error *err)
{
    jem_model_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_model_get_info(model, &info)));
    *scorer = (cli_scorer){.model = model, .classes = info.classes};
    CLI_TRY(cli_alloc(&scorer->logits, batch * info.classes, sizeof *scorer->logits, err));
    add_plain_kinds(scorer, refinement);
    return CLI_OK;
}

void cli_scorer_end(cli_scorer *scorer)
{
    free(scorer->logits);
    free(scorer->verdicts);
    jem_detector_destroy(scorer->detector);
    *scorer = (cli_scorer){.model = NULL};
}

cli_status cli_scores_alloc(cli_scores *scores, const cli_scorer *scorer, int64_t n, cli_error *err)
{
    scores->n = n;
    for (int c = 0; c < scorer->n_columns; c++)
        CLI_TRY(cli_alloc(&scores->values[c], n, sizeof *scores->values[c], err));
    if (scorer->detector != NULL)
        CLI_TRY(cli_alloc(&scores->flagged, n, sizeof *scores->flagged, err));
    return CLI_OK;
}

void cli_scores_free(cli_scores *scores)
{
    for (int c = 0; c < CLI_SCORES_MAX; c++)
        free(scores->values[c]);
    free(scores->flagged);
    *scores = (cli_scores){.n = 0};
}

cli_status cli_scorer_rows(cli_scorer *scorer, int64_t first, int64_t n, const float *x,
                           cli_scores *scores, float *logits, cli_error *err)
{
    CLI_TRY(cli_jem(err, jem_logits(scorer->model, n, x, scorer->logits)));
    for (int c = 0; c < scorer->n_columns; c++) {
        const cli_score_column *column = &scorer->columns[c];
        float *to = scores->values[c] + first;
        if (column->source == JEM_SOURCE_LOGITS)
            CLI_TRY(cli_jem(
                err, jem_score_logits(column->kind, NULL, n, scorer->classes, scorer->logits, to)));
        else if (column->source == JEM_SOURCE_GRADIENT)
            CLI_TRY(cli_jem(err, jem_score(scorer->model, column->kind, NULL, n, x, to)));
    }
    if (logits != NULL)
        memcpy(logits, scorer->logits, (size_t)(n * scorer->classes) * sizeof *logits);
    return CLI_OK;
}
