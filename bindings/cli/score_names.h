/*
 * Outlier scores by name: all, and those that need nothing but a model.
 */
#ifndef JEM_CLI_SCORE_NAMES_H
#define JEM_CLI_SCORE_NAMES_H

#include "cli.h"

/** The kind that the word of --kind means; CLI_USAGE for a score of features or an unknown one. */
cli_status cli_score_find(const char *word, int32_t *kind, cli_error *err);

/** The same for any score, as a word of that option. */
cli_status cli_score_find_any(const char *word, const char *option, int32_t *kind, cli_error *err);

/** Print a paragraph of a help text. */
void cli_score_print_kinds(void);
void cli_score_print_all_kinds(void);

#endif
