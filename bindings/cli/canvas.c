/*
 * How lines are made smooth: a pixel is as dark as the line covers it, told by its distance from
 * the line.
 */
#include "canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot_text.h"
#include "png_grid.h"

enum { LETTER_SCALE = 2, LETTER_STEP = (CLI_LETTER_WIDTH + 1) * LETTER_SCALE };

cli_status cli_canvas_begin(cli_canvas *canvas, int width, int height, cli_error *err)
{
    *canvas = (cli_canvas){.width = width, .height = height};
    CLI_TRY(cli_alloc(&canvas->pixels, (int64_t)width * height, 3, err));
    memset(canvas->pixels, 255, 3 * (size_t)width * (size_t)height);
    return CLI_OK;
}

void cli_canvas_free(cli_canvas *canvas)
{
    free(canvas->pixels);
    canvas->pixels = NULL;
}

cli_status cli_canvas_write(const cli_canvas *canvas, const char *path, cli_error *err)
{
    const cli_png_grid picture = {.rows = 1,
                                  .columns = 1,
                                  .channels = 3,
                                  .height = canvas->height,
                                  .width = canvas->width,
                                  .scale = 1,
                                  .n = 1,
                                  .images = canvas->pixels};
    return cli_png_write(&picture, path, err);
}

static void blend(cli_canvas *c, int x, int y, cli_colour with, double part)
{
    if (x < 0 || x >= c->width || y < 0 || y >= c->height || part <= 0.0)
        return;
    uint8_t *pixel = c->pixels + 3 * ((int64_t)y * c->width + x);
    for (int k = 0; k < 3; k++)
        pixel[k] = (uint8_t)(pixel[k] + part * (with.rgb[k] - pixel[k]) + 0.5);
}

void cli_canvas_fill(cli_canvas *c, int left, int top, int width, int height, cli_colour with,
                     double part)
{
    for (int y = top; y < top + height; y++)
        for (int x = left; x < left + width; x++)
            blend(c, x, y, with, part);
}

static double distance_to_line(cli_point p, cli_point from, cli_point to)
{
    const double dx = to.x - from.x, dy = to.y - from.y;
    const double length = dx * dx + dy * dy;
    double t = length > 0.0 ? ((p.x - from.x) * dx + (p.y - from.y) * dy) / length : 0.0;
    t = t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
    const double u = p.x - from.x - t * dx, v = p.y - from.y - t * dy;
    return sqrt(u * u + v * v);
}

void cli_canvas_stroke(cli_canvas *c, cli_point from, cli_point to, double radius, cli_colour with)
{
    const int left = (int)(fmin(from.x, to.x) - radius - 1),
              right = (int)(fmax(from.x, to.x) + radius + 2);
    const int top = (int)(fmin(from.y, to.y) - radius - 1),
              bottom = (int)(fmax(from.y, to.y) + radius + 2);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            blend(c, x, y, with,
                  fmin(radius + 0.5 - distance_to_line((cli_point){x, y}, from, to), 1.0));
}

int cli_canvas_text_width(const char *text)
{
    return (int)strlen(text) * LETTER_STEP;
}

int cli_canvas_text_height(void)
{
    return CLI_LETTER_HEIGHT * LETTER_SCALE;
}

void cli_canvas_text(cli_canvas *c, double x, int top, double anchor, const char *text,
                     cli_colour with)
{
    int left = (int)(x - anchor * cli_canvas_text_width(text) + 0.5);
    for (; *text != '\0'; text++, left += LETTER_STEP)
        for (int v = 0; v < CLI_LETTER_HEIGHT; v++)
            for (int u = 0; u < CLI_LETTER_WIDTH; u++)
                if (cli_letter_has(*text, u, v))
                    cli_canvas_fill(c, left + u * LETTER_SCALE, top + v * LETTER_SCALE,
                                    LETTER_SCALE, LETTER_SCALE, with, 1.0);
}
