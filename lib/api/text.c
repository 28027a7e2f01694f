/*
 * What a model carries beside its parameters: metadata, class names, the input map.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "base/environment.h"
#include "base/utf8.h"
#include "train/optimizer.h"

// Now, not when the model is saved: then it would be too late to say whose fault it was.
static jem_status check_utf8(const char *text, const char *name)
{
    if (!jemi_utf8_valid(text))
        return jemi_fail(JEM_EINVAL, "%s is not UTF-8", name);
    return JEM_OK;
}

static jem_status check_key(const char *key)
{
    JEMI_TRY(jemi_check_pointer(key, "key"));
    if (key[0] == '\0' || strnlen(key, 256) > 255)
        return jemi_fail(JEM_EINVAL, "key has %zu bytes; expected 1..255", strlen(key));
    if (strncmp(key, "jem.", 4) == 0)
        return jemi_fail(JEM_EINVAL, "key '%s' starts with 'jem.', which is the library's own",
                         key);
    return check_utf8(key, "key");
}

JEM_API jem_status jem_model_set_metadata(jem_model *model, const char *key, const char *value)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(check_key(key));
    if (value != NULL)
        JEMI_TRY(check_utf8(value, "value"));
    return jemi_model_set_metadata(model, key, value);
}

// `needed` bytes without the NUL were wanted; a NULL buffer of size 0 only asks.
static jem_status finish_copy(size_t needed, const char *buffer, size_t size, size_t *length)
{
    if (length != NULL)
        *length = needed;
    if (needed >= size && (buffer != NULL || size > 0))
        return jemi_fail(JEM_EINVAL, "size is %zu; the text needs %zu bytes", size, needed + 1);
    return JEM_OK;
}

static jem_status check_buffer(const char *buffer, size_t size)
{
    return size > 0 ? jemi_check_pointer(buffer, "buffer") : JEM_OK;
}

JEM_API jem_status jem_model_get_metadata(const jem_model *model, const char *key, char *buffer,
                                          size_t size, size_t *length)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(key, "key"));
    JEMI_TRY(check_buffer(buffer, size));
    size_t needed;
    if (!jemi_model_copy_metadata(model, key, buffer, size, &needed))
        return jemi_fail(JEM_ENOTFOUND, "the model has no metadata '%.80s'", key);
    return finish_copy(needed, buffer, size, length);
}

JEM_API jem_status jem_optimizer_set_note(jem_optimizer *optimizer, const char *note)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    if (note != NULL)
        JEMI_TRY(check_utf8(note, "note"));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const jem_status status = jemi_optimizer_set_note(optimizer, note);
    jemi_claim_release(&optimizer->claim);
    return status;
}

JEM_API jem_status jem_optimizer_get_note(jem_optimizer *optimizer, char *buffer, size_t size,
                                          size_t *length)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(check_buffer(buffer, size));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const char *note = optimizer->note != NULL ? optimizer->note : "";
    const size_t needed = strlen(note);
    if (needed < size)
        memcpy(buffer, note, needed + 1);
    jemi_claim_release(&optimizer->claim);
    return finish_copy(needed, buffer, size, length);
}

static jem_status check_label(const jem_model *model, int32_t label)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    return jemi_check_range_int(label, 0, jemi_model_classes(model) - 1, "label");
}

JEM_API jem_status jem_model_metadata_key(const jem_model *model, const char *after, char *buffer,
                                          size_t size, size_t *length)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(check_buffer(buffer, size));
    size_t needed;
    if (!jemi_model_copy_metadata_key(model, after, buffer, size, &needed))
        return after == NULL
                   ? jemi_fail(JEM_ENOTFOUND, "the model has no metadata")
                   : jemi_fail(JEM_ENOTFOUND, "the model has no metadata after '%.100s'", after);
    return finish_copy(needed, buffer, size, length);
}

JEM_API jem_status jem_model_set_class_name(jem_model *model, int32_t label, const char *name)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_label(model, label));
    JEMI_TRY(jemi_check_pointer(name, "name"));
    JEMI_TRY(check_utf8(name, "name"));
    return jemi_model_set_class_name(model, label, name);
}

JEM_API jem_status jem_model_get_class_name(const jem_model *model, int32_t label, char *buffer,
                                            size_t size, size_t *length)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_label(model, label));
    JEMI_TRY(check_buffer(buffer, size));
    size_t needed;
    jemi_model_copy_class_name(model, label, buffer, size, &needed);
    return finish_copy(needed, buffer, size, length);
}

JEM_API jem_status jem_model_set_standardization(jem_model *model, int32_t channels,
                                                 const float *mean, const float *std)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    const int64_t expected = jemi_model_input(model).c;
    JEMI_TRY(jemi_check_range_int(channels, expected, expected, "channels"));
    JEMI_TRY(jemi_check_finite(mean, 1, channels, "mean"));
    JEMI_TRY(jemi_check_finite(std, 1, channels, "std"));
    for (int32_t c = 0; c < channels; c++)
        JEMI_TRY(jemi_check_positive(std[c], "std"));
    return jemi_model_set_standardization(model, mean, std);
}

static jem_status check_images(const jem_model *model, int64_t n, const void *images,
                               int32_t layout, const float *x)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_range_int(layout, JEM_LAYOUT_NCHW, JEM_LAYOUT_NHWC, "layout"));
    JEMI_TRY(jemi_check_array(n, images, "images"));
    return jemi_check_array(n, x, "x");
}

JEM_API jem_status jem_input_from_u8(const jem_model *model, int64_t n, const uint8_t *images,
                                     int32_t layout, float *x)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_images(model, n, images, layout, x));
    return jemi_model_input_from_u8(model, n, images, layout, x);
}

JEM_API jem_status jem_input_to_u8(const jem_model *model, int64_t n, const float *x,
                                   int32_t layout, uint8_t *images)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_images(model, n, images, layout, x));
    JEMI_TRY(jemi_check_finite(x, n, jemi_model_input_size(model), "x"));
    return jemi_model_input_to_u8(model, n, x, layout, images);
}

static jem_status check_floats(const jem_model *model, int64_t n, const float *from,
                               const char *from_name, const float *to, const char *to_name)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_array(n, to, to_name));
    JEMI_TRY(jemi_check_array(n, from, from_name));
    return jemi_check_finite(from, n, jemi_model_input_size(model), from_name);
}

JEM_API jem_status jem_input_from_float(const jem_model *model, int64_t n, const float *values,
                                        float *x)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_floats(model, n, values, "values", x, "x"));
    return jemi_model_input_from_float(model, n, values, x);
}

JEM_API jem_status jem_input_to_float(const jem_model *model, int64_t n, const float *x,
                                      float *values)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_floats(model, n, x, "x", values, "values"));
    return jemi_model_input_to_float(model, n, x, values);
}
