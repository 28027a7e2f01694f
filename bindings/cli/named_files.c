/*
 * The list of this run's outputs, made once when the command line has been read. Data are opened
 * later, deep in their readers; they are compared with the list where they are opened.
 */
#include "named_files.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

enum { OUTPUTS_MAX = 8 };

typedef struct named_file {
    const char *option;
    const char *path; // as it was given
    jemi_target target;
} named_file;

static named_file outputs[OUTPUTS_MAX];
static int n_outputs;

static const char **value_of(const cli_option *row, void *args)
{
    return (const char **)((char *)args + row->offset);
}

// ---- standard input and output -----------------------------------------------------------------

// `taken`: the option that has it already, or NULL.
static cli_status take_standard(const cli_option *row, const char **value, const char *path,
                                const char **taken, cli_error *err)
{
    if (strcmp(*value, "-") != 0)
        return CLI_OK;
    if (row->flags & CLI_PREVIOUS)
        return cli_usage(err, "--%s is -; expected the name of a file", row->name);
    if (*taken != NULL)
        return cli_usage(err, "--%s and --%s are both -; expected a file for one of them", *taken,
                         row->name);
    *taken = row->name;
    *value = path;
    return CLI_OK;
}

static cli_status name_standard_streams(const cli_option *options, void *args, cli_error *err)
{
    const char *in = NULL, *out = NULL;
    for (const cli_option *row = options; row->name != NULL; row++) {
        if (!(row->flags & (CLI_INPUT | CLI_OUTPUT)) || *value_of(row, args) == NULL)
            continue;
        if (row->flags & CLI_INPUT)
            CLI_TRY(take_standard(row, value_of(row, args), "/dev/stdin", &in, err));
        else
            CLI_TRY(take_standard(row, value_of(row, args), "/dev/stdout", &out, err));
    }
    return CLI_OK;
}

// ---- one file named twice ----------------------------------------------------------------------

static cli_status refuse_same(const named_file *output, const char *other, const char *other_path,
                              cli_error *err)
{
    return cli_usage(err,
                     "--%s %s is the same file as %s %s; expected a file of its own for what is "
                     "written",
                     output->option, output->path, other, other_path);
}

// Devices may be shared, but what is written to one descriptor comes out mixed.
static bool is_same_output(const jemi_target *a, const jemi_target *b)
{
    return jemi_target_same(a, b) || (a->descriptor >= 0 && a->descriptor == b->descriptor);
}

static cli_status add_output(const cli_option *row, const char *path, cli_error *err)
{
    named_file *file = &outputs[n_outputs];
    *file = (named_file){.option = row->name, .path = path};
    if (jemi_target_find(&file->target, path) != JEM_OK)
        return CLI_OK; // whoever writes it will say why it cannot be
    for (int i = 0; i < n_outputs; i++) {
        char other[64];
        if (outputs[i].option == row->name)
            continue; // a kill may have left one file under both names of a checkpoint
        snprintf(other, sizeof other, "--%s", outputs[i].option);
        if (is_same_output(&outputs[i].target, &file->target))
            return refuse_same(file, other, outputs[i].path, err);
    }
    n_outputs++;
    return CLI_OK;
}

// The checkpoint before the last is written as well.
static cli_status add_previous(const cli_option *row, const char *path, cli_error *err)
{
    static char previous[PATH_MAX + sizeof JEMI_FILE_PREVIOUS];
    if (jemi_file_previous(path, previous, sizeof previous) != JEM_OK)
        return CLI_OK;
    return add_output(row, previous, err);
}

static cli_status list_outputs(const cli_option *options, void *args, cli_error *err)
{
    n_outputs = 0;
    for (const cli_option *row = options; row->name != NULL; row++) {
        if (!(row->flags & CLI_OUTPUT) || *value_of(row, args) == NULL)
            continue;
        CLI_TRY(add_output(row, *value_of(row, args), err));
        if (row->flags & CLI_PREVIOUS)
            CLI_TRY(add_previous(row, *value_of(row, args), err));
    }
    return CLI_OK;
}

static cli_status compare_input(const cli_option *row, const char *path, cli_error *err)
{
    jemi_target target;
    char option[64];
    if (jemi_target_find(&target, path) != JEM_OK || target.kind == JEMI_TARGET_NEW)
        return CLI_OK; // a directory, or not there
    snprintf(option, sizeof option, "--%s", row->name);
    for (int i = 0; i < n_outputs; i++)
        if (jemi_target_same(&outputs[i].target, &target))
            return refuse_same(&outputs[i], option, path, err);
    return CLI_OK;
}

cli_status cli_files_check(const cli_option *options, void *args, cli_error *err)
{
    CLI_TRY(name_standard_streams(options, args, err));
    CLI_TRY(list_outputs(options, args, err));
    for (const cli_option *row = options; row->name != NULL; row++)
        if (row->flags & CLI_INPUT && *value_of(row, args) != NULL)
            CLI_TRY(compare_input(row, *value_of(row, args), err));
    return CLI_OK;
}

cli_status cli_files_opened(int fd, const char *path, cli_error *err)
{
    jemi_target target = {.kind = JEMI_TARGET_FILE};
    if (fstat(fd, &target.st) != 0)
        return CLI_OK;
    for (int i = 0; i < n_outputs; i++)
        if (jemi_target_same(&outputs[i].target, &target))
            return refuse_same(&outputs[i], "the input", path, err);
    return CLI_OK;
}

FILE *cli_files_talk(void)
{
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i].target.descriptor == STDOUT_FILENO)
            return stderr;
    return stdout;
}
