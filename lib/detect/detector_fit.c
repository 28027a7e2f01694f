/*
 * What is learnt is built aside and takes its place when all of it is there.
 */
#include "detect/detector_fit.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "detect/detector_rows.h"
#include "detect/feature_fit.h"
#include "detect/label_sets.h"
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
        const int64_t n = jemi_detector_block(data->n - first);
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

jemi_feature_request jemi_detector_needs(const jem_detector *detector)
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
    const jemi_feature_request request = jemi_detector_needs(detector);
    return jemi_feature_stats_fit(stats, &request, &rows, progress);
}

// What belongs to another model is dropped.
static jem_status fit(jem_detector *detector, const jem_model *model, jemi_runner *runner,
                      const jemi_detector_data *data, jemi_progress *progress, jemi_learnt *next)
{
    learning l = {.labels = NULL};
    next->model = jemi_belonging_of(model, runner);
    next->n_fitted = data->n;
    next->stats = jemi_calloc(1, sizeof *next->stats);
    if (next->stats == NULL)
        return jemi_fail_memory("statistics of a detector");
    const jem_status status = learn(&l, detector, model, runner, data, progress, next->stats);
    learning_fini(&l);
    return status;
}

// ---- calibration -------------------------------------------------------------------------------

typedef struct calibrating {
    jemi_detector_work work;
    float *scores;       // (n, n_kinds)
    int64_t *labels;     // (n), predicted
    float *label_scores; // (n), of the true labels; NULL = they are not known
    double *surprises;   // (n_classes), of a row; NULL likewise
    bool *rejected;      // (n)
} calibrating;

static void calibrating_fini(calibrating *c)
{
    jemi_detector_work_fini(&c->work);
    jemi_free(c->scores);
    jemi_free(c->labels);
    jemi_free(c->label_scores);
    jemi_free(c->surprises);
    jemi_free(c->rejected);
}

static jem_status calibrating_init(calibrating *c, const jem_detector *detector, int64_t n,
                                   bool labelled)
{
    size_t count;
    if (!jemi_mul((size_t)n, (size_t)detector->n_kinds, &count))
        return jemi_fail_memory("calibration");
    c->scores = jemi_alloc(count, sizeof *c->scores);
    c->labels = jemi_alloc((size_t)n, sizeof *c->labels);
    c->rejected = jemi_alloc((size_t)n, sizeof *c->rejected);
    if (labelled) {
        c->label_scores = jemi_alloc((size_t)n, sizeof *c->label_scores);
        c->surprises = jemi_alloc((size_t)detector->fingerprint.classes, sizeof *c->surprises);
    }
    if (c->scores == NULL || c->labels == NULL || c->rejected == NULL ||
        (labelled && (c->label_scores == NULL || c->surprises == NULL)))
        return jemi_fail_memory("calibration");
    return jemi_detector_work_create(&c->work, detector, jemi_detector_block(n));
}

// How surprising the true labels of a block are.
static void score_labels(calibrating *c, const jem_detector *detector, const int64_t *labels,
                         int64_t first, int64_t n)
{
    const int64_t n_classes = detector->fingerprint.classes;
    for (int64_t i = 0; i < n; i++) {
        jemi_label_surprises(n_classes, c->work.values.logits + i * n_classes,
                             (double)detector->scores.temperature, c->surprises);
        c->label_scores[first + i] = (float)c->surprises[labels[first + i]];
    }
}

static jem_status score_all(calibrating *c, const jem_detector *detector, const jem_model *model,
                            jemi_runner *runner, const jemi_detector_data *data,
                            jemi_progress *progress)
{
    const int64_t row_len = jemi_model_input_size(model);
    for (int64_t first = 0; first < data->n; first += JEMI_DETECTOR_ROWS) {
        const size_t n = (size_t)jemi_detector_block(data->n - first);
        const jemi_detector_work *work = &c->work;
        JEMI_TRY(jemi_detector_score_rows(detector, model, runner, -1, (int64_t)n,
                                          data->x + first * row_len, &c->work));
        memcpy(c->scores + first * detector->n_kinds, work->scores,
               n * (size_t)detector->n_kinds * sizeof *work->scores);
        memcpy(c->labels + first, work->labels, n * sizeof *work->labels);
        memcpy(c->rejected + first, work->rejected, n * sizeof *work->rejected);
        if (c->label_scores != NULL)
            score_labels(c, detector, data->labels, first, (int64_t)n);
        JEMI_TRY(jemi_progress_add(progress, (int64_t)n));
    }
    return JEM_OK;
}

jemi_calibration jemi_detector_calibration(const jem_detector *detector, bool *two_sided)
{
    const jem_detector_config *config = &detector->config;
    for (int32_t k = 0; k < detector->n_kinds; k++)
        two_sided[k] = (config->two_sided >> detector->kinds[k]->kind & 1) != 0;
    const bool alone = detector->n_kinds == 1 && !two_sided[0];
    return (jemi_calibration){.n_kinds = detector->n_kinds,
                              .combine = alone ? 0 : config->combine,
                              .n_groups = config->per_class ? detector->fingerprint.classes : 1};
}

static jem_status fit_calibration(const jem_detector *detector, const jemi_scored_rows *rows,
                                  jemi_calibration *next)
{
    const jem_detector_config *config = &detector->config;
    bool two_sided[JEMI_KINDS_MAX];
    *next = jemi_detector_calibration(detector, two_sided);
    JEMI_TRY(jemi_calibration_fit(next, two_sided, config->seed, rows));
    return jemi_calibration_set_threshold(next, config->fpr, config->confidence);
}

static jem_status calibrate(jem_detector *detector, const jem_model *model, jemi_runner *runner,
                            const jemi_detector_data *data, jemi_progress *progress,
                            jemi_learnt *next)
{
    const jemi_learnt *now = jemi_detector_learnt(detector);
    if (now->n_fitted > 0)
        JEMI_TRY(jemi_detector_check_model(detector, model, runner));
    next->model = jemi_belonging_of(model, runner);
    next->n_fitted = now->n_fitted;
    calibrating c = {.scores = NULL};
    jem_status status = calibrating_init(&c, detector, data->n, data->labels != NULL);
    if (status == JEM_OK)
        status = score_all(&c, detector, model, runner, data, progress);
    if (status == JEM_OK)
        status = fit_calibration(
            detector, &(jemi_scored_rows){data->n, c.scores, c.labels, c.label_scores, c.rejected},
            &next->calibration);
    calibrating_fini(&c);
    if (status == JEM_OK)
        next->stats = now->stats; // which it shares from here on
    return status;
}

// ---- both --------------------------------------------------------------------------------------

typedef jem_status (*learn_fn)(jem_detector *detector, const jem_model *model, jemi_runner *runner,
                               const jemi_detector_data *data, jemi_progress *progress,
                               jemi_learnt *next);

static jem_status learn_aside(jem_detector *detector, const jem_model *model,
                              const jemi_detector_data *data, jemi_progress *progress, learn_fn run)
{
    jemi_runner *runner;
    jemi_learnt *next = jemi_calloc(1, sizeof *next);
    if (next == NULL)
        return jemi_fail_memory("detector");
    jem_status status = jemi_runner_borrow(model->runners, &runner);
    if (status == JEM_OK) {
        status = run(detector, model, runner, data, progress, next);
        jemi_runner_return(runner);
    }
    if (status == JEM_OK)
        jemi_detector_exchange(detector, next);
    else
        jemi_learnt_destroy(next);
    return status;
}

jem_status jemi_detector_fit(jem_detector *detector, const jem_model *model,
                             const jemi_detector_data *data, jemi_progress *progress)
{
    return learn_aside(detector, model, data, progress, fit);
}

jem_status jemi_detector_calibrate(jem_detector *detector, const jem_model *model,
                                   const jemi_detector_data *data, jemi_progress *progress)
{
    return learn_aside(detector, model, data, progress, calibrate);
}
