/*
 * Text that the command did not make itself, such as names out of files, on its way to a terminal.
 */
#ifndef JEM_CLI_PRINTABLE_H
#define JEM_CLI_PRINTABLE_H

#include <stdio.h>

/** Prints the text with "?" in place of control characters, so that it cannot steer a terminal. */
void cli_print_text(FILE *to, const char *text);

#endif
