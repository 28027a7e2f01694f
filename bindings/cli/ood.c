/*
 * The table of sets, and how each row is made. All is done on inputs, within the range that 8-bit
 * images of this model have, so that the sets suit any input range or standardisation.
 */
#include "ood.h"

#include <stdlib.h>
#include <string.h>

#include "shuffle.h"

static int64_t n_pixels(const cli_data *data)
{
    return (int64_t)data->height * data->width;
}

// ---- where a set makes sense -------------------------------------------------------------------

static bool always(const cli_data *data)
{
    (void)data;
    return true;
}

static bool for_images(const cli_data *data)
{
    return n_pixels(data) > 1;
}

static bool for_square_images(const cli_data *data)
{
    return n_pixels(data) > 1 && data->height == data->width;
}

static bool for_pairs(const cli_data *data)
{
    return data->n > 1;
}

// ---- rows --------------------------------------------------------------------------------------

static cli_random random_of_row(const cli_ood *ood, int64_t i)
{
    return (cli_random){(ood->seed << 40) + (uint64_t)i * 0x2545f4914f6cdd1du};
}

static cli_status make_uniform(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    (void)err;
    cli_random random = random_of_row(ood, i);
    const int64_t size = cli_data_row_size(ood->data);
    for (int64_t j = 0; j < size; j++)
        row[j] = ood->low[j] + cli_random_unit(&random) * (ood->high[j] - ood->low[j]);
    return CLI_OK;
}

static cli_status make_constant(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    (void)err;
    cli_random random = random_of_row(ood, i);
    const int64_t pixels = n_pixels(ood->data);
    for (int32_t c = 0; c < ood->data->channels; c++) {
        const float level = cli_random_unit(&random);
        for (int64_t j = c * pixels; j < (c + 1) * pixels; j++)
            row[j] = ood->low[j] + level * (ood->high[j] - ood->low[j]);
    }
    return CLI_OK;
}

static cli_status make_interp(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    cli_random random = random_of_row(ood, i);
    const int64_t n = ood->data->n;
    const int64_t other = (i + 1 + cli_random_below(&random, n - 1)) % n;
    CLI_TRY(cli_data_inputs(ood->data, ood->model, NULL, other, 1, ood->partner, err));
    const int64_t size = cli_data_row_size(ood->data);
    for (int64_t j = 0; j < size; j++)
        row[j] = 0.5f * (row[j] + ood->partner[j]);
    return CLI_OK;
}

static cli_status make_inverted(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    (void)i;
    (void)err;
    const int64_t size = cli_data_row_size(ood->data);
    for (int64_t j = 0; j < size; j++)
        row[j] = ood->low[j] + ood->high[j] - row[j];
    return CLI_OK;
}

// A quarter turn counterclockwise.
static cli_status make_rotated(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    (void)i;
    (void)err;
    const int64_t side = ood->data->height;
    memcpy(ood->partner, row, (size_t)cli_data_row_size(ood->data) * sizeof *row);
    for (int32_t c = 0; c < ood->data->channels; c++) {
        const float *from = ood->partner + c * side * side;
        float *to = row + c * side * side;
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < side; x++)
                to[(side - 1 - x) * side + y] = from[y * side + x];
    }
    return CLI_OK;
}

// The pixels in a random order, another one for each image; colours stay together.
static cli_status make_shuffled(const cli_ood *ood, int64_t i, float *row, cli_error *err)
{
    (void)err;
    cli_random random = random_of_row(ood, i);
    const int64_t pixels = n_pixels(ood->data);
    for (int64_t p = pixels - 1; p > 0; p--) {
        const int64_t q = cli_random_below(&random, p + 1);
        for (int32_t c = 0; c < ood->data->channels; c++) {
            float *plane = row + c * pixels;
            const float value = plane[p];
            plane[p] = plane[q];
            plane[q] = value;
        }
    }
    return CLI_OK;
}

// ---- the sets ----------------------------------------------------------------------------------

const cli_ood_set cli_ood_sets[] = {
    {"uniform", "every pixel at random", always, make_uniform},
    {"constant", "one random colour", for_images, make_constant},
    {"interp", "the mean of two test images", for_pairs, make_interp},
    {"inverted", "black becomes white", always, make_inverted},
    {"rotated", "by 90 degrees", for_square_images, make_rotated},
    {"shuffled", "pixels in random order", for_images, make_shuffled},
};
const int cli_ood_n_sets = sizeof cli_ood_sets / sizeof cli_ood_sets[0];

const cli_ood_set *cli_ood_find(const char *name)
{
    for (int i = 0; i < cli_ood_n_sets; i++)
        if (strcmp(cli_ood_sets[i].name, name) == 0)
            return &cli_ood_sets[i];
    return NULL;
}

// Features have no 8-bit range.
static cli_status fill_table_ranges(cli_ood *ood, int64_t size, cli_error *err)
{
    jem_model_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_model_get_info(ood->model, &info)));
    for (int64_t j = 0; j < size; j++) {
        ood->low[j] = info.input_low;
        ood->high[j] = info.input_high;
    }
    return CLI_OK;
}

static cli_status fill_ranges(cli_ood *ood, int64_t size, cli_error *err)
{
    uint8_t *levels;
    if (cli_data_is_table(ood->data))
        return fill_table_ranges(ood, size, err);
    CLI_TRY(cli_alloc(&levels, 2 * size, 1, err));
    memset(levels + size, 255, (size_t)size);
    jem_status status = jem_input_from_u8(ood->model, 1, levels, JEM_LAYOUT_NCHW, ood->low);
    if (status == JEM_OK)
        status = jem_input_from_u8(ood->model, 1, levels + size, JEM_LAYOUT_NCHW, ood->high);
    free(levels);
    return cli_jem(err, status);
}

cli_status cli_ood_begin(cli_ood *ood, const cli_data *data, const jem_model *model, uint64_t seed,
                         cli_error *err)
{
    const int64_t size = cli_data_row_size(data);
    *ood = (cli_ood){.data = data, .model = model, .seed = seed};
    cli_status status = cli_alloc(&ood->low, size, sizeof *ood->low, err);
    if (status == CLI_OK)
        status = cli_alloc(&ood->high, size, sizeof *ood->high, err);
    if (status == CLI_OK)
        status = cli_alloc(&ood->partner, size, sizeof *ood->partner, err);
    if (status == CLI_OK)
        status = fill_ranges(ood, size, err);
    if (status != CLI_OK)
        cli_ood_end(ood);
    return status;
}

void cli_ood_end(cli_ood *ood)
{
    free(ood->low);
    free(ood->high);
    free(ood->partner);
    *ood = (cli_ood){.data = NULL};
}

cli_status cli_ood_rows(const cli_ood *ood, const cli_ood_set *set, int64_t first, int64_t n,
                        float *x, cli_error *err)
{
    const int64_t size = cli_data_row_size(ood->data);
    CLI_TRY(cli_data_inputs(ood->data, ood->model, NULL, first, n, x, err));
    for (int64_t i = 0; i < n; i++)
        CLI_TRY(set->make(ood, first + i, x + i * size, err));
    return CLI_OK;
}
