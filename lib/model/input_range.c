/*
 * Which rows a model was not made for.
 */
#include <math.h>

#include "model/model.h"

// A standardisation that was computed in double is off by rounding.
static const float slack_of_width = 1e-4f;

// Smallest and largest value of a row.
typedef struct extremes {
    float low, high;
} extremes;

static extremes extremes_of(const float *row, int64_t count)
{
    extremes e = {row[0], row[0]};
    for (int64_t i = 1; i < count; i++) {
        e.low = row[i] < e.low ? row[i] : e.low;
        e.high = row[i] > e.high ? row[i] : e.high;
    }
    return e;
}

int64_t jemi_model_input_outside(const jem_model *model, int64_t n, const float *x,
                                 uint8_t *outside, float *low, float *high)
{
    const int64_t row_len = jemi_model_input_size(model);
    float from, to;
    jemi_model_input_range(model, &from, &to);
    const float slack = slack_of_width * (to - from);
    extremes all = {INFINITY, -INFINITY};
    int64_t n_outside = 0;
    for (int64_t i = 0; i < n; i++) {
        const extremes e = extremes_of(x + i * row_len, row_len);
        const bool is_outside = e.low < from - slack || e.high > to + slack;
        if (outside != NULL)
            outside[i] = is_outside;
        if (!is_outside)
            continue;
        n_outside++;
        all.low = fminf(all.low, e.low);
        all.high = fmaxf(all.high, e.high);
    }
    *low = n_outside > 0 ? all.low : 0.0f;
    *high = n_outside > 0 ? all.high : 0.0f;
    return n_outside;
}
