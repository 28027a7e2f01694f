/*
 * Fuzzing of the parser of options, on the commands' tables. Words are the lines of the input. What
 * is accepted is turned into text and parsed again, which must give the same text.
 */
#include <string.h>

#include "commands.h"
#include "fuzz.h"

enum { WORDS_MAX = 64, VALUE_SIZE = 512 };

static const cli_command *const commands[] = {&cli_train, &cli_eval,   &cli_sample,
                                              &cli_info,  &cli_energy, &cli_score};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char *const lines[] = {
    "\1--data\nd\n--out\no\n--steps\n10\n--lr=0.5\n--optimizer\nsgd\n--milestones\n0.1\n0.2\n--"
    "flip",
    "\2--model\nm\n--data=d\n--ood\nuniform\ninverted\n--limit\n3\n--json",
    "\3--model\nm\n--n\n4\n--seed\n18446744073709551615\n--grad-clamp\nnone\n--x-low\n-1",
    "\4--model\nm\n--tensors",
    "\5--model\nm\n--in\nx\n--out\ny\n--labels\nl",
    "\6--model\nm\n--in\nx\n--out\ny\n--kind\nmax_softmax\n--precision=bf16",
};
enum { N_LINES = sizeof lines / sizeof lines[0] };

static bool make_seed(int i, fuzz_input *out)
{
    if (i >= N_LINES)
        return false;
    out->size = strlen(lines[i]);
    memcpy(out->bytes, lines[i], out->size);
    return true;
}

// A long word after short ones.
static void make_large(size_t size, fuzz_input *out)
{
    make_seed(3, out);
    memset(out->bytes + out->size, 'x', size - out->size);
    out->size = size;
}

static const char *const words[] = {
    "\n--",
    "--",
    "=",
    "\n",
    "-1",
    "0",
    "1e400",
    "nan",
    "none",
    "inf",
    "99999999999999999999",
    "0x10",
    "--lr",
    "--batch",
    "--seed",
    "--threads",
    "--layout",
    "nhwc",
    "--standardize",
    "\xff",
    " ",
    "1.5",
    NULL,
};

static void *new_args(const cli_command *command)
{
    void *args = calloc(1, command->args_size);
    MUST(args != NULL);
    command->set_defaults(args);
    return args;
}

static void check_range(const cli_option *row, const void *args)
{
    const void *value = (const char *)args + row->offset;
    if (row->kind == CLI_COUNT)
        MUST((double)*(const int64_t *)value <= row->high);
    if (row->kind == CLI_NUMBER) // NaN: not given
        MUST(!(*(const double *)value > row->high) || (row->flags & CLI_OR_NONE));
}

// Every value that can be written as "--name=text".
static void check_again(const cli_command *command, const void *args)
{
    for (const cli_option *row = command->options; row->name != NULL; row++) {
        char text[VALUE_SIZE] = "", option[VALUE_SIZE + 64], now[VALUE_SIZE];
        if (row->kind == CLI_HEADING)
            continue;
        check_range(row, args);
        cli_option_text(row, args, text, sizeof text);
        if (row->kind == CLI_FLAG || row->kind == CLI_LIST || text[0] == '\0' ||
            strlen(text) == sizeof text - 1)
            continue;
        void *again = new_args(command);
        cli_error err;
        char *items[] = {option};
        snprintf(option, sizeof option, "--%s=%s", row->name, text);
        MUST(cli_options_parse(command, 1, items, again, &err) == CLI_OK ||
             strstr(err.text, "is missing") != NULL);
        cli_option_text(row, again, now, sizeof now);
        MUST(strcmp(now, text) == 0);
        free(again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *items[WORDS_MAX];
    int n = 0;
    MUST(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    const cli_command *command = commands[size > 0 ? (data[0] + N_COMMANDS - 1) % N_COMMANDS : 0];
    for (char *at = size > 0 ? text + 1 : NULL; at != NULL && n < WORDS_MAX;) {
        items[n++] = at;
        at = strchr(at, '\n');
        if (at != NULL)
            *at++ = '\0';
    }
    void *args = new_args(command);
    cli_error err = {""};
    const cli_status status = cli_options_parse(command, n, items, args, &err);
    MUST(status == CLI_OK || (status == CLI_USAGE && err.text[0] != '\0'));
    if (status == CLI_OK)
        check_again(command, args);
    fuzz_accepted += status == CLI_OK;
    free(args);
    free(text);
    return 0;
}

const fuzz_target fuzz_this = {"fuzz_options", make_seed, make_large, words};
