/*
 * What scores and verdicts cost beside the logits they come from: run in turns, so that both see
 * the same machine.
 */
#ifndef JEM_CLI_BENCH_SCORES_H
#define JEM_CLI_BENCH_SCORES_H

#include "report.h"

/** What is measured. */
typedef struct cli_bench_score {
    bool detects;  /* by a detector with default kinds, or else one score */
    int32_t kind;  /* of the score; of features: by a detector that has it alone */
    int64_t batch; /* 0: of 1 and of 64 rows */
    int64_t runs;
} cli_bench_score;

/** A table of times, for a model with random rows as its training rows. */
cli_status cli_bench_scores(cli_report *report, const jem_model *model,
                            const cli_bench_score *asked, cli_error *err);

#endif
