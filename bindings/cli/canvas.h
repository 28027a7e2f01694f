/*
 * A picture in memory: smooth lines, areas and text, and a PNG in the end.
 */
#ifndef JEM_CLI_CANVAS_H
#define JEM_CLI_CANVAS_H

#include "cli.h"

typedef struct cli_canvas {
    int width, height;
    uint8_t *pixels; /* (height, width, 3) */
} cli_canvas;

typedef struct cli_colour {
    uint8_t rgb[3];
} cli_colour;

typedef struct cli_point {
    double x, y; /* pixels from the left and from the top */
} cli_point;

/** All white. cli_canvas_free() must follow, whatever happens. */
cli_status cli_canvas_begin(cli_canvas *canvas, int width, int height, cli_error *err);
void cli_canvas_free(cli_canvas *canvas);

cli_status cli_canvas_write(const cli_canvas *canvas, const char *path, cli_error *err);

/** A rectangle that covers `part` of what is below it, 0..1. */
void cli_canvas_fill(cli_canvas *canvas, int left, int top, int width, int height, cli_colour with,
                     double part);

/** A line of that radius with round ends; a disc where both ends are the same. */
void cli_canvas_stroke(cli_canvas *canvas, cli_point from, cli_point to, double radius,
                       cli_colour with);

/** Text beside x: `anchor` 0 begins there, 0.5 has its middle there, 1 ends there. */
void cli_canvas_text(cli_canvas *canvas, double x, int top, double anchor, const char *text,
                     cli_colour with);

/** Pixels that a text is wide, and any text high. */
int cli_canvas_text_width(const char *text);
int cli_canvas_text_height(void);

#endif
