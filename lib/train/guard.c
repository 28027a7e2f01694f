/*
 * Limits of a step's figures, and the two snapshots.
 *
 * A false alarm costs good steps, so the limits are wide. A run that explodes leaves the recent
 * mean behind within a few steps, one that drifts the long mean within a few e-folds, and where a
 * drift goes on from the start, so that every mean goes along, the first step tells.
 *
 * A state whose figures are good may still be on the way to ruin. Who alarms again soon after going
 * back goes to the older snapshot.
 */
#include "train/guard.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

// Good steps until the references say something, and how many they look back on.
static const struct {
    int64_t min, window;
} references[JEMI_REFERENCES] = {
    [JEMI_RECENT] = {20, 100},
    [JEMI_LONG] = {20, 2000},
    [JEMI_FIRST] = {1, 1},
};

// A parameter vector whose root mean square is smaller is judged as if it were this large.
static const double param_rms_min = 0.01;

// An alarm: beyond `bound`, or beyond a reference's mean of the sizes times its factor. The mean
// counts as `floor` while it is smaller.
typedef struct gauge {
    const char *name;
    double floor, bound;
    double factors[JEMI_REFERENCES];
} gauge;

// Causes before their effects.
enum { SAMPLE_MAX, CHAIN_GRAD, F_DATA, F_SAMPLES, GAP, LOSS, GRAD, UPDATE };

// Gradients jump, so that their means say less. How large the loss and its gradient may become
// depends on its weights; the figures that it is made of are compared with the first step.
static const gauge gauges[JEMI_GAUGES] = {
    [SAMPLE_MAX] = {"largest element of the samples", 1.0, 1e6, {30.0, 30.0, 1e4}},
    [CHAIN_GRAD] = {"chain gradient norm", 1.0, 1e12, {100.0, 60.0, 1e5}},
    [F_DATA] = {"mean F of the data", 1.0, 1e6, {30.0, 30.0, 1e4}},
    [F_SAMPLES] = {"mean F of the samples", 1.0, 1e6, {30.0, 30.0, 1e4}},
    [GAP] = {"gap of F between data and samples", 1.0, 1e6, {30.0, 30.0, 1e4}},
    [LOSS] = {"loss", 1.0, 1e9, {30.0, 30.0, INFINITY}},
    [GRAD] = {"parameter gradient norm", 1.0, 1e12, {100.0, 60.0, INFINITY}},
    [UPDATE] = {"norm of the update against that of the parameters",
                0.01,
                10.0,
                {30.0, 30.0, INFINITY}},
};

// ---- birth, death ------------------------------------------------------------------------------

jem_status jemi_guard_create(jemi_guard **out, const jem_optimizer *optimizer)
{
    jemi_guard *guard = jemi_calloc(1, sizeof *guard);
    if (guard == NULL)
        return jemi_fail_memory("divergence guard");
    for (int i = 0; i < JEMI_SNAPSHOTS; i++) {
        const jem_status status = jemi_snapshot_allocate(&guard->snapshots[i], optimizer);
        if (status != JEM_OK) {
            jemi_guard_destroy(guard);
            return status;
        }
    }
    *out = guard;
    return JEM_OK;
}

void jemi_guard_destroy(jemi_guard *guard)
{
    if (guard == NULL)
        return;
    for (int i = 0; i < JEMI_SNAPSHOTS; i++)
        jemi_snapshot_fini(&guard->snapshots[i]);
    jemi_free(guard);
}

jem_status jemi_guard_reserve_chains(jemi_guard *guard, const jem_sampler *sampler)
{
    for (int i = 0; i < JEMI_SNAPSHOTS && sampler != NULL; i++)
        JEMI_TRY(jemi_kept_chains_reserve(&guard->snapshots[i].chains, sampler));
    return JEM_OK;
}

// ---- snapshots ---------------------------------------------------------------------------------

static void forget_snapshots(jemi_guard *guard)
{
    for (int i = 0; i < JEMI_SNAPSHOTS; i++)
        guard->snapshots[i].valid = false;
}

void jemi_guard_catch_up(jemi_guard *guard, uint64_t version, const jem_sampler *sampler)
{
    if (guard == NULL)
        return;
    if (guard->version != version) {
        forget_snapshots(guard); // perhaps it is another network altogether
        guard->n_means = 0;
        guard->good = 0;
        guard->tries = 0;
    }
    if (sampler != NULL && guard->chains_version != sampler->version)
        forget_snapshots(guard);
}

int jemi_guard_count_snapshots(const jemi_guard *guard)
{
    int n = 0;
    while (guard != NULL && n < JEMI_SNAPSHOTS && guard->snapshots[n].valid)
        n++;
    return n;
}

static uint64_t version_of(const jem_sampler *sampler)
{
    return sampler != NULL ? sampler->version : 0;
}

jem_status jemi_guard_begin(const jemi_guarded *g, const jemi_generation *now)
{
    jem_optimizer *optimizer = g->optimizer;
    if (optimizer->guard == NULL)
        JEMI_TRY(jemi_guard_create(&optimizer->guard, optimizer));
    jemi_guard *guard = optimizer->guard;
    jemi_guard_catch_up(guard, now->version, g->sampler);
    if (guard->snapshots[0].valid)
        return JEM_OK;
    JEMI_TRY(jemi_guard_reserve_chains(guard, g->sampler));
    jemi_snapshot_take(&guard->snapshots[0], optimizer, g->sampler, now->params);
    guard->version = now->version;
    guard->chains_version = version_of(g->sampler);
    return JEM_OK;
}

static void swap_snapshots(jemi_guard *guard)
{
    const jemi_snapshot newest = guard->snapshots[0];
    guard->snapshots[0] = guard->snapshots[1];
    guard->snapshots[1] = newest;
}

// A step without the sampler of the snapshots cannot add one to them.
static bool snapshot_is_due(const jemi_guarded *g)
{
    const jemi_guard *guard = g->optimizer->guard;
    return g->optimizer->steps - guard->snapshots[0].steps >= g->config->guard_every &&
           guard->chains_version == version_of(g->sampler);
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
    const gauge *g = &gauges[i];
    double limit = g->bound;
    for (int r = 0; r < JEMI_REFERENCES; r++)
        if (guard->n_means >= references[r].min)
            limit = fmin(limit, g->factors[r] * fmax((double)guard->means[r][i], g->floor));
    return limit;
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

// What good step n, counted from 1, is worth in the mean of a reference.
static double weight_of(int reference, int64_t n)
{
    const int64_t window = references[reference].window;
    if (n <= window)
        return 1.0 / (double)n;
    return reference == JEMI_FIRST ? 0.0 : 1.0 / (double)window;
}

static void follow(const jem_optimizer *optimizer, const jem_train_stats *stats)
{
    jemi_guard *guard = optimizer->guard;
    double values[JEMI_GAUGES];
    read_gauges(optimizer, stats, values);
    guard->n_means++;
    for (int r = 0; r < JEMI_REFERENCES; r++) {
        const double weight = weight_of(r, guard->n_means);
        for (int i = 0; i < JEMI_GAUGES; i++)
            guard->means[r][i] += (float)(weight * (fabs(values[i]) - (double)guard->means[r][i]));
    }
}

void jemi_guard_pass(const jemi_guarded *g, const jem_train_stats *stats, const float *values,
                     uint64_t next)
{
    jemi_guard *guard = g->optimizer->guard;
    follow(g->optimizer, stats);
    guard->version = next;
    if (++guard->good >= g->config->guard_every)
        guard->tries = 0;
    if (!snapshot_is_due(g))
        return;
    swap_snapshots(guard);
    jemi_snapshot_take(&guard->snapshots[0], g->optimizer, g->sampler, values);
}

// ---- the way back ------------------------------------------------------------------------------

// The snapshot to go back to: the newest, unless that has been tried.
static jemi_snapshot *choose_snapshot(jemi_guard *guard)
{
    if (guard->tries > 0 && guard->snapshots[1].valid) {
        swap_snapshots(guard);
        guard->snapshots[1].valid = false;
    }
    return &guard->snapshots[0];
}

jem_status jemi_guard_roll_back(const jemi_guarded *g, const jemi_draw *draw, jemi_generation *next)
{
    jem_optimizer *optimizer = g->optimizer;
    jemi_guard *guard = optimizer->guard;
    jemi_snapshot *snapshot = choose_snapshot(guard);
    const int64_t alarmed = optimizer->steps + 1;
    jemi_snapshot_return(snapshot, optimizer, next->params);
    if (g->sampler != NULL)
        jemi_sampler_go_back(g->sampler, &snapshot->chains, draw, limit_of(guard, SAMPLE_MAX));
    optimizer->epoch++;
    optimizer->config.lr = fmaxf(0.5f * optimizer->config.lr, FLT_MIN);
    guard->version = next->version;
    guard->good = 0;
    guard->tries++;
    jemi_log(JEM_LOG_WARNING, "rolled back from step %lld to %lld, learning rate %g, try %lld: %s",
             (long long)alarmed, (long long)snapshot->steps, (double)optimizer->config.lr,
             (long long)guard->tries, jemi_last_message());
    if (guard->tries < g->config->guard_tries)
        return JEM_OK;
    guard->tries = 0;
    return JEM_EDIVERGED; // in the words of the alarm
}
