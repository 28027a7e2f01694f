/*
 * What a curve asks of its arrays.
 */
#include "detect/curve.h"

#include "base/status.h"

jem_status jemi_curve_set_points(jemi_curve *curve, int64_t n_points)
{
    curve->n_points = n_points;
    if (curve->room > 0 && curve->room < n_points)
        return jemi_fail(JEM_EINVAL, "room is %lld; expected at least %lld points, or 0",
                         (long long)curve->room, (long long)n_points);
    return JEM_OK;
}
