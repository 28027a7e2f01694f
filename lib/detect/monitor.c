#include "detect/monitor.h"

#include <string.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "base/status.h"

static const double e = 2.71828182845904523536;
static const double strengths[JEMI_MONITOR_STRENGTHS] = {1.25, 2.0, 5.0, 20.0};

static double *bets_of(double *bets, int64_t side, int64_t edge)
{
    return bets + (side * JEMI_MONITOR_EDGES + edge) * JEMI_MONITOR_STRENGTHS;
}

// U of monitor.h.
static double unspent(int64_t n_seen)
{
    return 1.0 / jemi_ln(e + (double)n_seen);
}

static int64_t count_bets(const jemi_monitor_law *law)
{
    int64_t n_edges = 0;
    for (int64_t s = 0; s < law->n_sides; s++)
        n_edges += law->sides[s].n;
    return n_edges * JEMI_MONITOR_STRENGTHS;
}

double jemi_monitor_threshold(const jemi_monitor_law *law)
{
    return 1.0 / ((1.0 - JEMI_MONITOR_CALIBRATION_SHARE) * law->alpha);
}

void jemi_monitor_start(jemi_monitor_state *state)
{
    memset(state, 0, sizeof *state);
    state->evidence = state->largest = 1.0;
}

jem_status jemi_monitor_create(jem_monitor **out, const jemi_monitor_law *law)
{
    jem_monitor *monitor = jemi_calloc(1, sizeof *monitor);
    if (monitor == NULL)
        return jemi_fail_memory("monitor");
    monitor->law = *law;
    jemi_monitor_start(&monitor->state);
    for (int64_t s = 0; s < law->n_sides; s++)
        for (int64_t j = 0; j < law->sides[s].n; j++)
            for (int a = 0; a < JEMI_MONITOR_STRENGTHS; a++)
                bets_of(monitor->factors, s, j)[a] =
                    1.0 / (1.0 + (strengths[a] - 1.0) * law->sides[s].bounds[j]);
    *out = monitor;
    return JEM_OK;
}

void jemi_monitor_destroy(jem_monitor *monitor)
{
    jemi_free(monitor);
}

// Bets on a score, what each owns and what it begins with; returns the sum of what they own then.
static double bet(jem_monitor *monitor, double score, double begun)
{
    double sum = 0.0;
    for (int64_t s = 0; s < monitor->law.n_sides; s++) {
        const jemi_monitor_side *side = &monitor->law.sides[s];
        const double value = s == 0 ? score : -score;
        for (int64_t j = 0; j < side->n; j++) {
            const bool above = value > side->edges[j];
            const double *factors = bets_of(monitor->factors, s, j);
            double *wealth = bets_of(monitor->state.wealth, s, j);
            for (int a = 0; a < JEMI_MONITOR_STRENGTHS; a++) {
                const double won = factors[a] * (above ? strengths[a] : 1.0);
                const double owned = won * (wealth[a] + begun);
                wealth[a] = owned < JEMI_MONITOR_WEALTH_MAX ? owned : JEMI_MONITOR_WEALTH_MAX;
                sum += wealth[a];
            }
        }
    }
    return sum;
}

static void note_evidence(jem_monitor *monitor, double evidence)
{
    jemi_monitor_state *state = &monitor->state;
    state->evidence = evidence;
    if (state->evidence > state->largest)
        state->largest = state->evidence;
    if (state->alarm_at == 0 && state->evidence >= jemi_monitor_threshold(&monitor->law))
        state->alarm_at = state->n_seen;
}

static int64_t counted(int64_t n_seen)
{
    return n_seen < JEMI_MONITOR_SEEN_MAX ? n_seen : JEMI_MONITOR_SEEN_MAX;
}

void jemi_monitor_update(jem_monitor *monitor, int64_t n, const float *scores)
{
    int64_t *t = &monitor->state.n_seen;
    const double n_bets = (double)count_bets(&monitor->law);
    for (int64_t i = 0; i < n; i++) {
        *t = counted(*t + 1);
        const double left = unspent(*t), begun = left * left / (e + (double)*t);
        note_evidence(monitor, bet(monitor, (double)scores[i], begun) / n_bets + left);
    }
}

void jemi_monitor_add(jemi_monitor_state *sum, const jemi_monitor_state *worker)
{
    sum->n_seen = counted(sum->n_seen + worker->n_seen);
    for (int k = 0; k < JEMI_MONITOR_BETS; k++)
        sum->wealth[k] += worker->wealth[k];
}

void jemi_monitor_set_mean(jem_monitor *monitor, int64_t n, const jemi_monitor_state *sum)
{
    double wealth = 0.0;
    monitor->state.n_seen = sum->n_seen;
    for (int k = 0; k < JEMI_MONITOR_BETS; k++) {
        monitor->state.wealth[k] = sum->wealth[k] / (double)n;
        wealth += monitor->state.wealth[k];
    }
    note_evidence(monitor,
                  wealth / (double)count_bets(&monitor->law) + unspent(monitor->state.n_seen));
}
