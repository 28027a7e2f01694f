/*
 * What a command reports: the same values as aligned text or as one JSON object.
 *
 * Text is printed as it comes, JSON at the end. Numbers that are not finite are null in JSON.
 */
#ifndef JEM_CLI_REPORT_H
#define JEM_CLI_REPORT_H

#include <jansson.h>

#include "cli.h"

enum { CLI_COLUMNS_MAX = 8 };

typedef struct cli_report {
    json_t *root; /* NULL when text is wanted */
    FILE *to;     /* standard output, or standard error if a result goes there */
} cli_report;

cli_status cli_report_begin(cli_report *report, bool json, cli_error *err);

/** Prints the JSON, if that was wanted. */
cli_status cli_report_end(cli_report *report, cli_error *err);

/* One value each: `key` in JSON, `label` in text. */
void cli_report_text(cli_report *report, const char *key, const char *label, const char *value);
void cli_report_count(cli_report *report, const char *key, const char *label, int64_t value);
void cli_report_number(cli_report *report, const char *key, const char *label, double value,
                       int decimals, const char *unit);

/** Any JSON value, with its text; takes over the reference. */
void cli_report_json(cli_report *report, const char *key, const char *label, json_t *value,
                     const char *text);

/** Lines of explanation in our own words; not in JSON. */
void cli_report_note(const cli_report *report, const char *text);

/** A table: in JSON, `key` holds an object per row with a member per column. */
typedef struct cli_table {
    cli_report *report;
    json_t *rows;
    int n_columns;
    const char *columns[CLI_COLUMNS_MAX];
} cli_table;

void cli_table_begin(cli_table *table, cli_report *report, const char *key, const char *title,
                     int n_columns, const char *const *columns);
void cli_table_row(cli_table *table, const char *name, const double *values, int decimals);

#endif
