/*
 * What a detector says of a row, as a line of JSON.
 */
#ifndef JEM_CLI_VERDICT_H
#define JEM_CLI_VERDICT_H

#include "cli.h"

enum { CLI_VERDICT_SIZE = 1024 };

/** "none", "score", "range", "overflow" or "not-finite". */
const char *cli_flag_name(int32_t flag);

/**
 * {"row": 0, "flag": "none", "label": 3, "class": "Dress", "probability": 0.98, "score": 1.2,
 * "p_value": 0.3, "kind": "knn"} and a newline; null for what there is not, and for an infinite
 * score.
 *
 * @param class_name  NULL = the class has none.
 * @return the length.
 */
int cli_verdict_line(int64_t row, const jem_verdict *verdict, const char *class_name,
                     char line[CLI_VERDICT_SIZE]);

#endif
