/*
 * The table of subcommands, and the only place that prints a failure and ends the program.
 *
 * Exit codes: 0 done, 1 failed, 2 the command line was wrong, 3 something unusual was found (detect,
 * monitor), 128 + n stopped by signal n.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

static const cli_command *const commands[] = {
    &cli_train, &cli_eval,      &cli_sample, &cli_info,    &cli_logits,  &cli_energy, &cli_grad,
    &cli_score, &cli_calibrate, &cli_detect, &cli_monitor, &cli_explain, &cli_attack, &cli_bench,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const cli_command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static cli_status unknown_command(const char *name, cli_error *err)
{
    char valid[256] = "";
    size_t used = 0;
    for (int i = 0; i < N_COMMANDS; i++)
        used += (size_t)snprintf(valid + used, sizeof valid - used, "%s%s", i > 0 ? ", " : "",
                                 commands[i]->name);
    return cli_usage(err, "unknown command \"%s\"; expected one of %s", name, valid);
}

static void print_help(void)
{
    puts("usage: jem COMMAND [options]\n\n"
         "Joint energy-based models: one network that classifies, tells how usual an input\n"
         "is, and generates.\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
    puts("\nA first run, 90 seconds:\n\n"
         "  jem train --data fashion-mnist --seconds 90 --out m.safetensors\n"
         "  jem eval --data fashion-mnist --model m.safetensors\n"
         "  jem sample --data fashion-mnist --model m.safetensors --grid --png samples.png\n\n"
         "`jem COMMAND --help` explains a command, `jem --version` prints the version.\n"
         "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 something unusual was\n"
         "found, 130 stopped by Ctrl-C.");
}

static bool wants_help(int n_words, char *const *words)
{
    for (int i = 0; i < n_words; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            return true;
    return false;
}

static cli_status run_command(const cli_command *command, int n_words, char *const *words,
                              cli_error *err)
{
    void *args;
    CLI_TRY(cli_alloc(&args, 1, command->args_size, err));
    command->set_defaults(args);
    cli_status status = CLI_OK;
    if (wants_help(n_words, words))
        cli_options_help(command, args);
    else
        status = cli_options_parse(command, n_words, words, args, err);
    if (status == CLI_OK && !wants_help(n_words, words))
        status = command->run(args, err);
    free(args);
    return status;
}

// `name` becomes what stands before the sentence of a failure.
static cli_status run(int argc, char **argv, char *name, size_t name_size, cli_error *err)
{
    if (argc < 2) {
        print_help();
        return cli_usage(err, "no command was given");
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("jem %s\n", jem_version_string());
        return CLI_OK;
    }
    const bool asks = strcmp(argv[1], "help") == 0;
    if ((asks && argc == 2) || wants_help(1, argv + 1)) {
        print_help();
        return CLI_OK;
    }
    const char *command_name = argv[asks ? 2 : 1];
    const cli_command *command = find_command(command_name);
    if (command == NULL)
        return unknown_command(command_name, err);
    snprintf(name, name_size, "jem %s", command->name);
    char help[] = "--help", *help_words[] = {help};
    return asks ? run_command(command, 1, help_words, err)
                : run_command(command, argc - 2, argv + 2, err);
}

static void print_error(const char *name, const char *text)
{
    fprintf(stderr, "%s: ", name);
    cli_put_text(stderr, text);
    fputc('\n', stderr);
}

// The next files that are opened would take the place of a standard stream that is closed, and
// progress would be written into a model. What takes it is open in the wrong direction, so that
// reading and writing fail as before.
static void occupy_standard_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); // it gets that number
}

// Who pipes into head has what he wants; that is no failure to talk about.
static cli_status flush_output(cli_status status, cli_error *err)
{
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != CLI_OK)
        return status;
    if (errno == EPIPE)
        return CLI_SIGNAL + SIGPIPE;
    return cli_fail(err, "standard output could not be written");
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    // A file size limit or a reader that goes away then shows as a failed write, which is reported,
    // and not as a death: nobody's progress lines are worth a model.
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    char name[32] = "jem";
    cli_error err = {""};
    cli_status status = run(argc, argv, name, sizeof name, &err);
    status = flush_output(status, &err);
    if (status != CLI_OK && err.text[0] != '\0')
        print_error(name, err.text);
    return status;
}
