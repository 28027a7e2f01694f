/*
 * Text of any origin in HTML and SVG.
 */
#ifndef JEM_CLI_MARKUP_H
#define JEM_CLI_MARKUP_H

#include "cli.h"

/** Prints text, or the value of an attribute in quotes: markup is escaped, and '?' stands for bytes
 *  that are not UTF-8 and for what has no place in a line of text, as in messages. */
void cli_put_markup(FILE *page, const char *text);

#endif
