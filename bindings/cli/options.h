/*
 * The options of a subcommand as a table: the parser fills a plain struct from it, the help prints
 * it. A table ends with a row whose name is NULL.
 *
 * The struct holds the defaults before parsing; the help shows them.
 */
#ifndef JEM_CLI_OPTIONS_H
#define JEM_CLI_OPTIONS_H

#include "cli.h"

typedef enum cli_kind {
    CLI_HEADING, /* a title in the help */
    CLI_FLAG,    /* bool */
    CLI_TEXT,    /* const char *, NULL = not given */
    CLI_COUNT,   /* int64_t within low..high; a default below `low` means none */
    CLI_NUMBER,  /* double within low..high; a NaN default means none */
    CLI_SEED,    /* uint64_t */
    CLI_CHOICE,  /* int32_t, one of `choices` */
    CLI_LIST     /* cli_list: all words up to the next option */
} cli_kind;

typedef struct cli_choice {
    const char *name; /* NULL ends the list */
    int32_t value;
} cli_choice;

enum { CLI_LIST_MAX = 64 };

typedef struct cli_list {
    int count;
    const char *items[CLI_LIST_MAX];
} cli_list;

enum {
    CLI_REQUIRED = 1,
    CLI_ABOVE = 2,     /* a number must be greater than `low` */
    CLI_OR_NONE = 4,   /* the word "none" stands for infinity */
    CLI_SESSION = 8,   /* may be another when a run is resumed */
    CLI_INPUT = 16,    /* a text that names a file, or a folder of files, to read */
    CLI_OUTPUT = 32,   /* a text that names a file to write */
    CLI_PREVIOUS = 64, /* an output whose file before stays, with JEMI_FILE_PREVIOUS added */
    CLI_LENGTH = 128   /* of a run, which can be another when it is resumed */
};

typedef struct cli_option {
    cli_kind kind;
    const char *name;  /* without the dashes */
    size_t offset;     /* of its value in the struct */
    const char *value; /* how the help calls the value: "PATH" */
    const char *help;
    unsigned flags;
    double low, high;
    const cli_choice *choices;
} cli_option;

/* Rows of a table. `type` is the struct, `field` its member. */
/* clang-format off */
#define CLI_ROW(kind, opt, type, field, word, text, bits, min, max, table)                         \
    {kind, opt, offsetof(type, field), word, text, bits, min, max, table}
#define CLI_ROW_FLAG(opt, type, field, text)                                                       \
    CLI_ROW(CLI_FLAG, opt, type, field, NULL, text, 0, 0, 0, NULL)
#define CLI_ROW_SESSION_FLAG(opt, type, field, text)                                               \
    CLI_ROW(CLI_FLAG, opt, type, field, NULL, text, CLI_SESSION, 0, 0, NULL)
#define CLI_ROW_TEXT(opt, type, field, word, text, bits)                                           \
    CLI_ROW(CLI_TEXT, opt, type, field, word, text, bits, 0, 0, NULL)
#define CLI_ROW_INPUT(opt, type, field, word, text, bits)                                          \
    CLI_ROW_TEXT(opt, type, field, word, text, (bits) | CLI_INPUT)
#define CLI_ROW_OUTPUT(opt, type, field, word, text, bits)                                         \
    CLI_ROW_TEXT(opt, type, field, word, text, (bits) | CLI_OUTPUT)
#define CLI_ROW_COUNT(opt, type, field, min, max, text, bits)                                      \
    CLI_ROW(CLI_COUNT, opt, type, field, "N", text, bits, min, max, NULL)
#define CLI_ROW_NUMBER(opt, type, field, min, max, text, bits)                                     \
    CLI_ROW(CLI_NUMBER, opt, type, field, "X", text, bits, min, max, NULL)
#define CLI_ROW_SEED(opt, type, field, text)                                                       \
    CLI_ROW(CLI_SEED, opt, type, field, "N", text, 0, 0, 0, NULL)
#define CLI_ROW_CHOICE(opt, type, field, table, text, bits)                                        \
    CLI_ROW(CLI_CHOICE, opt, type, field, NULL, text, bits, 0, 0, table)
#define CLI_ROW_LIST(opt, type, field, word, text)                                                 \
    CLI_ROW(CLI_LIST, opt, type, field, word, text, 0, 0, 0, NULL)
#define CLI_ROW_HEADING(text) {CLI_HEADING, text, 0, NULL, NULL, 0, 0, 0, NULL}
#define CLI_ROW_END           {CLI_HEADING, NULL, 0, NULL, NULL, 0, 0, 0, NULL}
/* clang-format on */

/** Which options stood on the command line, by their place in the table. */
enum { CLI_ROWS_MAX = 96 };
typedef struct cli_given {
    bool rows[CLI_ROWS_MAX];
} cli_given;

/** A subcommand. */
typedef struct cli_command {
    const char *name;
    const char *summary;      /* one line of `jem --help` */
    const char *usage;        /* what follows "jem NAME" */
    const char *description;  /* paragraphs for `jem NAME --help` */
    void (*print_more)(void); /* prints what follows them; NULL = nothing */
    const cli_option *options;
    size_t args_size;
    size_t given_offset; /* of a cli_given in the struct; 0 = it has none */
    void (*set_defaults)(void *args);
    cli_status (*run)(const void *args, cli_error *err);
} cli_command;

/** Fills `args` from the words; all values are checked for form and range, files for being named
 *  twice. */
cli_status cli_options_parse(const cli_command *command, int n_words, char *const *words,
                             void *args, cli_error *err);

/** Takes from another struct the value of every option that was not given. */
void cli_options_take(const cli_option *options, const cli_given *given, const void *from,
                      void *args);

/** Prints usage, description and options with the defaults found in `args`. */
void cli_options_help(const cli_command *command, const void *args);

/** Prints `text` indented and wrapped to 80 columns; the first line starts at column `at`. */
void cli_print_wrapped(const char *text, int at, int indent);

/** The value of an option as text; "" for one that is not given. */
void cli_option_text(const cli_option *row, const void *args, char *text, size_t size);

/** The name of a choice's value, or NULL. */
const char *cli_choice_name(const cli_choice *choices, int32_t value);

#endif
