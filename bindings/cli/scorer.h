/*
 * Every outlier score that a model can give, as one column of numbers each: those of logits from
 * one pass, that of the gradient, and, when the model has a detector, its scores of features and
 * its verdict.
 */
#ifndef JEM_CLI_SCORER_H
#define JEM_CLI_SCORER_H

#include "progress.h"

enum { CLI_SCORES_MAX = 32 };

/** What a column holds. */
typedef struct cli_score_column {
    const char *name, *summary; /* "max-softmax", "-max p(y|x)" */
    int32_t kind;               /* JEM_SCORE_*; 0 = all kinds of the detector combined */
    int32_t source;             /* JEM_SOURCE_*; 0 likewise */
} cli_score_column;

typedef struct cli_scorer {
    const jem_model *model;
    int32_t classes;
    jem_detector *detector;    /* NULL = the model has none */
    jem_detector_info promise; /* of the detector */
    int n_columns;
    cli_score_column columns[CLI_SCORES_MAX];
    float *logits;         /* of a batch */
    jem_verdict *verdicts; /* likewise; NULL without a detector */
} cli_scorer;

/** The columns of a set of rows. */
typedef struct cli_scores {
    int64_t n;
    float *values[CLI_SCORES_MAX]; /* (n) each */
    bool *flagged;                 /* (n), by the detector; NULL without one */
} cli_scores;

/** Zeroed before; cli_scorer_end() must follow, whatever happens. @param batch  The most rows at a
 *  time. @param refinement  Scores of refinement as well, each of which costs many passes. */
cli_status cli_scorer_begin(cli_scorer *scorer, const jem_model *model, int64_t batch,
                            bool refinement, cli_error *err);
void cli_scorer_end(cli_scorer *scorer);

/** Zeroed before; cli_scores_free() must follow, whatever happens. */
cli_status cli_scores_alloc(cli_scores *scores, const cli_scorer *scorer, int64_t n,
                            cli_error *err);
void cli_scores_free(cli_scores *scores);

/** Fills rows first..first+n-1 of the columns of logits and of the gradient.
 *  @param logits  Out. (n, classes), or NULL. */
cli_status cli_scorer_rows(cli_scorer *scorer, int64_t first, int64_t n, const float *x,
                           cli_scores *scores, float *logits, cli_error *err);

/* Of the detector, in scorer_detector.c: ------------------------------------------------------- */

/** Looks for the model's detector, and adds its columns behind the others. */
cli_status cli_scorer_add_detector(cli_scorer *scorer, int64_t batch, cli_error *err);

/** Fills those columns and the flags; does nothing where there is no detector. */
cli_status cli_scorer_detect(cli_scorer *scorer, int64_t first, int64_t n, const float *x,
                             cli_scores *scores, cli_error *err);

/** Adds a column; false when there is no such kind. */
bool cli_scorer_add_kind(cli_scorer *scorer, int32_t kind);

#endif
