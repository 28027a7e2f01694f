/*
 * A linear layer is what direct.h calls a convolution of single pixels.
 */
#include "detect/linear_map.h"

#include "base/memory.h"
#include "base/status.h"
#include "kernels/direct.h"

int64_t jemi_linear_map_stride(int64_t width)
{
    return (width + JEMI_LANES - 1) / JEMI_LANES * JEMI_LANES;
}

jem_status jemi_linear_map_create(jemi_linear_map *map, int64_t in, int64_t out)
{
    const size_t packed = (size_t)jemi_direct_weights_count(in, out, 1);
    map->in = in;
    map->out = out;
    map->matrix = jemi_calloc((size_t)(in * out), sizeof *map->matrix);
    map->bias = jemi_calloc((size_t)out, sizeof *map->bias);
    map->packed = jemi_calloc(packed, sizeof *map->packed);
    if (map->matrix == NULL || map->bias == NULL || map->packed == NULL)
        return jemi_fail_memory("matrix of a detector");
    return JEM_OK;
}

void jemi_linear_map_pack(jemi_linear_map *map)
{
    jemi_direct_pack(map->packed, map->matrix, map->out, map->in, 1, false);
}

void jemi_linear_map_fini(jemi_linear_map *map)
{
    jemi_free(map->matrix);
    jemi_free(map->bias);
    jemi_free(map->packed);
    *map = (jemi_linear_map){0};
}

void jemi_linear_map_run(const jemi_linear_map *map, int64_t n, const float *x, float *y)
{
    const jemi_direct product = {
        .n = n,
        .in = map->in,
        .out = map->out,
        .src_h = 1,
        .src_w = 1,
        .dst_h = 1,
        .dst_w = 1,
        .kernel = 1,
        .stride = 1,
        .weights = map->packed,
        .then = {.bias = map->bias, .channels = map->out},
    };
    jemi_direct_run(&product, x, y);
}
