/*
 * The end of statistics, whole or half-built.
 */
#include "detect/feature_stats.h"

#include "base/memory.h"

void jemi_feature_stats_fini(jemi_feature_stats *stats)
{
    jemi_linear_map_fini(&stats->basis);
    jemi_bank_fini(&stats->bank);
    jemi_tied_gaussian_fini(&stats->tied);
    jemi_tied_gaussian_fini(&stats->background);
    jemi_tied_gaussian_fini(&stats->unit);
    jemi_free(stats->origin);
    jemi_free(stats->mean);
    *stats = (jemi_feature_stats){0};
}
