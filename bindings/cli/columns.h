/*
 * The columns of a table: what they measure is in many units, and a network wants one scale.
 */
#ifndef JEM_CLI_COLUMNS_H
#define JEM_CLI_COLUMNS_H

#include "data.h"

typedef struct cli_columns {
    float *mean, *std;           /* of each column; a deviation of 0 is replaced by 1 */
    float least_std, most_std;   /* of the columns that vary */
    float least, most;           /* of all values */
    float least_unit, most_unit; /* of all values, standardised */
} cli_columns;

/** Of the float rows of a table. cli_columns_free() must follow, whatever happens. */
cli_status cli_columns_measure(cli_columns *columns, const cli_data *data, cli_error *err);
void cli_columns_free(cli_columns *columns);

/** One sentence about scales that a network will not learn from, and what helps; "" for none. */
void cli_columns_advise(const cli_data *data, char *text, size_t size);

#endif
