/*
 * mlp-W1-W2-...: the input flattened; per width a linear layer, normalisation if there is one, an
 * activation and dropout; a linear head. Parameters hidden.0.weight, hidden.0.bias, norm.0.weight,
 * ..., head.weight, head.bias.
 */
#include "nn/build.h"

void jemi_build_mlp(jemi_builder *builder, const jemi_arch *arch, int64_t classes)
{
    int32_t x = 0;
    for (int32_t i = 0; i < arch->n_numbers; i++) {
        x = jemi_build_linear(builder, x, arch->numbers[i], "hidden.%d", i);
        x = jemi_build_norm(builder, x, "norm.%d", i);
        x = jemi_build_act(builder, x);
        x = jemi_build_dropout(builder, x);
    }
    jemi_build_linear(builder, x, classes, "head");
}
