/*
 * The table of a terminal: a row for each score and a column for each set, as many side by side as
 * 80 columns take. A set whose name is long has a number there, and its name below.
 */
#include <math.h>
#include <string.h>

#include "evaluation.h"

enum { NAME_WIDTH = 20, COLUMN_WIDTH = 9, SETS_ABREAST = 6 };

static bool fits(const char *name)
{
    return strlen(name) <= COLUMN_WIDTH;
}

static void put_heading(const cli_evaluation *e, int first, int end, FILE *to)
{
    fprintf(to, "\n%-*s", NAME_WIDTH, "AUROC");
    for (int i = first; i < end; i++) {
        char number[16];
        snprintf(number, sizeof number, "[%d]", i + 1);
        fprintf(to, " %*s", COLUMN_WIDTH, fits(e->sets[i].name) ? e->sets[i].name : number);
    }
    putc('\n', to);
}

static void put_intervals(const cli_evaluation *e, int column, int first, int end, FILE *to)
{
    fprintf(to, "%-*s", NAME_WIDTH, "");
    for (int i = first; i < end; i++) {
        const cli_detection *figures = &e->sets[i].columns[column];
        char text[32];
        snprintf(text, sizeof text, "%.2f-%.2f", figures->low.auroc, figures->high.auroc);
        fprintf(to, " %*s", COLUMN_WIDTH, text);
    }
    putc('\n', to);
}

static void put_column(const cli_evaluation *e, int column, int first, int end, FILE *to)
{
    fprintf(to, "%-*s", NAME_WIDTH, e->scorer->columns[column].name);
    for (int i = first; i < end; i++)
        fprintf(to, " %*.3f", COLUMN_WIDTH, e->sets[i].columns[column].value.auroc);
    putc('\n', to);
    if (e->resamples > 0)
        put_intervals(e, column, first, end, to);
}

static void put_flagged(const cli_evaluation *e, int first, int end, FILE *to)
{
    fprintf(to, "%-*s", NAME_WIDTH, "flagged");
    for (int i = first; i < end; i++)
        fprintf(to, " %*.3f", COLUMN_WIDTH, e->sets[i].flagged);
    putc('\n', to);
}

void cli_eval_tables(const cli_evaluation *e, FILE *to)
{
    for (int first = 0; first < e->n_sets; first += SETS_ABREAST) {
        const int end = first + SETS_ABREAST < e->n_sets ? first + SETS_ABREAST : e->n_sets;
        put_heading(e, first, end, to);
        for (int c = 0; c < e->scorer->n_columns; c++)
            put_column(e, c, first, end, to);
        if (e->scorer->detector != NULL)
            put_flagged(e, first, end, to);
    }
    bool any = false;
    for (int i = 0; i < e->n_sets; i++) {
        if (fits(e->sets[i].name))
            continue;
        fprintf(to, "%s[%d] ", any ? "" : "\n", i + 1);
        cli_put_text(to, e->sets[i].name);
        putc('\n', to);
        any = true;
    }
}
