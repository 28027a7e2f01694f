/*
 * The widths of the text form, and the JSON tree behind the other.
 */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json_text.h"
#include "named_files.h"

enum { LABEL_WIDTH = 18, COLUMN_WIDTH = 15 };

cli_status cli_report_begin(cli_report *report, bool json, cli_error *err)
{
    *report = (cli_report){.root = json ? json_object() : NULL, .to = cli_files_talk()};
    if (json && report->root == NULL)
        return cli_fail(err, "out of memory");
    return CLI_OK;
}

// JSON in ASCII holds no control characters but DEL, which is escaped here.
static int put_json(const char *text, size_t size, void *user)
{
    FILE *to = user;
    for (size_t i = 0; i < size; i++)
        if (text[i] == 0x7f ? fputs("\\u007f", to) < 0 : putc(text[i], to) == EOF)
            return -1;
    return 0;
}

cli_status cli_report_end(cli_report *report, cli_error *err)
{
    if (report->root == NULL)
        return CLI_OK;
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENSURE_ASCII;
    const int status = json_dump_callback(report->root, put_json, report->to, flags);
    putc('\n', report->to);
    json_decref(report->root);
    report->root = NULL;
    return status == 0 ? CLI_OK : cli_fail(err, "standard output could not be written");
}

static json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void cli_report_json(cli_report *report, const char *key, const char *label, json_t *value,
                     const char *text)
{
    if (report->root != NULL) {
        json_object_set_new(report->root, key, value);
        return;
    }
    json_decref(value);
    fprintf(report->to, "%-*s ", LABEL_WIDTH, label);
    cli_put_text(report->to, text);
    putc('\n', report->to);
}

void cli_report_text(cli_report *report, const char *key, const char *label, const char *value)
{
    cli_report_json(report, key, label, cli_json_text(value), value);
}

void cli_report_count(cli_report *report, const char *key, const char *label, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    cli_report_json(report, key, label, json_integer(value), text);
}

void cli_report_number(cli_report *report, const char *key, const char *label, double value,
                       int decimals, const char *unit)
{
    char text[64];
    snprintf(text, sizeof text, "%.*f%s%s", decimals, value, unit[0] != '\0' ? " " : "", unit);
    cli_report_json(report, key, label, json_number(value), text);
}

void cli_report_note(const cli_report *report, const char *text)
{
    if (report->root == NULL)
        fprintf(report->to, "%s\n", text);
}

void cli_table_begin(cli_table *table, cli_report *report, const char *key, const char *title,
                     int n_columns, const char *const *columns)
{
    *table = (cli_table){.report = report, .n_columns = n_columns};
    for (int i = 0; i < n_columns; i++)
        table->columns[i] = columns[i];
    if (report->root != NULL) {
        table->rows = json_object();
        json_object_set_new(report->root, key, table->rows);
        return;
    }
    fprintf(report->to, "\n%-*s", LABEL_WIDTH, title);
    for (int i = 0; i < n_columns; i++)
        fprintf(report->to, " %*s", COLUMN_WIDTH, columns[i]);
    putc('\n', report->to);
}

void cli_table_row(cli_table *table, const char *name, const double *values, int decimals)
{
    if (table->report->root != NULL) {
        json_t *row = json_object();
        for (int i = 0; i < table->n_columns; i++)
            json_object_set_new(row, table->columns[i], json_number(values[i]));
        cli_json_set(table->rows, name, row);
        return;
    }
    FILE *to = table->report->to;
    cli_put_text(to, name);
    const int length = (int)strlen(name);
    fprintf(to, "%s%*s", length > LABEL_WIDTH ? "\n" : "",
            length > LABEL_WIDTH ? LABEL_WIDTH : LABEL_WIDTH - length, "");
    for (int i = 0; i < table->n_columns; i++)
        fprintf(to, " %*.*f", COLUMN_WIDTH, decimals, values[i]);
    putc('\n', to);
}
