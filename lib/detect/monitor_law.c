#include "detect/monitor_law.h"

#include <math.h>

#include "base/memory.h"
#include "base/status.h"
#include "detect/binomial.h"
#include "detect/sorted.h"

_Static_assert(sizeof(jemi_monitor_law) ==
                   8 * (4 + JEMI_MONITOR_SIDES * (1 + 2 * JEMI_MONITOR_EDGES)),
               "no padding");

// Ranks from the top, each about twice the one before; at most (n + 1) / 2. Returns how many.
static int list_ranks(int64_t n, int64_t ranks[JEMI_MONITOR_EDGES])
{
    int halvings = 1, count = 0;
    while (halvings < JEMI_MONITOR_EDGES && (n + 1) >> (halvings + 1) > 0)
        halvings++;
    for (int h = halvings; h >= 1; h--)
        ranks[count++] = (n + 1) >> h;
    return count;
}

// Of tied edges the first has the smallest bound.
static void fit_side(jemi_monitor_side *side, const jemi_monitor_law *law, const float *sorted,
                     double sign)
{
    const int64_t n = law->n_calibrated;
    int64_t ranks[JEMI_MONITOR_EDGES];
    const int n_ranks = list_ranks(n, ranks);
    const double level =
        JEMI_MONITOR_CALIBRATION_SHARE * law->alpha / (double)(n_ranks * law->n_sides);
    for (int i = 0; i < n_ranks; i++) {
        const double edge = sign * (double)sorted[sign > 0.0 ? n - ranks[i] : ranks[i] - 1] + 0.0;
        if (side->n > 0 && edge == side->edges[side->n - 1])
            continue;
        side->edges[side->n] = edge;
        side->bounds[side->n] =
            fmin(jemi_binomial_limit(n, ranks[i] - 1, level) + law->tolerance, 1.0);
        side->n++;
    }
}

jem_status jemi_monitor_law_fit(jemi_monitor_law *law, const jem_monitor_config *config, int64_t n,
                                const float *scores)
{
    float *sorted = jemi_alloc((size_t)n, sizeof *sorted);
    if (sorted == NULL)
        return jemi_fail_memory("calibration of a monitor");
    for (int64_t i = 0; i < n; i++)
        sorted[i] = scores[i];
    jemi_sort_floats(n, sorted);
    law->alpha = config->alpha;
    law->tolerance = config->tolerance;
    law->n_calibrated = n;
    law->n_sides = config->two_sided != 0 ? 2 : 1;
    fit_side(&law->sides[0], law, sorted, 1.0);
    if (law->n_sides == 2)
        fit_side(&law->sides[1], law, sorted, -1.0);
    jemi_free(sorted);
    return JEM_OK;
}

static bool side_is_sound(const jemi_monitor_side *side)
{
    if (side->n < 1 || side->n > JEMI_MONITOR_EDGES)
        return false;
    for (int64_t j = 0; j < side->n; j++)
        if (isnan(side->edges[j]) || (j > 0 && !(side->edges[j] < side->edges[j - 1])) ||
            !(side->bounds[j] > 0.0 && side->bounds[j] <= 1.0))
            return false;
    return true;
}

bool jemi_monitor_law_is_sound(const jemi_monitor_law *law)
{
    if (!(law->alpha > 0.0 && law->alpha < 1.0) || law->n_calibrated < 1 || law->n_sides < 1 ||
        law->n_sides > JEMI_MONITOR_SIDES)
        return false;
    for (int64_t s = 0; s < law->n_sides; s++)
        if (!side_is_sound(&law->sides[s]))
            return false;
    return true;
}
