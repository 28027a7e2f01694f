/*
 * Charts as SVG elements that stand in an HTML page, whose style sheet gives them their colours.
 */
#ifndef JEM_CLI_SVG_H
#define JEM_CLI_SVG_H

#include "chart.h"

/** Widths in pixels, where text has the size of the page's: two or three beside each other. */
enum { CLI_SVG_HALF = 440, CLI_SVG_THIRD = 330 };

/** One <svg> element. Points that a reader could not tell apart are dropped from the chart. */
void cli_svg_chart(FILE *page, cli_chart *chart, int width);

/** A short line in the style of a series, for a legend or a table. */
void cli_svg_swatch(FILE *page, int hue, int dash);

/** The rules of the style sheet: colours for light and dark, lines and text. */
void cli_svg_style(FILE *page);

#endif
