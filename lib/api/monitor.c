/*
 * The monitor: settings, calibration, inputs, snapshots, several workers.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "base/elementary.h"
#include "base/environment.h"
#include "detect/monitor.h"
#include "detect/monitor_snapshot.h"

#define ALPHA_LEAST 1e-9

JEM_API jem_status jem_monitor_config_init(jem_monitor_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_monitor_config defaults = {
        .struct_size = sizeof defaults,
        .alpha = 0.01,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_monitor_config");
}

static jem_status read_config(const jem_monitor_config *config, jem_monitor_config *own)
{
    JEMI_TRY(jem_monitor_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_monitor_config"));
    JEMI_TRY(jemi_check_range(own->alpha, ALPHA_LEAST, 0.5, "alpha"));
    JEMI_TRY(jemi_check_range(own->tolerance, 0.0, 1.0, "tolerance"));
    JEMI_TRY(jemi_check_flag(own->two_sided, "two_sided"));
    return jemi_config_check_reserved(own->reserved, "jem_monitor_config");
}

static jem_status check_scores(int64_t n, const float *scores, const char *name)
{
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_array(n, scores, name));
    for (int64_t i = 0; i < n; i++)
        if (isnan(scores[i]))
            return jemi_fail(JEM_EINVAL, "%s[%lld] is NaN; expected a number or an infinity", name,
                             (long long)i);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_create(jem_monitor **out, const jem_monitor_config *config,
                                      int64_t n, const float *calibration_scores)
{
    JEMI_OWN_ENVIRONMENT;
    jem_monitor_config own;
    jemi_monitor_law law = {0};
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(read_config(config, &own));
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(check_scores(n, calibration_scores, "calibration_scores"));
    JEMI_TRY(jemi_monitor_law_fit(&law, &own, n, calibration_scores));
    return jemi_monitor_create(out, &law);
}

JEM_API void jem_monitor_destroy(jem_monitor *monitor)
{
    jemi_monitor_destroy(monitor);
}

// Reading needs the claim as well: it is no part of what is const.
static jem_status take(const jem_monitor *monitor, const char *name)
{
    JEMI_TRY(jemi_check_pointer(monitor, name));
    return jemi_claim_take((jemi_claim *)&monitor->claim, "monitor");
}

static void release(const jem_monitor *monitor)
{
    jemi_claim_release((jemi_claim *)&monitor->claim);
}

static jem_monitor_info info_of(const jem_monitor *monitor)
{
    const jemi_monitor_law *law = &monitor->law;
    const jemi_monitor_state *state = &monitor->state;
    return (jem_monitor_info){
        .struct_size = sizeof(jem_monitor_info),
        .n_seen = state->n_seen,
        .alarm_at = state->alarm_at,
        .n_calibrated = law->n_calibrated,
        .alpha = law->alpha,
        .tolerance = law->tolerance,
        .log_evidence = jemi_ln(state->evidence),
        .log_evidence_max = jemi_ln(state->largest),
        .log_threshold = jemi_ln(jemi_monitor_threshold(law)),
        .two_sided = law->n_sides == 2,
        .alarm = state->alarm_at > 0,
        .bytes = sizeof *monitor,
    };
}

// What calls that may raise the alarm end with. The receiver may use the monitor, so it is released.
static void finish(jem_monitor *monitor, bool had_alarm)
{
    const jem_monitor_info info = info_of(monitor);
    const jem_alarm_fn receive = monitor->receive;
    void *user = monitor->user;
    release(monitor);
    if (had_alarm || info.alarm == 0 || receive == NULL)
        return;
    const int begun = jemi_environment_host_begin();
    receive(user, &info);
    jemi_environment_host_end(begun);
}

JEM_API jem_status jem_monitor_update(jem_monitor *monitor, int64_t n, const float *scores,
                                      int32_t *alarm)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_scores(n, scores, "scores"));
    JEMI_TRY(take(monitor, "monitor"));
    const bool had_alarm = monitor->state.alarm_at > 0;
    jemi_monitor_update(monitor, n, scores);
    if (alarm != NULL)
        *alarm = monitor->state.alarm_at > 0;
    finish(monitor, had_alarm);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_set_alarm(jem_monitor *monitor, jem_alarm_fn receive, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(take(monitor, "monitor"));
    monitor->receive = receive;
    monitor->user = user;
    release(monitor);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_reset(jem_monitor *monitor)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(take(monitor, "monitor"));
    jemi_monitor_start(&monitor->state);
    release(monitor);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_get_info(const jem_monitor *monitor, jem_monitor_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(info, "info"));
    JEMI_TRY(jemi_config_check_out(info, "jem_monitor_info"));
    JEMI_TRY(take(monitor, "monitor"));
    const jem_monitor_info own = info_of(monitor);
    release(monitor);
    jemi_config_write(info, &own, sizeof own);
    return JEM_OK;
}

// `wrong` is the status of another size.
static jem_status check_bytes(size_t size, const uint8_t *bytes, jem_status wrong)
{
    JEMI_TRY(jemi_check_pointer(bytes, "bytes"));
    if (size != JEM_MONITOR_SNAPSHOT_BYTES)
        return jemi_fail(wrong, "size is %zu; expected JEM_MONITOR_SNAPSHOT_BYTES, %d", size,
                         (int)JEM_MONITOR_SNAPSHOT_BYTES);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_snapshot(const jem_monitor *monitor, size_t size, uint8_t *bytes)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_bytes(size, bytes, JEM_EINVAL));
    JEMI_TRY(take(monitor, "monitor"));
    jemi_monitor_snapshot_write(monitor, bytes);
    release(monitor);
    return JEM_OK;
}

JEM_API jem_status jem_monitor_restore(jem_monitor **out, size_t size, const uint8_t *bytes)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(check_bytes(size, bytes, JEM_EFORMAT));
    return jemi_monitor_snapshot_read(out, bytes);
}

// Laws are zeroed beyond what they use.
static jem_status add_worker(jemi_monitor_state *sum, const jem_monitor *worker,
                             const jemi_monitor_law *law)
{
    JEMI_TRY(take(worker, "a worker"));
    const bool same = memcmp(&worker->law, law, sizeof *law) == 0;
    if (same)
        jemi_monitor_add(sum, &worker->state);
    release(worker);
    return same ? JEM_OK
                : jemi_fail(JEM_EMISMATCH, "a worker has another calibration or other settings; "
                                           "expected those of the monitor");
}

JEM_API jem_status jem_monitor_merge(jem_monitor *monitor, int64_t n, jem_monitor *const *workers)
{
    JEMI_OWN_ENVIRONMENT;
    jemi_monitor_state sum = {0};
    JEMI_TRY(jemi_check_pointer(monitor, "monitor"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_array(n, workers, "workers"));
    for (int64_t i = 0; i < n; i++) // the law never changes
        JEMI_TRY(add_worker(&sum, workers[i], &monitor->law));
    JEMI_TRY(take(monitor, "monitor"));
    const bool had_alarm = monitor->state.alarm_at > 0;
    if (n > 0)
        jemi_monitor_set_mean(monitor, n, &sum);
    finish(monitor, had_alarm);
    return JEM_OK;
}
