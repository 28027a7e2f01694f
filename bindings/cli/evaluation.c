/*
 * From scores to figures of merit.
 */
#include "evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double share_flagged(const cli_scores *scores)
{
    if (scores->flagged == NULL)
        return (double)NAN;
    int64_t flagged = 0;
    for (int64_t i = 0; i < scores->n; i++)
        flagged += scores->flagged[i];
    return (double)flagged / (double)scores->n;
}

static cli_status bootstrap_config(const cli_evaluation *e, jem_bootstrap_config *config,
                                   cli_error *err)
{
    CLI_TRY(cli_jem(err, jem_bootstrap_config_init(config, sizeof *config)));
    config->seed = e->seed;
    config->resamples = (int32_t)e->resamples;
    return CLI_OK;
}

// ---- the test set ------------------------------------------------------------------------------

static cli_status classify(cli_evaluation *e, cli_error *err)
{
    jem_classification *low = &e->classification_low, *high = &e->classification_high;
    const double none = (double)NAN;
    *low = *high = (jem_classification){sizeof *low, none, none, none, none, none, none};
    e->classification.struct_size = sizeof *low;
    CLI_TRY(
        cli_jem(err, jem_classification_metrics(e->n, e->scorer->classes, e->logits, e->labels,
                                                e->temperature, CLI_ECE_BINS, &e->classification)));
    if (e->resamples == 0)
        return CLI_OK;
    jem_bootstrap_config bootstrap;
    CLI_TRY(bootstrap_config(e, &bootstrap, err));
    return cli_jem(err, jem_classification_intervals(e->n, e->scorer->classes, e->logits, e->labels,
                                                     e->temperature, CLI_ECE_BINS, &bootstrap, low,
                                                     high));
}

static void fill_losses(cli_evaluation *e)
{
    const int32_t classes = e->scorer->classes;
    for (int64_t i = 0; i < e->n; i++) {
        const float *row = e->logits + i * classes;
        int32_t best = 0;
        for (int32_t k = 1; k < classes; k++)
            best = row[k] > row[best] ? k : best;
        e->losses[i] = best == e->labels[i] ? 0.0f : 1.0f;
    }
}

cli_status cli_evaluate_test(cli_evaluation *e, cli_error *err)
{
    e->false_positive_rate = share_flagged(&e->test);
    if (e->labels == NULL)
        return CLI_OK;
    CLI_TRY(classify(e, err));
    CLI_TRY(cli_alloc(&e->losses, e->n, sizeof *e->losses, err));
    fill_losses(e);
    for (int c = 0; c < e->scorer->n_columns; c++) {
        e->selection[c].struct_size = sizeof e->selection[c];
        CLI_TRY(cli_jem(
            err, jem_selective_metrics(e->n, e->test.values[c], e->losses, &e->selection[c])));
    }
    return CLI_OK;
}

// ---- other sets --------------------------------------------------------------------------------

static cli_status evaluate_column(const cli_evaluation *e, const cli_eval_set *set, int column,
                                  cli_detection *out, cli_error *err)
{
    const float *in = e->test.values[column], *other = set->scores.values[column];
    const double none = (double)NAN;
    out->value.struct_size = sizeof out->value;
    out->low = out->high = (jem_detection){sizeof out->low, none, none, none, none, none};
    CLI_TRY(
        cli_jem(err, jem_detection_metrics(e->n, in, set->scores.n, other, CLI_TPR, &out->value)));
    if (e->resamples == 0)
        return CLI_OK;
    jem_bootstrap_config bootstrap;
    CLI_TRY(bootstrap_config(e, &bootstrap, err));
    return cli_jem(err, jem_detection_intervals(e->n, in, set->scores.n, other, CLI_TPR, &bootstrap,
                                                &out->low, &out->high));
}

cli_status cli_evaluate_set(const cli_evaluation *e, cli_eval_set *set, cli_error *err)
{
    set->flagged = share_flagged(&set->scores);
    for (int c = 0; c < e->scorer->n_columns; c++)
        CLI_TRY(evaluate_column(e, set, c, &set->columns[c], err));
    return CLI_OK;
}

void cli_evaluation_free(cli_evaluation *e)
{
    for (int i = 0; i < e->n_sets; i++)
        cli_scores_free(&e->sets[i].scores);
    free(e->sets);
    cli_scores_free(&e->test);
    free(e->logits);
    free(e->losses);
}

// ---- names -------------------------------------------------------------------------------------

int cli_main_columns(const cli_scorer *scorer, int room, int *columns)
{
    static const int32_t kinds[] = {0, JEM_SCORE_ENERGY, JEM_SCORE_MAX_SOFTMAX, JEM_SCORE_GEN,
                                    JEM_SCORE_GRADIENT_NORM};
    int n = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int c = 0; c < scorer->n_columns; c++)
            if (scorer->columns[c].kind == kinds[k] && n < room)
                columns[n++] = c;
    return n;
}

const char *cli_short_name(const char *name)
{
    size_t length = strlen(name);
    while (length > 0 && name[length - 1] == '/')
        length--; // the name of a folder
    while (length > 0 && name[length - 1] != '/')
        length--;
    return name + length;
}
