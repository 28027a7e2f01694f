/*
 * Where things lie on the canvas, and how lines are made smooth: a pixel is as dark as the line covers
 * it, told by its distance from the line.
 */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot_text.h"
#include "png_grid.h"

enum {
    WIDTH = 640,
    HEIGHT = 420,
    LEFT = 72, // of the frame
    RIGHT = WIDTH - 32,
    TOP = 48,
    BOTTOM = HEIGHT - 72,
    LETTER_SCALE = 2,
    LETTER_STEP = (CLI_LETTER_WIDTH + 1) * LETTER_SCALE,
    TEXT_HEIGHT = CLI_LETTER_HEIGHT * LETTER_SCALE,
    TICK = 6,
};

typedef struct colour {
    uint8_t rgb[3];
} colour;

static const colour ink = {{40, 40, 40}}, faint = {{225, 225, 225}}, blue = {{31, 98, 180}};

typedef struct canvas {
    uint8_t *pixels; // (HEIGHT, WIDTH, 3)
} canvas;

static void blend(canvas *c, int x, int y, colour with, double part)
{
    if (x < 0 || x >= WIDTH || y < 0 || y >= HEIGHT || part <= 0.0)
        return;
    uint8_t *pixel = c->pixels + 3 * (y * WIDTH + x);
    for (int k = 0; k < 3; k++)
        pixel[k] = (uint8_t)(pixel[k] + part * (with.rgb[k] - pixel[k]) + 0.5);
}

static void fill(canvas *c, int left, int top, int width, int height, colour with)
{
    for (int y = top; y < top + height; y++)
        for (int x = left; x < left + width; x++)
            blend(c, x, y, with, 1.0);
}

// The text's middle lies at x.
static void write_text(canvas *c, double x, int top, const char *text)
{
    int left = (int)(x - 0.5 * (double)strlen(text) * LETTER_STEP + 0.5);
    for (; *text != '\0'; text++, left += LETTER_STEP)
        for (int v = 0; v < CLI_LETTER_HEIGHT; v++)
            for (int u = 0; u < CLI_LETTER_WIDTH; u++)
                if (cli_letter_has(*text, u, v))
                    fill(c, left + u * LETTER_SCALE, top + v * LETTER_SCALE, LETTER_SCALE,
                         LETTER_SCALE, ink);
}

typedef struct point {
    double x, y; // of the canvas
} point;

static double distance_to_line(point p, point from, point to)
{
    const double dx = to.x - from.x, dy = to.y - from.y;
    const double length = dx * dx + dy * dy;
    double t = length > 0.0 ? ((p.x - from.x) * dx + (p.y - from.y) * dy) / length : 0.0;
    t = t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
    const double u = p.x - from.x - t * dx, v = p.y - from.y - t * dy;
    return sqrt(u * u + v * v);
}

// A line of that radius with round ends; a disc where both ends are the same.
static void stroke(canvas *c, point from, point to, double radius, colour with)
{
    const int left = (int)(fmin(from.x, to.x) - radius - 1),
              right = (int)(fmax(from.x, to.x) + radius + 2);
    const int top = (int)(fmin(from.y, to.y) - radius - 1),
              bottom = (int)(fmax(from.y, to.y) + radius + 2);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            blend(c, x, y, with,
                  fmin(radius + 0.5 - distance_to_line((point){x, y}, from, to), 1.0));
}

// ---- axes --------------------------------------------------------------------------------------

static double axis_end(const cli_plot *plot)
{
    const double last = plot->x[plot->n - 1];
    return last > 0.0 ? last : 1.0;
}

static point place(const cli_plot *plot, double x, double y)
{
    return (point){LEFT + x / axis_end(plot) * (RIGHT - LEFT), BOTTOM - y * (BOTTOM - TOP)};
}

// 1, 2 or 5 times a power of ten, so that there are five ticks or so.
static double tick_step(double end)
{
    const double power = pow(10.0, floor(log10(end / 5.0)));
    const double factor = end / 5.0 / power;
    return power * (factor < 1.5 ? 1.0 : factor < 3.5 ? 2.0 : factor < 7.5 ? 5.0 : 10.0);
}

static void draw_x_axis(canvas *c, const cli_plot *plot)
{
    const double end = axis_end(plot), step = tick_step(end);
    for (int k = 0; k * step <= end * (1.0 + 1e-9); k++) {
        const int x = (int)(place(plot, k * step, 0.0).x + 0.5);
        char text[32];
        snprintf(text, sizeof text, "%.4g", k * step);
        fill(c, x, BOTTOM, 1, TICK, ink);
        write_text(c, x, BOTTOM + TICK + 6, text);
    }
    fill(c, LEFT, BOTTOM, RIGHT - LEFT + 1, 1, ink);
    write_text(c, 0.5 * (LEFT + RIGHT), HEIGHT - TEXT_HEIGHT - 12, plot->x_name);
}

static void draw_y_axis(canvas *c, const cli_plot *plot)
{
    for (int k = 0; k <= 5; k++) {
        const int y = (int)(place(plot, 0.0, k / 5.0).y + 0.5);
        char text[32];
        snprintf(text, sizeof text, "%.1f", k / 5.0);
        fill(c, LEFT, y, RIGHT - LEFT + 1, 1, faint);
        fill(c, LEFT - TICK, y, TICK, 1, ink);
        write_text(c, LEFT - TICK - 24, y - TEXT_HEIGHT / 2, text);
    }
    fill(c, LEFT, TOP, 1, BOTTOM - TOP, ink);
    write_text(c, LEFT + 12, TOP - TEXT_HEIGHT - 16, plot->y_name);
}

static void draw_curve(canvas *c, const cli_plot *plot)
{
    point before = place(plot, plot->x[0], plot->y[0]);
    for (int i = 0; i < plot->n; i++) {
        const point here = place(plot, plot->x[i], plot->y[i]);
        stroke(c, before, here, 1.2, blue);
        stroke(c, here, here, 3.5, blue);
        before = here;
    }
}

cli_status cli_plot_write(const cli_plot *plot, const char *path, cli_error *err)
{
    canvas c;
    CLI_TRY(cli_alloc(&c.pixels, (int64_t)WIDTH * HEIGHT, 3, err));
    memset(c.pixels, 255, 3 * WIDTH * HEIGHT);
    draw_y_axis(&c, plot);
    draw_x_axis(&c, plot);
    draw_curve(&c, plot);
    const cli_png_grid picture = {.rows = 1,
                                  .columns = 1,
                                  .channels = 3,
                                  .height = HEIGHT,
                                  .width = WIDTH,
                                  .scale = 1,
                                  .n = 1,
                                  .images = c.pixels};
    const cli_status status = cli_png_write(&picture, path, err);
    free(c.pixels);
    return status;
}
