/*
 * The charts of an evaluation, whatever draws them. On failure a chart must be freed, too.
 */
#ifndef JEM_CLI_EVAL_CHARTS_H
#define JEM_CLI_EVAL_CHARTS_H

#include "chart.h"
#include "evaluation.h"

/** The colour and the dashes that a column has in every chart. */
int cli_column_hue(const cli_scorer *scorer, int column);
int cli_column_dash(const cli_scorer *scorer, int column);

/** The ROC curves of all columns. @param names  In the legend, with the AUROC. */
cli_status cli_chart_roc(const cli_evaluation *evaluation, const cli_eval_set *set, bool names,
                         cli_chart *chart, cli_error *err);

/** How the scores of a column lie, of the test set and of another. */
cli_status cli_chart_histogram(const cli_evaluation *evaluation, const cli_eval_set *set,
                               int column, cli_chart *chart, cli_error *err);

/** The share of wrong rows among those that are accepted, by the main columns. */
cli_status cli_chart_risk(const cli_evaluation *evaluation, cli_chart *chart, cli_error *err);

cli_status cli_chart_reliability(const cli_evaluation *evaluation, cli_chart *chart,
                                 cli_error *err);

#endif
