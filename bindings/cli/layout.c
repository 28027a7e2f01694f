/*
 * Nothing in a .npy file says which axis holds the channels. A network trains on images that are
 * cut the wrong way without any error, so shapes that leave a doubt need --layout.
 */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

const cli_choice cli_layouts[] = {{"nchw", JEM_LAYOUT_NCHW}, {"nhwc", JEM_LAYOUT_NHWC}, {NULL, 0}};

// Gray, colour, colour with transparency.
static bool is_usual(int64_t channels)
{
    return channels == 1 || channels == 3 || channels == 4;
}

bool cli_layout_is_doubtful(const cli_npy *npy)
{
    if (npy->rank != 4)
        return false;
    const int64_t first = npy->shape[1], middle = npy->shape[2], last = npy->shape[3];
    if (middle == 1 && last == 1)
        return false; // a table: features are channels of one pixel
    if (is_usual(last) || (last == 2 && first > 4))
        return true;
    // Two equal sides before the last axis: square images of many channels.
    return first == middle && middle != last && !is_usual(first);
}

// One row, (pixels, channels) to (channels, pixels).
static void move_channels(char *row, const char *from, int64_t pixels, int64_t channels,
                          size_t width)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++) {
            memcpy(row, from + (size_t)(p * channels + c) * width, width);
            row += width;
        }
}

cli_status cli_layout_apply(cli_npy *npy, int32_t layout, cli_error *err)
{
    if (layout != JEM_LAYOUT_NHWC || npy->rank != 4)
        return CLI_OK;
    const int64_t height = npy->shape[1], image_width = npy->shape[2], channels = npy->shape[3];
    const int64_t n = npy->count > 0 ? npy->shape[0] : 0;
    const int64_t size = n > 0 ? npy->count / n : 0;
    const size_t bytes = (size_t)size * (size_t)npy->width;
    char *before;
    CLI_TRY(cli_alloc(&before, size, (size_t)npy->width, err));
    for (int64_t i = 0; i < n; i++) {
        char *row = (char *)npy->data + (size_t)i * bytes;
        memcpy(before, row, bytes);
        move_channels(row, before, height * image_width, channels, (size_t)npy->width);
    }
    free(before);
    npy->shape[1] = channels;
    npy->shape[2] = height;
    npy->shape[3] = image_width;
    return CLI_OK;
}
