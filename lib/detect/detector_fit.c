/*
 * What is learnt is built aside and takes its place when all of it is there.
 */
#include "detect/detector_fit.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "detect/detector_rows.h"
#include "detect/feature_fit.h"
#include "ebm/low_rank.h"
#include "kernels/vector.h"

int64_t jemi_detector_fit_visits(int64_t n)
{
    return n * (1 + JEMI_LOW_RANK_PASSES);
}

// ---- statistics of training rows ---------------------------------------------------------------

// Logits and features of all rows, and the classes they count as.
typedef struct learning {
    jemi_detector_values values;
    int64_t *labels;
    int64_t n_classes, stride; // of features
} learning;

static void learning_fini(learning *l)
{
    jemi_free(l->values.logits);
    jemi_free(l->values.features);
    jemi_free(l->labels);
}

static jem_status learning_init(learning *l, const jem_model *model, int64_t n)
{
    size_t logits, features;
    l->n_classes = jemi_model_classes(model);
    l->stride = jemi_linear_map_stride(jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES));
    if (!jemi_mul((size_t)n, (size_t)l->n_classes, &logits) ||
        !jemi_mul((size_t)n, (size_t)l->stride, &features))
        return jemi_fail_memory("features of training rows");
    l->values.logits = jemi_alloc(logits, sizeof(float));
    l->values.features = jemi_alloc(features, sizeof(float));
    l->labels = jemi_alloc((size_t)n, sizeof *l->labels);
    if (l->values.logits == NULL || l->values.features == NULL || l->labels == NULL)
        return jemi_fail_memory("features of training rows");
    return JEM_OK;
}

// Rows that overflow have no features to learn from: they are left out.
static int64_t drop_overflows(learning *l, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *logits = l->values.logits + i * l->n_classes;
        const float *features = l->values.features + i * l->stride;
        if (!jemi_all_finite(logits, l->n_classes, NULL) ||
            !jemi_all_finite(features, l->stride, NULL))
            continue;
        memmove(l->values.logits + kept * l->n_classes, logits,
                (size_t)l->n_classes * sizeof *logits);
        memmove(l->values.features + kept * l->stride, features,
                (size_t)l->stride * sizeof *features);
        l->labels[kept++] = l->labels[i];
    }
    return kept;
}

static jem_status take_rows(learning *l, const jem_model *model, jemi_runner *runner,
                            const jemi_detector_data *data, jemi_progress *progress)
{
    const int64_t row_len = jemi_model_input_size(model);
    for (int64_t first = 0; first < data->n; first += JEMI_DETECTOR_ROWS) {
        const int64_t left = data->n - first;
        const int64_t n = left < JEMI_DETECTOR_ROWS ? left : JEMI_DETECTOR_ROWS;
        const jemi_detector_values values = {l->values.logits + first * l->n_classes,
                                             l->values.features + first * l->stride};
        JEMI_TRY(jemi_detector_values_of(model, runner, n, data->x + first * row_len, &values));
        for (int64_t i = 0; i < n; i++)
            l->labels[first + i] =
                data->labels != NULL
                    ? data->labels[first + i]
                    : jemi_detector_label(l->n_classes, values.logits + i * l->n_classes);
        JEMI_TRY(jemi_progress_add(progress, n));
    }
    return JEM_OK;
}

static jemi_feature_request request_of(const jem_detector *detector)
{
    const uint64_t kinds = detector->config.kinds;
    const uint64_t relative = (uint64_t)1 << JEM_SCORE_RELATIVE_MAHALANOBIS;
    return (jemi_feature_request){
        .tied = (kinds & ((uint64_t)1 << JEM_SCORE_MAHALANOBIS | relative)) != 0,
        .background = (kinds & relative) != 0,
        .unit = (kinds & (uint64_t)1 << JEM_SCORE_UNIT_MAHALANOBIS) != 0,
        .bank = (kinds & (uint64_t)1 << JEM_SCORE_KNN) != 0,
        .rank_max = detector->config.rank,
        .bank_bytes = detector->config.bank_bytes,
        .react_percentile = (double)detector->scores.react_percentile,
        .seed = detector->config.seed,
    };
}

static jem_status learn(learning *l, const jem_detector *detector, const jem_model *model,
                        jemi_runner *runner, const jemi_detector_data *data,
                        jemi_progress *progress, jemi_feature_stats *stats)
{
    JEMI_TRY(learning_init(l, model, data->n));
    JEMI_TRY(take_rows(l, model, runner, data, progress));
    const int64_t n = drop_overflows(l, data->n);
    if (n < 2)
        return jemi_fail(JEM_EINVAL,
                         "%lld of %lld rows do not overflow in the network; expected "
                         "2 or more",
                         (long long)n, (long long)data->n);
    const jemi_feature_rows rows = {.n = n,
                                    .width = jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES),
                                    .stride = l->stride,
                                    .features = l->values.features,
                                    .n_classes = l->n_classes,
                                    .logits = l->values.logits,
                                    .labels = l->labels};
    const jemi_feature_request request = request_of(detector);
    return jemi_feature_stats_fit(stats, &request, &rows, progress);
}

// What belongs to other parameters is void.
static void belong_to(jem_detector *detector, const jem_model *model, const jemi_runner *runner)
{
    detector->precision = model->exec.precision_scoring;
    detector->digest = jemi_detector_digest(model, runner);
    atomic_store_explicit(&detector->verified, jemi_runner_generation(runner)->version,
                          memory_order_relaxed);
}

jem_status jemi_detector_fit(jem_detector *detector, const jem_model *model,
                             const jemi_detector_data *data, jemi_progress *progress)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    learning l = {.labels = NULL};
    jemi_feature_stats stats = {0};
    const jem_status status = learn(&l, detector, model, runner, data, progress, &stats);
    learning_fini(&l);
    if (status == JEM_OK) {
        jemi_feature_stats_fini(&detector->stats);
        jemi_calibration_fini(&detector->calibration);
        detector->stats = stats;
        detector->n_fitted = data->n;
        belong_to(detector, model, runner);
    } else {
        jemi_feature_stats_fini(&stats);
    }
    jemi_runner_return(runner);
    return status;
}

// ---- calibration -------------------------------------------------------------------------------

typedef struct calibrating {
    jemi_detector_work work;
    float *scores;   // (n, n_kinds)
    int64_t *labels; // (n), predicted
} calibrating;

static jem_status score_all(calibrating *c, const jem_detector *detector, const jem_model *model,
                            jemi_runner *runner, const jemi_detector_data *data,
                            jemi_progress *progress)
{
    const int64_t row_len = jemi_model_input_size(model), n_classes = jemi_model_classes(model);
    for (int64_t first = 0; first < data->n; first += JEMI_DETECTOR_ROWS) {
        const int64_t left = data->n - first;
        const int64_t n = left < JEMI_DETECTOR_ROWS ? left : JEMI_DETECTOR_ROWS;
        JEMI_TRY(jemi_detector_score_rows(detector, model, runner, -1, n, data->x + first * row_len,
                                          &c->work));
        memcpy(c->scores + first * detector->n_kinds, c->work.scores,
               (size_t)(n * detector->n_kinds) * sizeof *c->scores);
        for (int64_t i = 0; i < n; i++)
            c->labels[first + i] =
                jemi_detector_label(n_classes, c->work.values.logits + i * n_classes);
        JEMI_TRY(jemi_progress_add(progress, n));
    }
    return JEM_OK;
}

static jem_status fit_calibration(const jem_detector *detector, const jemi_scored_rows *rows,
                                  jemi_calibration *next)
{
    const jem_detector_config *config = &detector->config;
    bool two_sided[JEMI_KINDS_MAX];
    for (int32_t k = 0; k < detector->n_kinds; k++)
        two_sided[k] = (config->two_sided >> detector->kinds[k]->kind & 1) != 0;
    const bool alone = detector->n_kinds == 1 && !two_sided[0];
    next->n_kinds = detector->n_kinds;
    next->combine = alone ? 0 : config->combine;
    next->n_groups = config->per_class ? detector->fingerprint.classes : 1;
    JEMI_TRY(jemi_calibration_fit(next, two_sided, config->seed, rows));
    return jemi_calibration_set_threshold(next, config->fpr, config->confidence);
}

static jem_status calibrate(calibrating *c, const jem_detector *detector, const jem_model *model,
                            jemi_runner *runner, const jemi_detector_data *data,
                            jemi_progress *progress, jemi_calibration *next)
{
    size_t count;
    if (!jemi_mul((size_t)data->n, (size_t)detector->n_kinds, &count))
        return jemi_fail_memory("calibration");
    c->scores = jemi_alloc(count, sizeof *c->scores);
    c->labels = jemi_alloc((size_t)data->n, sizeof *c->labels);
    if (c->scores == NULL || c->labels == NULL)
        return jemi_fail_memory("calibration");
    JEMI_TRY(jemi_detector_work_create(&c->work, detector));
    JEMI_TRY(score_all(c, detector, model, runner, data, progress));
    return fit_calibration(detector, &(jemi_scored_rows){data->n, c->scores, c->labels}, next);
}

jem_status jemi_detector_calibrate(jem_detector *detector, const jem_model *model,
                                   const jemi_detector_data *data, jemi_progress *progress)
{
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    calibrating c = {.scores = NULL};
    jemi_calibration next = {0};
    jem_status status = JEM_OK;
    if (jemi_detector_wants(detector, JEM_SOURCE_FEATURES))
        status = jemi_detector_check_model(detector, model, runner);
    if (status == JEM_OK)
        status = calibrate(&c, detector, model, runner, data, progress, &next);
    if (status == JEM_OK) {
        jemi_calibration_fini(&detector->calibration);
        detector->calibration = next;
        belong_to(detector, model, runner);
    } else {
        jemi_calibration_fini(&next);
    }
    jemi_detector_work_fini(&c.work);
    jemi_free(c.scores);
    jemi_free(c.labels);
    jemi_runner_return(runner);
    return status;
}
