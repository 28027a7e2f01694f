/*
 * Rows of features through all maps that are fitted.
 */
#include "detect/feature_maps.h"

#include <math.h>
#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"
#include "kernels/vector.h"

static bool make_rows(float **rows, int64_t n, int64_t width)
{
    if (width > 0)
        *rows = jemi_alloc((size_t)(n * jemi_linear_map_stride(width)), sizeof **rows);
    return width == 0 || *rows != NULL;
}

jem_status jemi_feature_maps_create(jemi_feature_maps *maps, const jemi_feature_stats *stats,
                                    int64_t n)
{
    maps->n = n;
    maps->squares = jemi_alloc((size_t)n, sizeof *maps->squares);
    maps->beside = jemi_alloc((size_t)n, sizeof *maps->beside);
    if (make_rows(&maps->z, n, stats->rank) && make_rows(&maps->unit_z, n, stats->rank) &&
        make_rows(&maps->tied, n, stats->tied.map.out) &&
        make_rows(&maps->background, n, stats->background.map.out) &&
        make_rows(&maps->unit, n, stats->unit.map.out) && maps->squares != NULL &&
        maps->beside != NULL)
        return JEM_OK;
    return jemi_fail_memory("coordinates of features");
}

void jemi_feature_maps_fini(jemi_feature_maps *maps)
{
    jemi_free(maps->z);
    jemi_free(maps->unit_z);
    jemi_free(maps->tied);
    jemi_free(maps->background);
    jemi_free(maps->unit);
    jemi_free(maps->squares);
    jemi_free(maps->beside);
    *maps = (jemi_feature_maps){0};
}

// Coordinates of h / |h|, and the squares of what h has in all and beside the basis.
static void measure(const jemi_feature_maps *maps, const jemi_feature_stats *stats, int64_t i,
                    const float *features)
{
    const int64_t stride = jemi_linear_map_stride(stats->rank);
    float *unit = maps->unit_z + i * stride;
    const double square = jemi_sum_squares(features, stats->width);
    const double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    double along = 0.0;
    for (int64_t k = 0; k < stats->rank; k++) {
        const double whole = jemi_feature_coordinate(maps, stats, i, k);
        along += whole * whole;
        unit[k] = (float)(scale * whole);
    }
    for (int64_t k = stats->rank; k < stride; k++)
        unit[k] = 0.0f;
    maps->squares[i] = square;
    maps->beside[i] = fmax(square - along, 0.0);
}

double jemi_feature_beside_principal(const jemi_feature_maps *maps, const jemi_feature_stats *stats,
                                     int64_t i)
{
    double left = maps->squares[i];
    for (int64_t k = 0; k < stats->vim_rank; k++) {
        const double whole = jemi_feature_coordinate(maps, stats, i, k);
        left -= whole * whole;
    }
    return fmax(left, 0.0);
}

static void run_map(const jemi_linear_map *map, int64_t begin, int64_t end, const float *x,
                    float *y)
{
    if (map->out > 0)
        jemi_linear_map_run(map, end - begin, x + begin * jemi_linear_map_stride(map->in),
                            y + begin * jemi_linear_map_stride(map->out));
}

void jemi_feature_maps_fill(const jemi_feature_maps *maps, const jemi_feature_stats *stats,
                            int64_t begin, int64_t end, const float *features)
{
    const int64_t stride = jemi_linear_map_stride(stats->width);
    run_map(&stats->basis, begin, end, features, maps->z);
    for (int64_t i = begin; i < end; i++)
        measure(maps, stats, i, features + i * stride);
    run_map(&stats->tied.map, begin, end, maps->z, maps->tied);
    run_map(&stats->background.map, begin, end, maps->z, maps->background);
    run_map(&stats->unit.map, begin, end, maps->unit_z, maps->unit);
}
