/*
 * The monitor: a test supermartingale against every law of scores that its calibration allows.
 *
 * A bet is an edge with bound u and a strength a > 1. It multiplies by
 *
 *     g = a / (1 + (a - 1) u)  where a score lies above the edge,  1 / (1 + (a - 1) u)  elsewhere,
 *
 * the likelihood ratio of "u, with its odds a-fold" against u. Where the part of scores above the
 * edge is S <= u, E g = (1 + (a - 1) S) / (1 + (a - 1) u) <= 1: rising in S, so u is the worst case.
 * A shift may begin at any input, so each bet is begun anew at each, with a weight. U(t) = 1 / ln(e
 * + t) is what is left of the weights after t inputs, and w(t) = U(t)^2 / (t + e), its derivative,
 * is at most U(t - 1) - U(t) as U is convex; a shift at input t costs ln t + 2 ln ln t nats of
 * evidence instead of growing with t. The evidence is
 *
 *     R_k(t) = g_k(x_t) (R_k(t - 1) + w(t)),   M(t) = mean of R_k(t) over all bets + U(t),   M(0) = 1
 *
 * (Shiryaev 1963 and Roberts 1966 have weights of 1). Given a calibration whose bounds hold,
 * E(M(t) | past) <= M(t - 1), so M ever exceeds 2 / alpha with probability alpha / 2 (Ville 1939);
 * the bounds fail with probability alpha / 2. Only the conditional law of each input given the past
 * was used, so inputs may depend on what came before as long as it allows no more of them above an
 * edge.
 *
 * Several workers: given the calibration, whose bounds hold for all of them or for none, each
 * worker's M is such a supermartingale also with respect to everything that all workers have seen,
 * as long as what the others see makes no input likelier above an edge. Expectations are linear, so
 * the mean of their M is one as well, also where a history counts twice, and it ever exceeds 2 /
 * alpha, whenever it is looked at, with probability alpha / 2. The mean of the R_k with U of the
 * inputs of all is no larger, because U falls.
 */
#ifndef JEMI_DETECT_MONITOR_H
#define JEMI_DETECT_MONITOR_H

#include "base/claim.h"
#include "detect/monitor_law.h"

enum {
    JEMI_MONITOR_STRENGTHS = 4,
    JEMI_MONITOR_BETS = JEMI_MONITOR_SIDES * JEMI_MONITOR_EDGES * JEMI_MONITOR_STRENGTHS
};

/** Inputs are not counted beyond it. */
#define JEMI_MONITOR_SEEN_MAX ((int64_t)1 << 52)
/** Nor does what a bet owns grow beyond it; who owns less bets less, so no promise depends on it. */
#define JEMI_MONITOR_WEALTH_MAX 0x1p900

/** All that inputs change. All members have 8 bytes, as those of jemi_monitor_law. */
typedef struct jemi_monitor_state {
    int64_t n_seen;
    int64_t alarm_at;                 /* n_seen at the alarm, 0 = none */
    double evidence, largest;         /* M now, and the largest that it was */
    double wealth[JEMI_MONITOR_BETS]; /* R, by side, edge and strength; 0 beyond those there are */
} jemi_monitor_state;

struct jem_monitor {
    jemi_monitor_law law;
    jemi_monitor_state state;
    double factors[JEMI_MONITOR_BETS]; /* 1 / (1 + (a - 1) u) */
    jemi_claim claim;
    jem_alarm_fn receive; /* NULL = none */
    void *user;
};

/** Takes over a law; no inputs. @return JEM_OK, JEM_ENOMEM. */
jem_status jemi_monitor_create(jem_monitor **out, const jemi_monitor_law *law);

/** Accepts NULL. */
void jemi_monitor_destroy(jem_monitor *monitor);

void jemi_monitor_start(jemi_monitor_state *state);

/** Scores without NaN. */
void jemi_monitor_update(jem_monitor *monitor, int64_t n, const float *scores);

/** M at which it alarms: 2 / alpha. */
double jemi_monitor_threshold(const jemi_monitor_law *law);

/** Adds what a worker has seen to `sum`, which was zeroed before the first. */
void jemi_monitor_add(jemi_monitor_state *sum, const jemi_monitor_state *worker);

/** The state becomes the mean of the `n` that were added; its largest evidence and alarm stay. */
void jemi_monitor_set_mean(jem_monitor *monitor, int64_t n, const jemi_monitor_state *sum);

#endif
