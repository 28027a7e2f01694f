/*
 * The parser of the command line: one option after the other, looked up in the table, its value
 * read whole and checked against the range of its row. All refusals of a command line's form are
 * here, and each says what was expected.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "named_files.h"

// ---- refusals ----------------------------------------------------------------------------------

static bool is_option(const cli_option *row)
{
    return row->kind != CLI_HEADING;
}

// Changes, insertions and deletions that turn one word into the other; words are short.
static int edit_distance(const char *a, const char *b)
{
    enum { WORD_MAX = 48 };
    const int n_a = (int)strnlen(a, WORD_MAX);
    const int n_b = (int)strnlen(b, WORD_MAX);
    int row[WORD_MAX + 1];
    for (int j = 0; j <= n_b; j++)
        row[j] = j;
    for (int i = 1; i <= n_a; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n_b; j++) {
            const int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n_b];
}

static const char *nearest_option(const cli_option *options, const char *name)
{
    const char *nearest = NULL;
    int nearest_distance = 3;
    for (const cli_option *row = options; row->name != NULL; row++) {
        if (!is_option(row))
            continue;
        const bool begins = strlen(name) >= 2 && strncmp(row->name, name, strlen(name)) == 0;
        const int distance = begins ? 1 : edit_distance(row->name, name);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = row->name;
        }
    }
    return nearest;
}

static cli_status unknown_option(const cli_option *options, const char *name, cli_error *err)
{
    const char *nearest = nearest_option(options, name);
    if (nearest != NULL)
        return cli_usage(err, "unknown option --%s; did you mean --%s?", name, nearest);
    char valid[1024] = "";
    size_t used = 0;
    for (const cli_option *row = options; row->name != NULL; row++)
        if (is_option(row) && used < sizeof valid)
            used += (size_t)snprintf(valid + used, sizeof valid - used, " --%s", row->name);
    return cli_usage(err, "unknown option --%s; valid are:%s --help", name, valid);
}

static cli_status bad_number(const cli_option *row, const char *word, const char *noun,
                             cli_error *err)
{
    const char *none = row->flags & CLI_OR_NONE ? " or none" : "";
    if (row->flags & CLI_ABOVE)
        return cli_usage(err, "--%s is \"%s\"; expected %s above %g%s", row->name, word, noun,
                         row->low, none);
    if (row->high >= 1e15)
        return cli_usage(err, "--%s is \"%s\"; expected %s of at least %.10g%s", row->name, word,
                         noun, row->low, none);
    return cli_usage(err, "--%s is \"%s\"; expected %s from %.10g to %.10g%s", row->name, word,
                     noun, row->low, row->high, none);
}

// ---- values ------------------------------------------------------------------------------------

static cli_status parse_count(const cli_option *row, const char *word, void *out, cli_error *err)
{
    char *end;
    errno = 0;
    const long long value = strtoll(word, &end, 10);
    if (errno != 0 || end == word || *end != '\0' || isspace((unsigned char)word[0]) ||
        (double)value < row->low || (double)value > row->high)
        return bad_number(row, word, "a whole number", err);
    *(int64_t *)out = value;
    return CLI_OK;
}

static cli_status parse_seed(const cli_option *row, const char *word, void *out, cli_error *err)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(word, &end, 10);
    if (errno != 0 || end == word || *end != '\0' || !isdigit((unsigned char)word[0]))
        return cli_usage(err, "--%s is \"%s\"; expected a whole number from 0 to 2^64 - 1",
                         row->name, word);
    *(uint64_t *)out = value;
    return CLI_OK;
}

static cli_status parse_number(const cli_option *row, const char *word, void *out, cli_error *err)
{
    if ((row->flags & CLI_OR_NONE) && strcmp(word, "none") == 0) {
        *(double *)out = INFINITY;
        return CLI_OK;
    }
    char *end;
    const double value = strtod(word, &end);
    const bool too_low =
        row->flags & CLI_ABOVE ? !((float)value > (float)row->low) : !(value >= row->low);
    if (end == word || *end != '\0' || isspace((unsigned char)word[0]) || too_low ||
        !(value <= row->high))
        return bad_number(row, word, "a number", err);
    *(double *)out = value;
    return CLI_OK;
}

// Words are written with hyphens; underscores, as in C and Python, do as well.
static bool same_word(const char *a, const char *b)
{
    while (*a != '\0' && (*a == *b || (*a == '-' && *b == '_'))) {
        a++;
        b++;
    }
    return *a == *b;
}

static cli_status parse_choice(const cli_option *row, const char *word, void *out, cli_error *err)
{
    char valid[256] = "";
    size_t used = 0;
    for (const cli_choice *choice = row->choices; choice->name != NULL; choice++) {
        if (same_word(choice->name, word)) {
            *(int32_t *)out = choice->value;
            return CLI_OK;
        }
        used += (size_t)snprintf(valid + used, sizeof valid - used, "%s%s", used > 0 ? ", " : "",
                                 choice->name);
    }
    return cli_usage(err, "--%s is \"%s\"; expected one of %s", row->name, word, valid);
}

static cli_status parse_value(const cli_option *row, const char *word, void *out, cli_error *err)
{
    switch (row->kind) {
    case CLI_COUNT:
        return parse_count(row, word, out, err);
    case CLI_NUMBER:
        return parse_number(row, word, out, err);
    case CLI_SEED:
        return parse_seed(row, word, out, err);
    case CLI_CHOICE:
        return parse_choice(row, word, out, err);
    default:
        if (word[0] == '\0')
            return cli_usage(err, "--%s is empty; expected %s", row->name, row->value);
        *(const char **)out = word;
        return CLI_OK;
    }
}

static cli_status add_to_list(const cli_option *row, cli_list *list, const char *word,
                              cli_error *err)
{
    if (list->count == CLI_LIST_MAX)
        return cli_usage(err, "--%s has more than %d values", row->name, (int)CLI_LIST_MAX);
    list->items[list->count++] = word;
    return CLI_OK;
}

// ---- the command line --------------------------------------------------------------------------

typedef struct words {
    int n, at;
    char *const *items;
} words;

static bool next_is_value(const words *line)
{
    return line->at < line->n && strncmp(line->items[line->at], "--", 2) != 0;
}

static cli_status parse_list(const cli_option *row, const char *attached, words *line, void *out,
                             cli_error *err)
{
    if (attached != NULL)
        return add_to_list(row, out, attached, err);
    if (!next_is_value(line))
        return cli_usage(err, "--%s lacks its value; expected --%s %s", row->name, row->name,
                         row->value);
    while (next_is_value(line))
        CLI_TRY(add_to_list(row, out, line->items[line->at++], err));
    return CLI_OK;
}

// One option and its value. `attached` is what followed "=", or NULL.
static cli_status parse_option(const cli_option *row, const char *attached, words *line, void *args,
                               cli_error *err)
{
    void *out = (char *)args + row->offset;
    if (row->kind == CLI_FLAG) {
        if (attached != NULL)
            return cli_usage(err, "--%s takes no value, but \"%s\" was given", row->name, attached);
        *(bool *)out = true;
        return CLI_OK;
    }
    if (row->kind == CLI_LIST)
        return parse_list(row, attached, line, out, err);
    if (attached == NULL) {
        if (!next_is_value(line))
            return cli_usage(err, "--%s lacks its value", row->name);
        attached = line->items[line->at++];
    }
    return parse_value(row, attached, out, err);
}

static const cli_option *find_option(const cli_option *options, const char *name, size_t length)
{
    for (const cli_option *row = options; row->name != NULL; row++)
        if (is_option(row) && strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

static cli_status check_required(const cli_option *options, const void *args, cli_error *err)
{
    for (const cli_option *row = options; row->name != NULL; row++) {
        if (!(row->flags & CLI_REQUIRED))
            continue;
        const void *value = (const char *)args + row->offset;
        const bool given = row->kind == CLI_TEXT    ? *(const char *const *)value != NULL
                           : row->kind == CLI_COUNT ? (double)*(const int64_t *)value >= row->low
                                                    : *(const int32_t *)value != 0;
        if (!given)
            return cli_usage(err, "--%s is missing; expected --%s %s", row->name, row->name,
                             row->value != NULL ? row->value : "CHOICE");
    }
    return CLI_OK;
}

// Of two values one would be lost. The values of a list add up.
static cli_status note_given(const cli_command *command, const cli_option *row, cli_given *given,
                             cli_error *err)
{
    bool *place = &given->rows[row - command->options];
    if (*place && row->kind != CLI_LIST)
        return cli_usage(err, "--%s was given twice; expected it once", row->name);
    *place = true;
    return CLI_OK;
}

cli_status cli_options_parse(const cli_command *command, int n_words, char *const *items,
                             void *args, cli_error *err)
{
    words line = {n_words, 0, items};
    cli_given given = {{false}};
    while (line.at < line.n) {
        const char *word = line.items[line.at++];
        if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
            return cli_usage(err, "\"%s\" was not understood; expected jem %s %s", word,
                             command->name, command->usage);
        const char *name = word + 2;
        const size_t length = strcspn(name, "=");
        const cli_option *row = find_option(command->options, name, length);
        if (row == NULL) {
            char unknown[64];
            snprintf(unknown, sizeof unknown, "%.*s", (int)length, name);
            return unknown_option(command->options, unknown, err);
        }
        const char *attached = name[length] == '=' ? name + length + 1 : NULL;
        CLI_TRY(note_given(command, row, &given, err));
        CLI_TRY(parse_option(row, attached, &line, args, err));
    }
    if (command->given_offset != 0)
        memcpy((char *)args + command->given_offset, &given, sizeof given);
    CLI_TRY(check_required(command->options, args, err));
    return cli_files_check(command->options, args, err);
}

static const size_t value_sizes[] = {
    [CLI_FLAG] = sizeof(bool),     [CLI_TEXT] = sizeof(const char *),
    [CLI_COUNT] = sizeof(int64_t), [CLI_NUMBER] = sizeof(double),
    [CLI_SEED] = sizeof(uint64_t), [CLI_CHOICE] = sizeof(int32_t),
    [CLI_LIST] = sizeof(cli_list),
};

void cli_options_take(const cli_option *options, const cli_given *given, const void *from,
                      void *args)
{
    for (const cli_option *row = options; row->name != NULL; row++)
        if (is_option(row) && !given->rows[row - options])
            memcpy((char *)args + row->offset, (const char *)from + row->offset,
                   value_sizes[row->kind]);
}

const char *cli_choice_name(const cli_choice *choices, int32_t value)
{
    for (const cli_choice *choice = choices; choice->name != NULL; choice++)
        if (choice->value == value)
            return choice->name;
    return NULL;
}

static void list_text(const cli_list *list, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < list->count && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "", list->items[i]);
}

static const char *or_nothing(const char *text)
{
    return text != NULL ? text : "";
}

void cli_option_text(const cli_option *row, const void *args, char *text, size_t size)
{
    const void *value = (const char *)args + row->offset;
    text[0] = '\0';
    if (row->kind == CLI_FLAG)
        snprintf(text, size, "%s", *(const bool *)value ? "given" : "");
    else if (row->kind == CLI_TEXT)
        snprintf(text, size, "%s", or_nothing(*(const char *const *)value));
    else if (row->kind == CLI_LIST)
        list_text(value, text, size);
    else if (row->kind == CLI_COUNT && (double)*(const int64_t *)value >= row->low)
        snprintf(text, size, "%lld", (long long)*(const int64_t *)value);
    else if (row->kind == CLI_SEED)
        snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)value);
    else if (row->kind == CLI_NUMBER && isinf(*(const double *)value))
        snprintf(text, size, "none");
    else if (row->kind == CLI_NUMBER && !isnan(*(const double *)value))
        snprintf(text, size, "%g", (double)(float)*(const double *)value);
    else if (row->kind == CLI_CHOICE)
        snprintf(text, size, "%s",
                 or_nothing(cli_choice_name(row->choices, *(const int32_t *)value)));
}
