/*
 * The detector: settings, fit, calibration, decisions.
 */
#include <string.h>

#include "api/check.h"
#include "api/score.h"
#include "base/environment.h"
#include "base/progress.h"
#include "detect/detect.h"
#include "detect/detector_fit.h"
#include "detect/detector_gradient.h"
#include "detect/detector_store.h"
#include "detect/explain.h"
#include "detect/label_sets.h"

#define KIND(kind) ((uint64_t)1 << (kind))

enum { RANK_MAX = 256, BANK_BYTES_MIN = 4096 };

JEM_API jem_status jem_detector_config_init(jem_detector_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_detector_config defaults = {
        .struct_size = sizeof defaults,
        .bank_bytes = 4 << 20,
        .fpr = 0.01,
        .combine = JEM_COMBINE_LARGEST,
        .rank = 128,
        .flag_range = 1,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_detector_config");
}

// Those of the default kinds that say anything about the model.
static uint64_t default_kinds(const jem_model *model)
{
    const int32_t kinds[] = {JEM_SCORE_ENERGY, JEM_SCORE_GEN, JEM_SCORE_MAHALANOBIS,
                             JEM_SCORE_RELATIVE_MAHALANOBIS, JEM_SCORE_KNN};
    uint64_t bits = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        if (jemi_model_classes(model) >= jemi_score_kind_find(kinds[k])->classes_min)
            bits |= KIND(kinds[k]);
    return bits;
}

static jem_status check_rate(double fpr, double confidence)
{
    if (!(fpr >= JEMI_RATE_MIN && fpr <= JEMI_RATE_MAX))
        return jemi_fail(JEM_EINVAL, "fpr is %g; expected a number from 1e-9 to 1 - 1e-9", fpr);
    if (confidence != 0.0 && !(confidence >= JEMI_RATE_MIN && confidence <= JEMI_RATE_MAX))
        return jemi_fail(JEM_EINVAL, "confidence is %g; expected 0, or a number up to 1 - 1e-9",
                         confidence);
    return JEM_OK;
}

static jem_status read_config(const jem_model *model, const jem_detector_config *config,
                              jem_detector_config *own)
{
    JEMI_TRY(jem_detector_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_detector_config"));
    if (own->kinds == 0)
        own->kinds = default_kinds(model);
    JEMI_TRY(jemi_detector_check_kinds(own, jemi_model_classes(model), JEM_EINVAL));
    JEMI_TRY(jemi_check_range_int(own->bank_bytes, BANK_BYTES_MIN, INT64_MAX, "bank_bytes"));
    JEMI_TRY(check_rate(own->fpr, own->confidence));
    JEMI_TRY(jemi_check_range_int(own->combine, JEM_COMBINE_LARGEST, JEM_COMBINE_SUM, "combine"));
    JEMI_TRY(jemi_check_flag(own->per_class, "per_class"));
    JEMI_TRY(jemi_check_range_int(own->rank, 1, RANK_MAX, "rank"));
    return jemi_check_flag(own->flag_range, "flag_range");
}

JEM_API jem_status jem_detector_create(jem_detector **out, const jem_model *model,
                                       const jem_detector_config *config,
                                       const jem_score_config *scores)
{
    JEMI_OWN_ENVIRONMENT;
    jem_detector_config own;
    jem_score_config own_scores;
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(read_config(model, config, &own));
    JEMI_TRY(jemi_check_score_config(scores, &own_scores));
    return jemi_detector_create(out, model, &own, &own_scores);
}

JEM_API void jem_detector_destroy(jem_detector *detector)
{
    jemi_detector_destroy(detector);
}

// What all calls with both handles and rows begin with.
static jem_status check_call(const jem_detector *detector, const jem_model *model, int64_t n,
                             const float *x)
{
    JEMI_TRY(jemi_check_pointer(detector, "detector"));
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_fingerprint(model, &detector->fingerprint, true, "detector"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    return jemi_check_array(n, x, "x");
}

// The same, with rows that something is learnt from.
static jem_status check_data(const jem_detector *detector, const jem_model *model,
                             const jemi_detector_data *data, jemi_progress *progress)
{
    JEMI_TRY(check_call(detector, model, data->n, data->x));
    JEMI_TRY(jemi_progress_add(progress, 0)); // looking through much data takes a while, too
    JEMI_TRY(jemi_check_finite(data->x, data->n, jemi_model_input_size(model), "x"));
    return jemi_check_labels(data->labels, data->n, jemi_model_classes(model), "labels");
}

JEM_API jem_status jem_detector_fit(jem_detector *detector, const jem_model *model, int64_t n,
                                    const float *x, const int64_t *labels, jem_progress_fn progress,
                                    void *user)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detector_data data = {n, x, labels};
    JEMI_TRY(jemi_check_range_int(n, 2, INT32_MAX, "n"));
    jemi_progress told = {progress, user, "visits of rows", 0, jemi_detector_fit_visits(n)};
    JEMI_TRY(check_data(detector, model, &data, &told));
    JEMI_TRY(jemi_claim_take(&detector->claim, "detector"));
    const jem_status status = jemi_detector_fit(detector, model, &data, &told);
    jemi_claim_release(&detector->claim);
    return status;
}

JEM_API jem_status jem_detector_calibrate(jem_detector *detector, const jem_model *model, int64_t n,
                                          const float *x, const int64_t *labels,
                                          jem_progress_fn progress, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    const jemi_detector_data data = {n, x, labels};
    jemi_progress told = {progress, user, "rows", 0, n};
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(check_data(detector, model, &data, &told));
    JEMI_TRY(jemi_claim_take(&detector->claim, "detector"));
    jem_status status = jemi_detector_check_fitted(detector, -1);
    if (status == JEM_OK)
        status = jemi_detector_calibrate(detector, model, &data, &told);
    jemi_claim_release(&detector->claim);
    return status;
}

JEM_API jem_status jem_detector_set_threshold(jem_detector *detector, double fpr, double confidence)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(detector, "detector"));
    JEMI_TRY(check_rate(fpr, confidence));
    JEMI_TRY(jemi_claim_take(&detector->claim, "detector"));
    jem_status status = jemi_detector_check_calibrated(detector);
    if (status == JEM_OK)
        status = jemi_calibration_set_threshold(&jemi_detector_learnt(detector)->calibration, fpr,
                                                confidence);
    jemi_claim_release(&detector->claim);
    return status;
}

static double largest_threshold(const jemi_calibration *calibration)
{
    const float *thresholds = calibration->thresholds->of_group;
    float largest = thresholds[0];
    for (int32_t g = 1; g < calibration->n_groups; g++)
        largest = thresholds[g] > largest ? thresholds[g] : largest;
    return (double)largest;
}

JEM_API jem_status jem_detector_get_info(const jem_detector *detector, jem_detector_info *info)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(detector, "detector"));
    JEMI_TRY(jemi_check_pointer(info, "info"));
    JEMI_TRY(jemi_config_check_out(info, "jem_detector_info"));
    const jemi_learnt *learnt = jemi_detector_learnt(detector);
    const jemi_calibration *calibration = &learnt->calibration;
    jem_detector_info own = {
        .kinds = detector->config.kinds,
        .n_fitted = learnt->n_fitted,
        .n_calibrated = calibration->n,
        .n_labelled = calibration->n_labelled,
        .per_class = detector->config.per_class,
        .bytes = jemi_detector_bytes(detector),
    };
    if (learnt->stats != NULL) {
        own.bank_rows = learnt->stats->bank.n;
        own.rank = (int32_t)learnt->stats->rank;
    }
    if (calibration->n > 0) {
        own.fpr = calibration->thresholds->fpr;
        own.confidence = calibration->thresholds->confidence;
        own.threshold = largest_threshold(calibration);
    }
    jemi_config_write(info, &own, sizeof own);
    return JEM_OK;
}

JEM_API jem_status jem_detector_get_scores(const jem_detector *detector, int64_t size,
                                           float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(detector, "detector"));
    JEMI_TRY(jemi_check_pointer(scores, "scores"));
    JEMI_TRY(jemi_detector_check_calibrated(detector));
    const jemi_calibration *calibration = &jemi_detector_learnt(detector)->calibration;
    if (size < calibration->n)
        return jemi_fail(JEM_EINVAL, "size is %lld; expected room for %lld scores", (long long)size,
                         (long long)calibration->n);
    memcpy(scores, calibration->sorted, (size_t)calibration->n * sizeof *scores);
    return JEM_OK;
}

// The place of a kind among the detector's; -1 for all of them combined.
static jem_status find_place(const jem_detector *detector, int32_t kind, int32_t *place)
{
    *place = -1;
    if (kind == 0)
        return jemi_detector_check_calibrated(detector);
    for (int32_t k = 0; k < detector->n_kinds; k++)
        if (detector->kinds[k]->kind == kind) {
            *place = k;
            return JEM_OK;
        }
    return jemi_fail(JEM_EINVAL, "kind is %d; expected 0 or one of the detector's kinds",
                     (int)kind);
}

JEM_API jem_status jem_detector_score(const jem_detector *detector, const jem_model *model,
                                      int32_t kind, int64_t n, const float *x, float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    int32_t place;
    JEMI_TRY(check_call(detector, model, n, x));
    JEMI_TRY(jemi_check_finite(x, n, jemi_model_input_size(model), "x"));
    JEMI_TRY(find_place(detector, kind, &place));
    JEMI_TRY(jemi_detector_check_fitted(detector, place));
    JEMI_TRY(jemi_check_array(n, scores, "scores"));
    return n > 0 ? jemi_detector_score(detector, model, place, n, x, scores) : JEM_OK;
}

JEM_API jem_status jem_detector_label_sets(const jem_detector *detector, const jem_model *model,
                                           double coverage, int64_t n, const float *x,
                                           uint8_t *members)
{
    JEMI_OWN_ENVIRONMENT;
    float limit;
    JEMI_TRY(check_call(detector, model, n, x));
    JEMI_TRY(jemi_check_finite(x, n, jemi_model_input_size(model), "x"));
    JEMI_TRY(jemi_detector_check_calibrated(detector));
    if (!(coverage >= JEMI_RATE_MIN && coverage <= JEMI_RATE_MAX))
        return jemi_fail(JEM_EINVAL, "coverage is %g; expected a number from 1e-9 to 1 - 1e-9",
                         coverage);
    const jemi_calibration *calibration = &jemi_detector_learnt(detector)->calibration;
    if (calibration->n_labelled == 0)
        return jemi_fail(JEM_EINVAL, "the detector was calibrated without labels; expected them in "
                                     "jem_detector_calibrate()");
    JEMI_TRY(jemi_check_array(n, members, "members"));
    JEMI_TRY(
        jemi_label_limit(calibration->n_labelled, calibration->label_scores, coverage, &limit));
    return n > 0 ? jemi_detector_label_sets(detector, model, limit, n, x, members) : JEM_OK;
}

JEM_API jem_status jem_detect(const jem_detector *detector, const jem_model *model, int64_t n,
                              const float *x, jem_verdict *verdicts, size_t size)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_call(detector, model, n, x));
    JEMI_TRY(jemi_detector_check_calibrated(detector));
    JEMI_TRY(jemi_check_array(n, verdicts, "verdicts"));
    if (size < sizeof(jem_verdict))
        return jemi_fail(JEM_EINVAL, "size is %lld; expected at least %lld, sizeof(jem_verdict)",
                         (long long)size, (long long)sizeof(jem_verdict));
    return n > 0 ? jemi_detect(detector, model, n, x, verdicts, size) : JEM_OK;
}

// ---- explanations ------------------------------------------------------------------------------

JEM_API jem_status jem_explain_config_init(jem_explain_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_explain_config defaults = {.struct_size = sizeof defaults, .steps = 100};
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_explain_config");
}

static jem_status read_explain_config(const jem_explain_config *config, jem_explain_config *own)
{
    JEMI_TRY(jem_explain_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_explain_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_explain_config"));
    JEMI_TRY(jemi_check_range_int(own->steps, 0, 100000, "steps"));
    return jemi_check_range(own->step_size, 0.0, 1e30, "step_size");
}

JEM_API jem_status jem_explain(const jem_detector *detector, const jem_model *model,
                               const jem_explain_config *config, int64_t n, const float *x,
                               float *map, float *usual, float *scores)
{
    JEMI_OWN_ENVIRONMENT;
    jem_explain_config own;
    int32_t place;
    JEMI_TRY(check_call(detector, model, n, x));
    JEMI_TRY(read_explain_config(config, &own));
    JEMI_TRY(find_place(detector, own.kind, &place));
    JEMI_TRY(jemi_detector_check_fitted(detector, place));
    JEMI_TRY(jemi_detector_check_gradient(detector, place));
    JEMI_TRY(jemi_check_array(n, map, "map"));
    if (n > 0 && (map == x || usual == x))
        return jemi_fail(JEM_EINVAL, "%s is x; expected an array of its own",
                         map == x ? "map" : "usual");
    const jemi_explained rows = {n, x, map, usual, scores};
    return n > 0 ? jemi_explain(detector, model, place, &own, &rows) : JEM_OK;
}

// ---- in the model ------------------------------------------------------------------------------

static jem_status attach(jem_model *model, const jem_detector *detector, jemi_runner *runner)
{
    jemi_attachment *attachment;
    JEMI_TRY(jemi_detector_check_model(detector, model, runner));
    JEMI_TRY(jemi_detector_pack(&attachment, detector));
    if (jemi_generations_attach(model->generations, jemi_runner_generation(runner)->version,
                                attachment))
        return JEM_OK;
    jemi_attachment_release(attachment);
    return jemi_fail(JEM_EMISMATCH, "the model's parameters changed during the call; expected "
                                    "those that the detector was made for");
}

JEM_API jem_status jem_model_set_detector(jem_model *model, const jem_detector *detector)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    if (detector != NULL) {
        JEMI_TRY(jemi_check_fingerprint(model, &detector->fingerprint, true, "detector"));
        JEMI_TRY(jemi_detector_check_calibrated(detector));
    }
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    jem_status status = JEM_OK;
    if (detector != NULL)
        status = attach(model, detector, runner);
    else
        jemi_generations_attach(model->generations, jemi_runner_generation(runner)->version, NULL);
    jemi_runner_return(runner);
    return status;
}

// Whether it belongs to the model as it is now is seen at once, not at the first row.
static jem_status take_detector(jem_detector **out, const jem_model *model,
                                const jemi_attachment *attachment, const jemi_runner *runner)
{
    jem_detector *detector;
    JEMI_TRY(jemi_detector_unpack(&detector, model, jemi_attachment_parts(attachment)));
    const jem_status status = jemi_detector_check_model(detector, model, runner);
    if (status == JEM_OK)
        *out = detector;
    else
        jemi_detector_destroy(detector);
    return status;
}

JEM_API jem_status jem_model_get_detector(const jem_model *model, jem_detector **out)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    jemi_attachment *attachment =
        jemi_generation_attachment(model->generations, jemi_runner_generation(runner));
    const jem_status status = attachment != NULL
                                  ? take_detector(out, model, attachment, runner)
                                  : jemi_fail(JEM_ENOTFOUND, "the model has no detector");
    jemi_attachment_release(attachment);
    jemi_runner_return(runner);
    return status;
}
