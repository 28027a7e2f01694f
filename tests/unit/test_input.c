/*
 * 8-bit images to inputs and back: both layouts, by range and by standardisation, all 256 values,
 * rounding and clamping on the way back.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { CHANNELS = 3, SIDE = 16, PIXELS = SIDE * SIDE, IMAGES = 2 };

typedef struct map_row {
    const char *name;
    float low, high;                     /* of the range */
    float mean[CHANNELS], std[CHANNELS]; /* std 0: the range is used */
} map_row;

static const map_row maps[] = {
    {"default", -1.0f, 1.0f, {0}, {0}},
    {"unit", 0.0f, 1.0f, {0}, {0}},
    {"bytes", 0.0f, 255.0f, {0}, {0}},
    {"narrow, far from 0", 100.0f, 101.0f, {0}, {0}},
    {"ImageNet", -1.0f, 1.0f, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    {"tiny std", -1.0f, 1.0f, {0.5f, 0.0f, -3.0f}, {1e-6f, 1.0f, 1e6f}},
};

static jem_model *mapped_model(const map_row *row)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-2";
    config.channels = CHANNELS;
    config.height = config.width = SIDE;
    config.classes = 2;
    config.input_low = row->low;
    config.input_high = row->high;
    jem_model *model;
    MUST(jem_model_create(&model, &config, NULL));
    if (row->std[0] != 0.0f)
        MUST(jem_model_set_standardization(model, CHANNELS, row->mean, row->std));
    return model;
}

// What the header defines, in double.
static double expected(const map_row *row, int c, uint8_t value)
{
    const double unit = value / 255.0;
    if (row->std[0] != 0.0f)
        return (unit - (double)row->mean[c]) / (double)row->std[c];
    return (double)row->low + unit * ((double)row->high - (double)row->low);
}

static int64_t place(int32_t layout, int i, int c, int p)
{
    return layout == JEM_LAYOUT_NHWC ? ((int64_t)i * PIXELS + p) * CHANNELS + c
                                     : ((int64_t)i * CHANNELS + c) * PIXELS + p;
}

static uint8_t pixel(int i, int c, int p)
{
    return (uint8_t)(p + 85 * c + 17 * i); // a channel of 256 pixels holds every value
}

static void check_values(const map_row *row, const float *x)
{
    // The map is value * scale + offset in float: three roundings, of terms as large as these.
    for (int i = 0; i < IMAGES; i++)
        for (int c = 0; c < CHANNELS; c++)
            for (int p = 0; p < PIXELS; p++) {
                const double want = expected(row, c, pixel(i, c, p));
                const double size = fabs(expected(row, c, 0)) + fabs(expected(row, c, 255));
                const double got = x[place(JEM_LAYOUT_NCHW, i, c, p)];
                ck_assert_msg(fabs(got - want) <= 2e-7 * size, "%s: channel %d, pixel %d: %g, %g",
                              row->name, c, p, got, want);
            }
}

static jem_model *table_of_two(void)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-2";
    config.channels = 2;
    config.height = config.width = 1;
    config.classes = 2;
    config.input_low = -3.0f;
    config.input_high = 4.0f;
    jem_model *model;
    MUST(jem_model_create(&model, &config, NULL));
    return model;
}

// Features are in their own units, whatever range their standardised values have.
START_TEST(test_standardised_table)
{
    static const float mean[2] = {1000.0f, -0.5f}, std[2] = {250.0f, 0.125f};
    static const float raw[4] = {1250.0f, -0.5f, 500.0f, 0.0f}, unit[4] = {1.0f, 0.0f, -2.0f, 4.0f};
    float x[4], back[4];
    jem_model *model = table_of_two();
    MUST(jem_input_from_float(model, 2, raw, x));
    ck_assert_mem_eq(x, raw, sizeof x); // without a standardisation
    MUST(jem_model_set_standardization(model, 2, mean, std));
    MUST(jem_input_from_float(model, 2, raw, x));
    ck_assert_mem_eq(x, unit, sizeof x);
    MUST(jem_input_to_float(model, 2, x, back));
    ck_assert_mem_eq(back, raw, sizeof back);
    MUST(jem_input_from_float(model, 2, back, back)); // in place
    ck_assert_mem_eq(back, unit, sizeof back);
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    ck_assert(info.input_low == -3.0f && info.input_high == 4.0f);
    jem_model_destroy(model);
}
END_TEST

// Of images, floats are bytes / 255: both ways give the same inputs.
START_TEST(test_floats_are_bytes_by_255)
{
    static uint8_t images[CHANNELS * PIXELS];
    static float values[CHANNELS * PIXELS], x[CHANNELS * PIXELS], y[CHANNELS * PIXELS];
    jem_model *model = mapped_model(&maps[4]);
    for (int i = 0; i < CHANNELS * PIXELS; i++) {
        images[i] = (uint8_t)(7 * i);
        values[i] = (float)images[i] / 255.0f;
    }
    MUST(jem_input_from_u8(model, 1, images, JEM_LAYOUT_NCHW, x));
    MUST(jem_input_from_float(model, 1, values, y));
    for (int i = 0; i < CHANNELS * PIXELS; i++) // of values up to 3, rounded three times
        ck_assert_float_eq_tol(x[i], y[i], 1e-6f);
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    ck_assert_float_eq_tol(info.input_low, -0.485f / 0.229f, 1e-6f);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_round_trip)
{
    const map_row *row = &maps[_i];
    jem_model *model = mapped_model(row);
    const size_t size = IMAGES * CHANNELS * PIXELS;
    uint8_t *images = malloc(size), *back = malloc(size);
    float *x = malloc(size * sizeof *x), *first = malloc(size * sizeof *x);
    for (int32_t layout = JEM_LAYOUT_NCHW; layout <= JEM_LAYOUT_NHWC; layout++) {
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < CHANNELS; c++)
                for (int p = 0; p < PIXELS; p++)
                    images[place(layout, i, c, p)] = pixel(i, c, p);
        MUST(jem_input_from_u8(model, IMAGES, images, layout, x));
        check_values(row, x);
        memset(back, 0x5a, size);
        MUST(jem_input_to_u8(model, IMAGES, x, layout, back));
        support_same_bits(back, images, size, row->name);
        if (layout == JEM_LAYOUT_NCHW)
            memcpy(first, x, size * sizeof *x);
    }
    support_same_bits(x, first, size * sizeof *x, "inputs of one image in two layouts");
    free(first);
    free(x);
    free(back);
    free(images);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_to_u8_rounds_and_clamps)
{
    const map_row unit = {"unit", 0.0f, 1.0f, {0}, {0}};
    jem_model *model = mapped_model(&unit);
    typedef struct value_row {
        float x;
        uint8_t value;
    } value_row;
    static const value_row rows[] = {
        {-1e30f, 0},         {-0.1f, 0},    {0.0f, 0},     {0.4f / 255.0f, 0},
        {0.6f / 255.0f, 1},  {0.499f, 127}, {0.501f, 128}, {254.4f / 255, 254},
        {254.6f / 255, 255}, {1.0f, 255},   {1.1f, 255},   {1e30f, 255},
    };
    float *x = calloc(CHANNELS * PIXELS, sizeof *x);
    uint8_t *images = malloc(CHANNELS * PIXELS);
    for (int i = 0; i < COUNT(rows); i++)
        x[i] = rows[i].x;
    MUST(jem_input_to_u8(model, 1, x, JEM_LAYOUT_NCHW, images));
    for (int i = 0; i < COUNT(rows); i++)
        ck_assert_msg(images[i] == rows[i].value, "%g became %d, not %d", (double)rows[i].x,
                      images[i], rows[i].value);
    free(images);
    free(x);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_round_trip, 0, COUNT(maps));
    tcase_add_test(tcase, test_standardised_table);
    tcase_add_test(tcase, test_floats_are_bytes_by_255);
    tcase_add_test(tcase, test_to_u8_rounds_and_clamps);
}

int main(void)
{
    return support_main("8-bit inputs", add_tests);
}
