/*
 * Letters of 5 x 7 pixels: enough of them for the axes and names of curves.
 */
#ifndef JEM_CLI_PLOT_TEXT_H
#define JEM_CLI_PLOT_TEXT_H

#include <stdbool.h>

enum { CLI_LETTER_WIDTH = 5, CLI_LETTER_HEIGHT = 7 };

/** Is this pixel of a letter black? Letters that there are none of are blank. */
bool cli_letter_has(char letter, int x, int y);

#endif
