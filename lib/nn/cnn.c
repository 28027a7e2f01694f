/*
 * cnn-W1-W2-...: per width a 3x3 convolution, normalisation if there is one, an activation, dropout
 * and 2x2 average pooling; a linear head on the flattened rest. A dimension that has shrunk to 1 is
 * no longer pooled, so any number of widths works on any input, tables of features included.
 */
#include "nn/build.h"

static int64_t window_of(int64_t size)
{
    return size > 1 ? 2 : 1;
}

static int32_t pool(jemi_builder *builder, int32_t x)
{
    const jemi_shape shape = jemi_build_shape(builder, x);
    const int64_t window_h = window_of(shape.h);
    const int64_t window_w = window_of(shape.w);
    if (window_h == 1 && window_w == 1)
        return x;
    return jemi_build_avgpool(builder, x, window_h, window_w);
}

void jemi_build_cnn(jemi_builder *builder, const jemi_arch *arch, int64_t classes)
{
    int32_t x = 0;
    for (int32_t i = 0; i < arch->n_numbers; i++) {
        x = jemi_build_conv(builder, x, arch->numbers[i], 3, 1, "conv.%d", i);
        x = jemi_build_norm(builder, x, "norm.%d", i);
        x = jemi_build_act(builder, x);
        x = jemi_build_dropout(builder, x);
        x = pool(builder, x);
    }
    jemi_build_linear(builder, x, classes, "head");
}
