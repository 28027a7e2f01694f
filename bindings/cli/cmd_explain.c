/*
 * jem explain: which values of a row the model's detector objects to, and a row near it that it
 * finds usual; as a picture, as arrays.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "layout.h"
#include "named_files.h"
#include "output.h"
#include "png_grid.h"
#include "score_names.h"
#include "verdict.h"
#include "watched.h"

typedef struct args_t {
    const char *model, *in, *png, *map, *usual, *kind;
    int32_t layout;
    int64_t limit, steps, scale;
    double step_size;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_WATCHED_MODEL_ROW(args_t, model),
    CLI_ROWS_ROW(args_t, in),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_COUNT("limit", args_t, limit, 1, 1e6, "the first N rows", 0),
    CLI_ROW_OUTPUT("png", args_t, png, "FILE", "write a picture, see above", 0),
    CLI_ROW_COUNT("scale", args_t, scale, 1, 64, "each pixel becomes N x N in it", 0),
    CLI_ROW_OUTPUT("map", args_t, map, "X.npy", "write the maps, (n, C, H, W) float32", 0),
    CLI_ROW_OUTPUT("usual", args_t, usual, "X.npy", "write the usual rows, (n, C, H, W) float32",
                   0),
    CLI_ROW_TEXT("kind", args_t, kind, "NAME",
                 "one score of the detector; otherwise all of them combined", 0),
    CLI_ROW_COUNT("steps", args_t, steps, 0, 100000, "of the path to a usual row, at most", 0),
    CLI_ROW_NUMBER("step-size", args_t, step_size, 0, FLT_MAX,
                   "length of a step; otherwise a hundredth of the input range for each value",
                   CLI_ABOVE),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.limit = 16, .scale = 4, .steps = 100, .step_size = (double)NAN};
}

typedef struct work {
    const args_t *args;
    cli_watched on;
    jem_explain_config config;
    int64_t n;
    float *map, *usual, *scores;
    uint8_t *bytes, *cells; // pixels of the model's channels; cells in colour
} work;

static cli_status load(work *w, cli_error *err)
{
    const args_t *args = w->args;
    if (args->png == NULL && args->map == NULL && args->usual == NULL)
        return cli_usage(err, "nowhere to write to; expected --png FILE, --map X.npy or --usual "
                              "X.npy");
    CLI_TRY(cli_jem(err, jem_explain_config_init(&w->config, sizeof w->config)));
    if (args->kind != NULL)
        CLI_TRY(cli_score_find_any(args->kind, "kind", &w->config.kind, err));
    w->config.steps = (int32_t)args->steps;
    w->config.step_size = isnan(args->step_size) ? 0.0f : (float)args->step_size;
    CLI_TRY(cli_watched_load(&w->on, args->model, &args->exec, err));
    const cli_rows_args asked = {.path = args->in, .layout = args->layout, .batch = args->limit};
    CLI_TRY(cli_watched_open(&w->on, &asked, err));
    w->n = w->on.rows.n < args->limit ? w->on.rows.n : args->limit;
    return CLI_OK;
}

static cli_png_grid picture(const work *w)
{
    return (cli_png_grid){.rows = w->n,
                          .columns = 3,
                          .channels = 3,
                          .height = w->on.info.height,
                          .width = w->on.info.width,
                          .scale = (int32_t)w->args->scale,
                          .n = 3 * w->n,
                          .images = w->cells};
}

static cli_status check_outputs(const work *w, cli_error *err)
{
    const char *const paths[] = {w->args->png, w->args->map, w->args->usual};
    const cli_png_grid grid = picture(w);
    if (w->args->png != NULL && w->on.info.channels != 1 && w->on.info.channels != 3)
        return cli_usage(err,
                         "--png needs images of 1 or 3 channels, but the model has %d; expected "
                         "--map and --usual instead",
                         w->on.info.channels);
    if (w->args->png != NULL)
        CLI_TRY(cli_png_check(&grid, err));
    for (int i = 0; i < 3; i++)
        if (paths[i] != NULL)
            CLI_TRY(cli_output_check(paths[i], err));
    return CLI_OK;
}

static cli_status explain(work *w, cli_error *err)
{
    const int64_t count = w->n * w->on.info.input_size;
    const int64_t pixels = (int64_t)w->on.info.height * w->on.info.width;
    int64_t n;
    CLI_TRY(cli_alloc(&w->map, count, sizeof *w->map, err));
    CLI_TRY(cli_alloc(&w->usual, count, sizeof *w->usual, err));
    CLI_TRY(cli_alloc(&w->scores, 2 * w->n, sizeof *w->scores, err));
    CLI_TRY(cli_alloc(&w->bytes, count, 1, err));
    CLI_TRY(cli_alloc(&w->cells, 9 * w->n * pixels, 1, err));
    CLI_TRY(cli_watched_next(&w->on, &n, err));
    return cli_jem_usage(err, jem_explain(w->on.detector, w->on.model, &w->config, n, w->on.x,
                                          w->map, w->usual, w->scores));
}

// ---- the picture -------------------------------------------------------------------------------

// Images in one column of the grid; gray becomes colour. What is not finite is black.
static cli_status draw_images(const work *w, const float *x, int column, cli_error *err)
{
    const int64_t pixels = (int64_t)w->on.info.height * w->on.info.width;
    const int32_t channels = w->on.info.channels;
    CLI_TRY(cli_jem(err, jem_input_to_u8(w->on.model, w->n, x, JEM_LAYOUT_NHWC, w->bytes)));
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t p = 0; p < pixels; p++)
            for (int c = 0; c < 3; c++)
                w->cells[((3 * i + column) * pixels + p) * 3 + c] =
                    w->bytes[(i * pixels + p) * channels + (channels == 3 ? c : 0)];
    return CLI_OK;
}

// White is 0, orange the largest of the row upwards, blue downwards: colours that all can tell.
static void colour(double value, uint8_t rgb[3])
{
    static const double up[3] = {213, 94, 0}, down[3] = {0, 114, 178};
    const double *end = value > 0.0 ? up : down, part = fabs(value);
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(255.0 + part * (end[c] - 255.0) + 0.5);
}

// Sums over the channels, in units of the largest of each row.
static void draw_maps(const work *w)
{
    const int64_t pixels = (int64_t)w->on.info.height * w->on.info.width;
    for (int64_t i = 0; i < w->n; i++) {
        const float *map = w->map + i * w->on.info.input_size;
        double largest = 0.0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t p = 0; p < pixels; p++) {
                double sum = 0.0;
                for (int32_t c = 0; c < w->on.info.channels; c++)
                    sum += (double)map[c * pixels + p];
                if (pass == 0)
                    largest = fmax(largest, fabs(sum));
                else
                    colour(largest > 0.0 ? sum / largest : 0.0,
                           w->cells + ((3 * i + 1) * pixels + p) * 3);
            }
    }
}

static cli_status write_picture(work *w, cli_error *err)
{
    const cli_png_grid grid = picture(w);
    for (int64_t k = 0; k < w->n * w->on.info.input_size; k++)
        w->on.x[k] = isfinite(w->on.x[k]) ? w->on.x[k] : w->on.info.input_low;
    CLI_TRY(draw_images(w, w->on.x, 0, err));
    draw_maps(w);
    CLI_TRY(draw_images(w, w->usual, 2, err));
    return cli_png_write(&grid, w->args->png, err);
}

// ---- what is written ---------------------------------------------------------------------------

static cli_status write_array(const work *w, const char *path, const float *values, cli_error *err)
{
    const int64_t shape[] = {w->n, w->on.info.channels, w->on.info.height, w->on.info.width};
    return cli_npy_write(path, 4, shape, values, err);
}

// As the rows were in training, where they are features.
static cli_status write_usual(const work *w, cli_error *err)
{
    if (w->on.info.height == 1 && w->on.info.width == 1)
        CLI_TRY(cli_jem(err, jem_input_to_float(w->on.model, w->n, w->usual, w->usual)));
    return write_array(w, w->args->usual, w->usual, err);
}

static void print_rows(const work *w, FILE *to)
{
    fprintf(to, "%6s  %-10s  %-20s  %12s  %12s\n", "row", "flag", "kind", "score", "usual row's");
    for (int64_t i = 0; i < w->n; i++) {
        jem_score_info info = {.struct_size = sizeof info, .name = "-"};
        if (jem_score_get_info(w->on.verdicts[i].kind, &info) != JEM_OK)
            info.name = "-";
        fprintf(to, "%6lld  %-10s  %-20s  %12.5g  %12.5g\n", (long long)i,
                cli_flag_name(w->on.verdicts[i].flag), info.name, (double)w->scores[2 * i],
                (double)w->scores[2 * i + 1]);
    }
}

static cli_status write_all(work *w, cli_error *err)
{
    if (w->args->map != NULL)
        CLI_TRY(write_array(w, w->args->map, w->map, err));
    if (w->args->png != NULL)
        CLI_TRY(write_picture(w, err));
    if (w->args->usual != NULL) // last: it changes them
        CLI_TRY(write_usual(w, err));
    print_rows(w, cli_files_talk());
    return CLI_OK;
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = args};
    cli_status status = load(&w, err);
    if (status == CLI_OK)
        status = check_outputs(&w, err);
    if (status == CLI_OK)
        status = explain(&w, err);
    if (status == CLI_OK)
        status = write_all(&w, err);
    void *const blocks[] = {w.map, w.usual, w.scores, w.bytes, w.cells};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        free(blocks[i]);
    cli_watched_close(&w.on);
    return status;
}

const cli_command cli_explain = {
    .name = "explain",
    .summary = "what a detector objects to in a row",
    .usage = "--model FILE --in X.npy --png FILE [--steps N] [options]",
    .description =
        "Shows of each row, from left to right: the row; the map of its score's derivative, orange "
        "where more of a value makes the row more unusual and blue where less does; and a row near "
        "it that the detector finds usual, at the end of a path down that derivative.\n\n"
        "Such a row is one that the detector finds usual, which people need not.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
