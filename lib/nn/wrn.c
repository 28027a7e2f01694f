/*
 * wrn-D-K: the Wide ResNet of Zagoruyko & Komodakis 2016 as JEM uses it, by default without their
 * normalisation (in front of each activation) and dropout (between a block's convolutions): every
 * convolution has a bias, the block's second convolution carries the stride, and the
 * shortcut, where one is needed, is a 1x1 convolution of the raw block input (not of its
 * activation). D = 6n + 4: three stages of n blocks of two convolutions, and four layers around.
 */
#include <stdbool.h>

#include "nn/build.h"

// conv2(dropout(act(norm2(conv1(act(norm1(x))))))) + shortcut(x)
static int32_t block(jemi_builder *builder, int32_t x, int64_t channels, int32_t stage,
                     int32_t index)
{
    const int32_t stride = stage > 0 && index == 0 ? 2 : 1;
    const bool reshapes = stride != 1 || jemi_build_shape(builder, x).c != channels;

    int32_t y = jemi_build_norm(builder, x, "stages.%d.%d.norm1", stage, index);
    y = jemi_build_act(builder, y);
    y = jemi_build_conv(builder, y, channels, 3, 1, "stages.%d.%d.conv1", stage, index);
    y = jemi_build_norm(builder, y, "stages.%d.%d.norm2", stage, index);
    y = jemi_build_act(builder, y);
    y = jemi_build_dropout(builder, y);
    y = jemi_build_conv(builder, y, channels, 3, stride, "stages.%d.%d.conv2", stage, index);
    if (reshapes)
        x = jemi_build_conv(builder, x, channels, 1, stride, "stages.%d.%d.shortcut", stage, index);
    return jemi_build_add(builder, y, x);
}

void jemi_build_wrn(jemi_builder *builder, const jemi_arch *arch, int64_t classes)
{
    const int32_t blocks = (arch->numbers[0] - 4) / 6;
    const int64_t widening = arch->numbers[1];

    int32_t x = jemi_build_conv(builder, 0, 16, 3, 1, "stem");
    for (int32_t stage = 0; stage < 3; stage++)
        for (int32_t i = 0; i < blocks; i++)
            x = block(builder, x, (16 << stage) * widening, stage, i);
    x = jemi_build_norm(builder, x, "norm");
    x = jemi_build_act(builder, x);
    const jemi_shape shape = jemi_build_shape(builder, x);
    x = jemi_build_avgpool(builder, x, shape.h, shape.w);
    jemi_build_linear(builder, x, classes, "head");
}
