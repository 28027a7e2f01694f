/*
 * Where the pixels of a grid lie, and libpng: its errors come by longjmp and end here.
 */
#include "png_grid.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { SEPARATOR = 2, BACKGROUND = 255 };

static int64_t picture_height(const cli_png_grid *g)
{
    return g->rows * (g->height * (int64_t)g->scale + SEPARATOR) + SEPARATOR;
}

static int64_t picture_width(const cli_png_grid *g)
{
    return g->columns * (g->width * (int64_t)g->scale + SEPARATOR) + SEPARATOR;
}

cli_status cli_png_check(const cli_png_grid *g, cli_error *err)
{
    if (g->channels != 1 && g->channels != 3)
        return cli_usage(err,
                         "--png needs images of 1 or 3 channels, but the model has %d; "
                         "expected --out X.npy instead",
                         g->channels);
    const int64_t side_max = 1 << 20;
    if (g->rows > side_max || g->columns > side_max || picture_height(g) > side_max ||
        picture_width(g) > side_max || picture_height(g) * picture_width(g) > INT32_MAX)
        return cli_usage(err, "the picture would be too large; expected fewer images or a smaller "
                              "--scale");
    return CLI_OK;
}

// Copies one image into its cell, each pixel `scale` times to the right and down.
static void draw_image(const cli_png_grid *g, const uint8_t *image, uint8_t *corner, int64_t stride)
{
    for (int64_t y = 0; y < (int64_t)g->height * g->scale; y++)
        for (int64_t x = 0; x < (int64_t)g->width * g->scale; x++)
            memcpy(corner + y * stride + x * g->channels,
                   image + ((y / g->scale) * g->width + x / g->scale) * g->channels,
                   (size_t)g->channels);
}

static void draw(const cli_png_grid *g, uint8_t *picture)
{
    const int64_t stride = picture_width(g) * g->channels;
    const int64_t image_size = (int64_t)g->height * g->width * g->channels;
    memset(picture, BACKGROUND, (size_t)(picture_height(g) * stride));
    for (int64_t i = 0; i < g->n; i++) {
        const int64_t y = SEPARATOR + i / g->columns * (g->height * (int64_t)g->scale + SEPARATOR);
        const int64_t x = SEPARATOR + i % g->columns * (g->width * (int64_t)g->scale + SEPARATOR);
        draw_image(g, g->images + i * image_size, picture + y * stride + x * g->channels, stride);
    }
}

// Where libpng's bytes go, and why they cannot.
typedef struct sink {
    cli_output *output;
    cli_status status;
    cli_error *err;
} sink;

static void write_bytes(png_structp png, png_bytep bytes, png_size_t size)
{
    sink *to = png_get_io_ptr(png);
    to->status = cli_output_write(to->output, bytes, size, to->err);
    if (to->status != CLI_OK)
        png_longjmp(png, 1);
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

// False when libpng failed. No variable of this function changes between setjmp and longjmp.
static bool encode(const cli_png_grid *g, const uint8_t *picture, png_structp png, png_infop info,
                   sink *to)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, to, write_bytes, flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)picture_width(g), (png_uint_32)picture_height(g), 8,
                 g->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < picture_height(g); y++)
        png_write_row(png, picture + y * picture_width(g) * g->channels);
    png_write_end(png, NULL);
    return true;
}

static void stay_silent(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void fail_silently(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

static cli_status write_picture(const cli_png_grid *g, const uint8_t *picture, cli_output *output,
                                cli_error *err)
{
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, fail_silently, stay_silent);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    sink to = {.output = output, .status = CLI_OK, .err = err};
    const bool done = info != NULL && encode(g, picture, png, info, &to);
    png_destroy_write_struct(&png, &info);
    if (to.status != CLI_OK)
        return to.status;
    return done ? CLI_OK : cli_fail(err, "out of memory for the picture");
}

cli_status cli_png_write(const cli_png_grid *g, const char *path, cli_error *err)
{
    uint8_t *picture;
    CLI_TRY(cli_png_check(g, err));
    CLI_TRY(cli_alloc(&picture, picture_height(g) * picture_width(g), (size_t)g->channels, err));
    draw(g, picture);
    cli_output output;
    cli_status status = cli_output_open(&output, path, err);
    if (status == CLI_OK) {
        status = write_picture(g, picture, &output, err);
        if (status == CLI_OK)
            status = cli_output_commit(&output, err);
        else
            cli_output_discard(&output);
    }
    free(picture);
    return status;
}
