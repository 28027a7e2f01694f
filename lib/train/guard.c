/*
 * Limits of a step's figures. A false alarm costs good steps, so the limits are wide: what they
 * have to catch grows by orders of magnitude within a few steps.
 */
#include "train/guard.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

// Steps until the running means say something, and about how many they look back on.
enum { STEPS_MIN = 20, STEPS_WINDOW = 100 };

// A parameter vector whose root mean square is smaller is judged as if it were this large.
static const double param_rms_min = 0.01;

// An alarm: beyond `bound`, or beyond `factor` times the running mean of the sizes, which counts as
// `floor` while it is smaller.
typedef struct gauge {
    const char *name;
    double floor, factor, bound;
} gauge;

// Causes before their effects.
enum { SAMPLE_MAX, CHAIN_GRAD, F_DATA, F_SAMPLES, GAP, LOSS, GRAD, UPDATE };

static const gauge gauges[JEMI_GAUGES] = {
    [SAMPLE_MAX] = {"largest element of the samples", 1.0, 30.0, 1e6},
    [CHAIN_GRAD] = {"chain gradient norm", 1.0, 100.0, 1e12},
    [F_DATA] = {"mean F of the data", 1.0, 30.0, 1e6},
    [F_SAMPLES] = {"mean F of the samples", 1.0, 30.0, 1e6},
    [GAP] = {"gap of F between data and samples", 1.0, 30.0, 1e6},
    [LOSS] = {"loss", 1.0, 30.0, 1e9},
    [GRAD] = {"parameter gradient norm", 1.0, 100.0, 1e12},
    [UPDATE] = {"norm of the update against that of the parameters", 0.01, 30.0, 10.0},
};

// ---- birth, death ------------------------------------------------------------------------------

jem_status jemi_guard_create(jem_optimizer *optimizer, int64_t size)
{
    if (optimizer->guard != NULL)
        return JEM_OK;
    jemi_guard *guard = jemi_calloc(1, sizeof *guard);
    if (guard == NULL)
        return jemi_fail_memory("divergence guard");
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(optimizer, vectors);
    guard->params = jemi_alloc((size_t)size, sizeof *guard->params);
    bool complete = guard->params != NULL;
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++) {
        if (vectors[i].values == NULL)
            continue;
        guard->vectors[i] = jemi_alloc((size_t)vectors[i].count, sizeof(float));
        complete = complete && guard->vectors[i] != NULL;
    }
    if (!complete) {
        jemi_guard_destroy(guard);
        return jemi_fail_memory("snapshot of a training run");
    }
    optimizer->guard = guard;
    return JEM_OK;
}

void jemi_guard_destroy(jemi_guard *guard)
{
    if (guard == NULL)
        return;
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++)
        jemi_free(guard->vectors[i]);
    jemi_free(guard->params);
    jemi_free(guard);
}

// ---- the snapshot ------------------------------------------------------------------------------

static jem_status take_snapshot(const jemi_guarded *g, const float *params)
{
    jemi_guard *guard = g->optimizer->guard;
    guard->valid = false;
    if (g->sampler != NULL)
        JEMI_TRY(jemi_sampler_keep(g->sampler));
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(g->optimizer, vectors);
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++)
        if (vectors[i].values != NULL)
            memcpy(guard->vectors[i], vectors[i].values, (size_t)vectors[i].count * sizeof(float));
    memcpy(guard->params, params, (size_t)jemi_model_size(g->model) * sizeof *params);
    guard->steps = g->optimizer->steps;
    guard->valid = true;
    return JEM_OK;
}

static void return_to_snapshot(const jemi_guarded *g, float *params)
{
    const jemi_guard *guard = g->optimizer->guard;
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(g->optimizer, vectors);
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++)
        if (vectors[i].values != NULL)
            memcpy(vectors[i].values, guard->vectors[i], (size_t)vectors[i].count * sizeof(float));
    memcpy(params, guard->params, (size_t)jemi_model_size(g->model) * sizeof *params);
    g->optimizer->steps = guard->steps;
}

jem_status jemi_guard_begin(const jemi_guarded *g, const jemi_generation *now)
{
    JEMI_TRY(jemi_guard_create(g->optimizer, jemi_model_size(g->model)));
    jemi_guard *guard = g->optimizer->guard;
    if (guard->valid && guard->version != now->version) {
        guard->valid = false; // somebody else has written, perhaps another network altogether
        guard->n_means = 0;
    }
    const bool kept = g->sampler == NULL || g->sampler->kept.valid;
    return guard->valid && kept ? JEM_OK : take_snapshot(g, now->params);
}

// ---- alarms ------------------------------------------------------------------------------------

static void read_gauges(const jem_optimizer *optimizer, const jem_train_stats *stats,
                        double values[JEMI_GAUGES])
{
    const double count = (double)optimizer->fingerprint.param_count;
    values[LOSS] = stats->loss;
    values[GAP] = stats->gap;
    values[F_DATA] = stats->f_data;
    values[F_SAMPLES] = stats->f_samples;
    values[GRAD] = stats->grad_norm;
    values[CHAIN_GRAD] = stats->chain_grad_norm;
    values[SAMPLE_MAX] = stats->sample_max;
    values[UPDATE] = stats->update_norm / fmax(stats->param_norm, param_rms_min * sqrt(count));
}

static double limit_of(const jemi_guard *guard, int i)
{
    if (guard->n_means < STEPS_MIN)
        return gauges[i].bound;
    const double usual = fmax((double)guard->means[i], gauges[i].floor);
    return fmin(gauges[i].bound, gauges[i].factor * usual);
}

// Written so that NaN fails too.
jem_status jemi_guard_check(const jem_optimizer *optimizer, const jem_train_stats *stats)
{
    const jemi_guard *guard = optimizer->guard;
    double values[JEMI_GAUGES];
    read_gauges(optimizer, stats, values);
    for (int i = 0; i < JEMI_GAUGES; i++)
        if (!(fabs(values[i]) <= limit_of(guard, i)))
            return jemi_fail(JEM_EDIVERGED, "the %s is %g after %lld steps; at most %g is healthy",
                             gauges[i].name, values[i], (long long)stats->step, limit_of(guard, i));
    return JEM_OK;
}

static void follow(const jem_optimizer *optimizer, const jem_train_stats *stats)
{
    jemi_guard *guard = optimizer->guard;
    double values[JEMI_GAUGES];
    read_gauges(optimizer, stats, values);
    guard->n_means++;
    const double window = guard->n_means < STEPS_WINDOW ? (double)guard->n_means : STEPS_WINDOW;
    for (int i = 0; i < JEMI_GAUGES; i++)
        guard->means[i] += (float)((fabs(values[i]) - (double)guard->means[i]) / window);
}

void jemi_guard_passed(const jemi_guarded *g, const jem_train_stats *stats,
                       const jemi_generation *next)
{
    jemi_guard *guard = g->optimizer->guard;
    follow(g->optimizer, stats);
    guard->version = next->version;
    if (++guard->good >= g->config->guard_every)
        guard->tries = 0;
    if (g->optimizer->steps % g->config->guard_every == 0)
        take_snapshot(g, next->params); // without memory for it the next step tries again
}

jem_status jemi_guard_roll_back(const jemi_guarded *g, const jemi_draw *draw, jemi_generation *next)
{
    jem_optimizer *optimizer = g->optimizer;
    jemi_guard *guard = optimizer->guard;
    const int64_t alarmed = optimizer->steps + 1;
    return_to_snapshot(g, next->params);
    if (g->sampler != NULL)
        jemi_sampler_go_back(g->sampler, draw, limit_of(guard, SAMPLE_MAX));
    optimizer->epoch++;
    optimizer->config.lr = fmaxf(0.5f * optimizer->config.lr, FLT_MIN);
    guard->version = next->version;
    guard->good = 0;
    guard->tries++;
    jemi_log(JEM_LOG_WARNING, "rolled back from step %lld to %lld, learning rate %g, try %lld: %s",
             (long long)alarmed, (long long)guard->steps, (double)optimizer->config.lr,
             (long long)guard->tries, jemi_last_message());
    if (guard->tries < g->config->guard_tries)
        return JEM_OK;
    guard->tries = 0;
    return JEM_EDIVERGED; // in the words of the alarm
}
