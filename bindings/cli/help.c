/*
 * How a help text looks: 80 columns, option names in one column, their meaning and default in the
 * next. Defaults are read from the struct that the parser would fill, so that they are never
 * stale.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

enum { LINE_WIDTH = 80, HELP_COLUMN = 27 };

// Prints the words of one paragraph; returns where it ended.
static const char *print_paragraph(const char *text, int at, int indent)
{
    int column = at;
    while (*text != '\0' && *text != '\n') {
        const int length = (int)strcspn(text, " \n");
        const bool first = column <= indent;
        if (!first && column + 1 + length > LINE_WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
    return text;
}

void cli_print_wrapped(const char *text, int at, int indent)
{
    while (true) {
        text = print_paragraph(text, at, indent);
        if (*text != '\n')
            return;
        text++;
        // A line that starts with a space is kept as it is: formulas, tables.
        while (*text == ' ' || *text == '\n') {
            const int length = (int)strcspn(text, "\n");
            printf("%.*s\n", length, text);
            text += length;
            if (*text == '\0')
                return;
            text++;
        }
        if (*text == '\0')
            return;
        printf("%*s", indent, "");
        at = indent;
    }
}

static int print_value_name(const cli_option *row)
{
    if (row->value != NULL)
        return printf(" %s%s", row->value, row->kind == CLI_LIST ? " ..." : "");
    int printed = 0;
    if (row->kind == CLI_CHOICE)
        for (const cli_choice *choice = row->choices; choice->name != NULL; choice++)
            printed += printf("%c%s", choice == row->choices ? ' ' : '|', choice->name);
    return printed;
}

static void print_option(const cli_option *row, const void *args)
{
    int at = printf("  --%s", row->name);
    at += print_value_name(row);
    char value[64], text[1024];
    cli_option_text(row, args, value, sizeof value);
    if (value[0] != '\0')
        snprintf(text, sizeof text, "%s (default %s)", row->help, value);
    else
        snprintf(text, sizeof text, "%s", row->help);
    if (at + 2 > HELP_COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", HELP_COLUMN - at, "");
    cli_print_wrapped(text, HELP_COLUMN, HELP_COLUMN);
}

static void print_streams(const cli_option *options)
{
    unsigned flags = 0;
    for (const cli_option *row = options; row->name != NULL; row++)
        flags |= row->flags;
    if (flags & CLI_OUTPUT)
        puts("\nThe file \"-\" is standard input, or standard output.");
    else if (flags & CLI_INPUT)
        puts("\nThe file \"-\" is standard input.");
}

void cli_options_help(const cli_command *command, const void *args)
{
    const int at = printf("usage: jem %s ", command->name);
    cli_print_wrapped(command->usage, at, at);
    putchar('\n');
    cli_print_wrapped(command->description, 0, 0);
    print_streams(command->options);
    if (command->print_more != NULL)
        command->print_more();
    for (const cli_option *row = command->options; row->name != NULL; row++) {
        if (row->kind == CLI_HEADING)
            printf("\n%s\n", row->name);
        else
            print_option(row, args);
    }
}
