/*
 * The outlier scores that need nothing but a model, by name.
 */
#ifndef JEM_CLI_SCORE_NAMES_H
#define JEM_CLI_SCORE_NAMES_H

#include "cli.h"

/** The kind that the word of --kind means; CLI_USAGE for a score of features or an unknown one. */
cli_status cli_score_find(const char *word, int32_t *kind, cli_error *err);

/** Prints a paragraph of a help text. */
void cli_score_print_kinds(void);

#endif
