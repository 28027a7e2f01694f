/*
 * Bounds of single values are rounded inwards, and a point of the L2 ball is drawn in until its
 * distance, as floats have it, is within eps. Everything here is serial: the rows are shared out.
 */
#include "detect/attack_ball.h"

#include <math.h>

#include "base/elementary.h"
#include "kernels/noise.h"
#include "kernels/vector.h"

static double count_changed(const float *x, const float *point, int64_t count)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        n += x[i] != point[i];
    return (double)n;
}

static double largest_change(const float *x, const float *point, int64_t count)
{
    double largest = 0.0;
    for (int64_t i = 0; i < count; i++)
        if (fabs((double)point[i] - x[i]) > largest)
            largest = fabs((double)point[i] - x[i]);
    return largest;
}

// In double from the floats: a difference that is rounded first could hide what is above eps.
static double euclidean(const float *x, const float *point, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = (double)point[i] - x[i];
        sum += difference * difference;
    }
    return sqrt(sum);
}

double jemi_ball_distance(const jemi_ball *ball, const float *x, const float *point)
{
    if (ball->norm == JEM_NORM_L0)
        return count_changed(x, point, ball->row_len);
    return ball->norm == JEM_NORM_L2 ? euclidean(x, point, ball->row_len)
                                     : largest_change(x, point, ball->row_len);
}

// The floats next to x - eps and x + eps, on the side of x.
static inline float least(float x, double eps)
{
    const double bound = x - eps;
    const float rounded = (float)bound;
    return rounded < bound ? nextafterf(rounded, INFINITY) : rounded;
}

static inline float most(float x, double eps)
{
    const double bound = x + eps;
    const float rounded = (float)bound;
    return rounded > bound ? nextafterf(rounded, -INFINITY) : rounded;
}

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

// Values of one channel to at most eps from x, and to the range.
static void clamp_channel(float low, float high, double eps, int64_t count, const float *x,
                          float *point)
{
    for (int64_t i = 0; i < count; i++) {
        const float from = larger(smaller(low, x[i]), least(x[i], eps));
        const float to = smaller(larger(high, x[i]), most(x[i], eps));
        point[i] = smaller(larger(point[i], from), to);
    }
}

static void clamp_values(const jemi_ball *ball, const float *x, double eps, float *point)
{
    for (int64_t c = 0; c * ball->pixels < ball->row_len; c++)
        clamp_channel(ball->low[c], ball->high[c], eps, ball->pixels, x + c * ball->pixels,
                      point + c * ball->pixels);
}

void jemi_ball_clip(const jemi_ball *ball, const float *x, float *point)
{
    clamp_values(ball, x, (double)INFINITY, point);
}

// Rounding may leave a point outside, so it is aimed ever deeper inside; in the end it is x, which
// also stands for a point that is not finite.
static void draw_in(const float *x, int64_t count, double eps, float *point)
{
    double margin = 0x1p-22;
    for (double norm = euclidean(x, point, count); !(norm <= eps);
         norm = euclidean(x, point, count)) {
        const double scale = margin < 1.0 ? eps * (1.0 - margin) / norm : 0.0;
        for (int64_t i = 0; i < count; i++)
            point[i] = scale > 0.0 ? (float)(x[i] + scale * ((double)point[i] - x[i])) : x[i];
        margin *= 2.0;
    }
}

// Clipping moves values towards x, so it comes last.
void jemi_ball_project(const jemi_ball *ball, const float *x, float *point)
{
    if (ball->norm == JEM_NORM_L2)
        draw_in(x, ball->row_len, ball->eps, point);
    clamp_values(ball, x, ball->norm == JEM_NORM_LINF ? ball->eps : (double)INFINITY, point);
}

static inline float sign_of(float value)
{
    return (float)((value > 0.0f) - (value < 0.0f));
}

void jemi_ball_descend(const jemi_ball *ball, const float *x, const float *point, const float *grad,
                       double step, float *out)
{
    const int64_t count = ball->row_len;
    if (ball->norm == JEM_NORM_LINF) {
        for (int64_t i = 0; i < count; i++)
            out[i] = point[i] - (float)step * sign_of(grad[i]);
    } else {
        const double norm = sqrt(jemi_sum_squares(grad, count));
        const double scale = norm > 0.0 ? step / norm : 0.0;
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)(point[i] - scale * grad[i]);
    }
    jemi_ball_project(ball, x, out);
}

// A normal direction, and a radius whose power of the dimension is uniform.
static void draw_in_ball(const jemi_ball *ball, const float *x, jemi_random_key key, uint32_t row,
                         uint64_t moment, float *point)
{
    const int64_t count = ball->row_len;
    jemi_fill_normal(point, count, key, row, moment);
    const uint32_t radius_block = UINT32_MAX; // beyond those of the direction
    const double u = jemi_unit_from_u32(jemi_random_u32(key, radius_block, row, moment));
    const double norm = sqrt(jemi_sum_squares(point, count));
    const double radius = ball->eps * jemi_exp(jemi_ln(u) / (double)count);
    const double scale = norm > 0.0 ? radius / norm : 0.0;
    for (int64_t i = 0; i < count; i++)
        point[i] = (float)(x[i] + scale * point[i]);
}

void jemi_ball_draw(const jemi_ball *ball, const float *x, jemi_random_key key, uint32_t row,
                    uint64_t moment, float *point)
{
    if (ball->norm == JEM_NORM_L2) {
        draw_in_ball(ball, x, key, row, moment, point);
    } else {
        jemi_fill_uniform(point, ball->row_len, -ball->eps, ball->eps, key, row, moment);
        for (int64_t i = 0; i < ball->row_len; i++)
            point[i] += x[i];
    }
    jemi_ball_project(ball, x, point);
}
