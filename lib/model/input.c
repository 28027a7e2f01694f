/*
 * 8-bit images and plain numbers to inputs and back, by the range or standardisation that the model
 * carries.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"

// What a channel's values are multiplied by, and what is added then.
typedef struct affine {
    float scale, offset;
} affine;

typedef affine (*channel_map)(const jemi_input_map *map, int64_t c);

// From bytes to inputs.
static affine byte_map(const jemi_input_map *map, int64_t c)
{
    if (map->mean == NULL)
        return (affine){(map->high - map->low) / 255.0f, map->low};
    return (affine){1.0f / (255.0f * map->std[c]), -map->mean[c] / map->std[c]};
}

// From inputs to the numbers that a standardisation is stated in; without one they are the same.
static affine number_map(const jemi_input_map *map, int64_t c)
{
    return map->mean != NULL ? (affine){map->std[c], map->mean[c]} : (affine){1.0f, 0.0f};
}

// The maps of all channels, read under the lock once. The caller frees them.
static jem_status copy_maps(const jem_model *model, channel_map map_of, affine **out)
{
    const int64_t channels = jemi_model_input(model).c;
    affine *maps = jemi_alloc((size_t)channels, sizeof *maps);
    if (maps == NULL)
        return jemi_fail_memory("input map");
    jemi_lock_enter(model->text_lock);
    for (int64_t c = 0; c < channels; c++)
        maps[c] = map_of(&model->input_map, c);
    jemi_lock_leave(model->text_lock);
    *out = maps;
    return JEM_OK;
}

// Under the lock. Features of a table have no 0 and no 255.
static void channel_range(const jem_model *model, int64_t c, float *low, float *high)
{
    const jemi_input_map *map = &model->input_map;
    const jemi_shape shape = jemi_model_input(model);
    const bool standardized = map->mean != NULL && shape.h * shape.w > 1;
    *low = standardized ? -map->mean[c] / map->std[c] : map->low;
    *high = standardized ? (1.0f - map->mean[c]) / map->std[c] : map->high;
}

void jemi_model_channel_ranges(const jem_model *model, float *low, float *high)
{
    const int64_t channels = jemi_model_input(model).c;
    jemi_lock_enter(model->text_lock);
    for (int64_t c = 0; c < channels; c++)
        channel_range(model, c, &low[c], &high[c]);
    jemi_lock_leave(model->text_lock);
}

void jemi_model_input_range(const jem_model *model, float *low, float *high)
{
    const int64_t channels = jemi_model_input(model).c;
    jemi_lock_enter(model->text_lock);
    channel_range(model, 0, low, high);
    for (int64_t c = 1; c < channels; c++) {
        float channel_low, channel_high;
        channel_range(model, c, &channel_low, &channel_high);
        *low = fminf(*low, channel_low);
        *high = fmaxf(*high, channel_high);
    }
    jemi_lock_leave(model->text_lock);
}

// Distance of neighbouring channels and of neighbouring pixels in an 8-bit image.
typedef struct strides {
    int64_t channel, pixel;
} strides;

static strides image_strides(jemi_shape shape, int32_t layout)
{
    if (layout == JEM_LAYOUT_NHWC)
        return (strides){1, shape.c};
    return (strides){shape.h * shape.w, 1};
}

jem_status jemi_model_input_from_u8(const jem_model *model, int64_t n, const uint8_t *images,
                                    int32_t layout, float *x)
{
    const jemi_shape shape = jemi_model_input(model);
    const strides at = image_strides(shape, layout);
    const int64_t pixels = shape.h * shape.w;
    affine *maps;
    JEMI_TRY(copy_maps(model, byte_map, &maps));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < shape.c; c++) {
            const uint8_t *from = images + i * jemi_shape_size(shape) + c * at.channel;
            float *to = x + i * jemi_shape_size(shape) + c * pixels;
            for (int64_t p = 0; p < pixels; p++)
                to[p] = (float)from[p * at.pixel] * maps[c].scale + maps[c].offset;
        }
    jemi_free(maps);
    return JEM_OK;
}

static uint8_t to_byte(float value)
{
    const float clamped = value > 0.0f ? (value < 255.0f ? value : 255.0f) : 0.0f;
    return (uint8_t)(clamped + 0.5f);
}

jem_status jemi_model_input_to_u8(const jem_model *model, int64_t n, const float *x, int32_t layout,
                                  uint8_t *images)
{
    const jemi_shape shape = jemi_model_input(model);
    const strides at = image_strides(shape, layout);
    const int64_t pixels = shape.h * shape.w;
    affine *maps;
    JEMI_TRY(copy_maps(model, byte_map, &maps));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < shape.c; c++) {
            const float *from = x + i * jemi_shape_size(shape) + c * pixels;
            uint8_t *to = images + i * jemi_shape_size(shape) + c * at.channel;
            for (int64_t p = 0; p < pixels; p++)
                to[p * at.pixel] = to_byte((from[p] - maps[c].offset) / maps[c].scale);
        }
    jemi_free(maps);
    return JEM_OK;
}

// Between inputs and the numbers that a standardisation is stated in. `from` may be `to`.
static jem_status convert_numbers(const jem_model *model, int64_t n, const float *from,
                                  bool to_inputs, float *to)
{
    const jemi_shape shape = jemi_model_input(model);
    const int64_t pixels = shape.h * shape.w;
    affine *maps;
    JEMI_TRY(copy_maps(model, number_map, &maps));
    for (int64_t i = 0; i < n * shape.c; i++) {
        const affine map = maps[i % shape.c];
        for (int64_t p = i * pixels; p < (i + 1) * pixels; p++)
            to[p] =
                to_inputs ? (from[p] - map.offset) / map.scale : from[p] * map.scale + map.offset;
    }
    jemi_free(maps);
    return JEM_OK;
}

jem_status jemi_model_input_from_float(const jem_model *model, int64_t n, const float *values,
                                       float *x)
{
    return convert_numbers(model, n, values, true, x);
}

jem_status jemi_model_input_to_float(const jem_model *model, int64_t n, const float *x,
                                     float *values)
{
    return convert_numbers(model, n, x, false, values);
}

jem_status jemi_model_set_standardization(jem_model *model, const float *mean, const float *std)
{
    const size_t channels = (size_t)jemi_model_input(model).c;
    float *means = jemi_alloc(channels, sizeof *means);
    float *stds = jemi_alloc(channels, sizeof *stds);
    if (means == NULL || stds == NULL) {
        jemi_free(means);
        jemi_free(stds);
        return jemi_fail_memory("standardization");
    }
    memcpy(means, mean, channels * sizeof *means);
    memcpy(stds, std, channels * sizeof *stds);
    jemi_lock_enter(model->text_lock);
    float *const old_means = model->input_map.mean;
    float *const old_stds = model->input_map.std;
    model->input_map.mean = means;
    model->input_map.std = stds;
    jemi_lock_leave(model->text_lock);
    jemi_free(old_means);
    jemi_free(old_stds);
    return JEM_OK;
}
