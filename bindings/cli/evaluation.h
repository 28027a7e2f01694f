/*
 * What an evaluation has found: the scores of the test set and of all other sets, and their
 * figures. Text, JSON, pages and pictures are made of this alone.
 */
#ifndef JEM_CLI_EVALUATION_H
#define JEM_CLI_EVALUATION_H

#include "options.h"
#include "report.h"
#include "scorer.h"

enum { CLI_ECE_BINS = 15 };
#define CLI_TPR 0.95 /* at which false-positive rates are taken */

typedef struct cli_detection {
    jem_detection value, low, high; /* the ends are NaN where there are no intervals */
} cli_detection;

/** A set of rows that are to be told from the test rows. */
typedef struct cli_eval_set {
    const char *name;
    cli_scores scores;
    cli_detection columns[CLI_SCORES_MAX];
    double flagged; /* the share of its rows; NaN without a detector */
} cli_eval_set;

typedef struct cli_evaluation {
    const char *model, *data; /* as the user called them */
    double temperature;       /* of the probabilities */
    const cli_scorer *scorer; /* which columns there are */
    int64_t resamples;        /* of the bootstrap; 0 = no intervals */
    uint64_t seed;            /* of the same */
    int64_t n;                /* test rows */
    const int64_t *labels;    /* (n), NULL = none, or a model of one class */
    float *logits, *losses;   /* (n, classes) and (n), 0 or 1; NULL without labels */
    cli_scores test;
    double
        false_positive_rate; /* the share of test rows that are flagged; NaN without a detector */
    jem_classification classification, classification_low, classification_high; /* likewise */
    jem_selection selection[CLI_SCORES_MAX]; /* of the columns, without test rows that are wrong */
    int n_sets;
    cli_eval_set *sets; /* (CLI_LIST_MAX) */
} cli_evaluation;

/** Fills the figures from the scores, logits and labels: of the test set, and of one other set. */
cli_status cli_evaluate_test(cli_evaluation *evaluation, cli_error *err);
cli_status cli_evaluate_set(const cli_evaluation *evaluation, cli_eval_set *set, cli_error *err);

void cli_evaluation_free(cli_evaluation *evaluation);

/** The columns that pictures show where there is no room for all; returns how many. */
int cli_main_columns(const cli_scorer *scorer, int room, int *columns);

/** What a set is called where there is little room: the last part of a path. */
const char *cli_short_name(const char *name);

/* ---- what is made of it ---------------------------------------------------------------------- */

/** Into a report as JSON. */
void cli_eval_json(const cli_evaluation *evaluation, json_t *root);

/** Tables on a stream. */
void cli_eval_tables(const cli_evaluation *evaluation, FILE *to);

/** A page that needs no other file. */
cli_status cli_eval_html(const cli_evaluation *evaluation, const char *path, cli_error *err);

/** ROC curves and histograms as one picture. */
cli_status cli_eval_png(const cli_evaluation *evaluation, const char *path, cli_error *err);

#endif
