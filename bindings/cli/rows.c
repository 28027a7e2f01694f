/*
 * A file is in memory as a whole, as all .npy files; frames are handed out as soon as they are
 * there, so that a program that waits for the answer gets it.
 */
#include "rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout.h"
#include "named_files.h"
#include "stop.h"

static bool is_image(const int64_t *shape, int64_t a, int64_t b, int64_t c)
{
    return shape[1] == a && shape[2] == b && shape[3] == c;
}

static cli_status check_shape(const cli_rows *rows, int32_t layout, cli_error *err)
{
    const jem_model_info *info = &rows->info;
    const int64_t *shape = rows->npy.shape;
    const int rank = rows->npy.rank;
    const bool whole = rank == 4 && is_image(shape, info->channels, info->height, info->width);
    const bool gray =
        rank == 3 && info->channels == 1 && shape[1] == info->height && shape[2] == info->width;
    const bool flat = rank == 2 && shape[1] == info->input_size;
    if (whole || gray || flat)
        return CLI_OK;
    const bool last =
        rank == 4 && layout == 0 && is_image(shape, info->height, info->width, info->channels);
    char text[128];
    return cli_fail(err, "%s has shape %s; expected (n, %d, %d, %d) or (n, %lld)%s", rows->path,
                    cli_npy_shape_text(&rows->npy, text, sizeof text), info->channels, info->height,
                    info->width, (long long)info->input_size,
                    last ? "; --layout nhwc reads channels that are last" : "");
}

static cli_status open_file(cli_rows *rows, const cli_rows_args *args, cli_error *err)
{
    CLI_TRY(cli_npy_read(&rows->npy, args->path, err));
    CLI_TRY(cli_layout_apply(&rows->npy, args->layout, err));
    CLI_TRY(check_shape(rows, args->layout, err));
    rows->n = rows->npy.shape[0];
    return CLI_OK;
}

static int64_t frame_bytes(const cli_rows *rows)
{
    return rows->info.input_size * (int64_t)sizeof(float);
}

static cli_status open_frames(cli_rows *rows, const cli_rows_args *args, cli_error *err)
{
    if (jemi_source_look(&rows->source, args->path) != 0)
        return cli_fail(err, "%s cannot be read: %s", args->path, strerror(errno));
    if (rows->source.kind == JEMI_SOURCE_DIRECTORY)
        return cli_fail(err, "%s is a directory; expected raw frames", args->path);
    if (rows->source.kind == JEMI_SOURCE_FILE)
        CLI_TRY(cli_files_opened(rows->source.fd, args->path, err));
    return cli_alloc(&rows->bytes, args->batch * frame_bytes(rows), 1, err);
}

cli_status cli_rows_open(cli_rows *rows, const jem_model *model, const cli_rows_args *args,
                         cli_error *err)
{
    rows->model = model;
    rows->path = args->path;
    rows->any_value = args->any_value;
    rows->raw = args->raw;
    rows->batch = args->batch;
    rows->info.struct_size = sizeof rows->info;
    CLI_TRY(cli_jem(err, jem_model_get_info(model, &rows->info)));
    return args->raw ? open_frames(rows, args, err) : open_file(rows, args, err);
}

void cli_rows_close(cli_rows *rows)
{
    cli_npy_free(&rows->npy);
    jemi_source_close(&rows->source);
    free(rows->bytes);
}

// ---- what comes next ---------------------------------------------------------------------------

// Rows of a table are standardised; numbers of an image are inputs already.
static cli_status to_inputs(const cli_rows *rows, int64_t n, float *x, cli_error *err)
{
    const bool table = rows->info.height == 1 && rows->info.width == 1;
    return table ? cli_jem(err, jem_input_from_float(rows->model, n, x, x)) : CLI_OK;
}

static cli_status next_of_file(cli_rows *rows, float *x, int64_t *n, cli_error *err)
{
    const int64_t size = rows->info.input_size, left = rows->n - rows->next, first = rows->next;
    *n = left < rows->batch ? left : rows->batch;
    rows->next += *n;
    if (cli_npy_is_bytes(&rows->npy))
        return cli_jem(err,
                       jem_input_from_u8(rows->model, *n, (uint8_t *)rows->npy.data + first * size,
                                         JEM_LAYOUT_NCHW, x));
    if (rows->any_value)
        cli_npy_to_any_floats(&rows->npy, first * size, *n * size, x);
    else
        CLI_TRY(cli_npy_to_floats(&rows->npy, first * size, *n * size, x, err));
    return to_inputs(rows, *n, x, err);
}

// Reads until there is a frame, or nothing more comes.
static cli_status fill_frames(cli_rows *rows, cli_error *err)
{
    const int64_t room = rows->batch * frame_bytes(rows);
    while (rows->used < frame_bytes(rows) && cli_stop_signal() == 0) {
        const ssize_t got =
            read(rows->source.fd, rows->bytes + rows->used, (size_t)(room - rows->used));
        if (got < 0 && errno != EINTR)
            return cli_fail(err, "%s cannot be read: %s", rows->path, strerror(errno));
        if (got == 0)
            return CLI_OK;
        rows->used += got > 0 ? got : 0;
    }
    return CLI_OK;
}

static cli_status next_frames(cli_rows *rows, float *x, int64_t *n, cli_error *err)
{
    CLI_TRY(fill_frames(rows, err));
    *n = rows->used / frame_bytes(rows);
    if (*n == 0 && rows->used > 0 && cli_stop_signal() == 0)
        return cli_fail(err,
                        "%s is truncated: %lld bytes follow frame %lld; expected frames of "
                        "%lld bytes, %lld float32",
                        rows->path, (long long)rows->used, (long long)rows->n,
                        (long long)frame_bytes(rows), (long long)rows->info.input_size);
    const int64_t taken = *n * frame_bytes(rows);
    memcpy(x, rows->bytes, (size_t)taken);
    memmove(rows->bytes, rows->bytes + taken, (size_t)(rows->used - taken));
    rows->used -= taken;
    rows->n += *n;
    return to_inputs(rows, *n, x, err);
}

cli_status cli_rows_next(cli_rows *rows, float *x, int64_t *n, cli_error *err)
{
    return rows->raw ? next_frames(rows, x, n, err) : next_of_file(rows, x, n, err);
}
