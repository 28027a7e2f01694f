/*
 * The files that the options of a command name: "-" becomes standard input or output, and no output
 * may be an input or another output, by whatever name, link or hard link. Rows of the option table
 * say which options name what.
 */
#ifndef JEM_CLI_NAMED_FILES_H
#define JEM_CLI_NAMED_FILES_H

#include <stdio.h>

#include "options.h"

/** Looks at all files that were named, before anything is done. CLI_USAGE for a file named twice. */
cli_status cli_files_check(const cli_option *options, void *args, cli_error *err);

/**
 * Refuses an open input that is one of the outputs. For readers of data, which open more files than
 * an option names: those of a folder, or lists.
 */
cli_status cli_files_opened(int fd, const char *path, cli_error *err);

/** Where sentences for people go: standard output, or standard error if a result goes there. */
FILE *cli_files_talk(void);

#endif
