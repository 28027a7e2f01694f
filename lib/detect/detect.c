/*
 * Rows in blocks through the detector's kinds, then against its calibration. Rows that are not
 * finite go through the network as zeros.
 */
#include "detect/detect.h"

#include <math.h>
#include <string.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "detect/detector_rows.h"
#include "detect/label_sets.h"
#include "kernels/vector.h"

// A call: what each block of rows needs.
typedef struct call {
    const jem_detector *detector;
    const jem_model *model;
    jemi_runner *runner;
    jemi_detector_work work;
    int32_t kind; // of raw scores, -1 = combined
    float *scores;
    float *finite; // (JEMI_DETECTOR_ROWS, row_len), of rows that are not; made when first needed
    jem_verdict *verdicts;
    size_t stride;
    double temperature;
    float limit;       // of label sets
    double *surprises; // (n_classes), of a row
    uint8_t *members;
} call;

typedef jem_status (*block_fn)(call *c, int64_t first, int64_t n, const float *x);

static jem_status run_blocks(call *c, int64_t n, const float *x, block_fn run)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    JEMI_TRY(jemi_detector_check_model(c->detector, c->model, c->runner));
    JEMI_TRY(jemi_detector_work_create(&c->work, c->detector, jemi_detector_block(n)));
    for (int64_t first = 0; first < n; first += JEMI_DETECTOR_ROWS)
        JEMI_TRY(run(c, first, jemi_detector_block(n - first), x + first * row_len));
    return JEM_OK;
}

static jem_status run_call(call *c, int64_t n, const float *x, block_fn run)
{
    JEMI_TRY(jemi_runner_borrow(c->model->runners, &c->runner));
    c->temperature = (double)jemi_generation_temperature(c->model->generations,
                                                         jemi_runner_generation(c->runner));
    const jem_status status = run_blocks(c, n, x, run);
    jemi_detector_work_fini(&c->work);
    jemi_free(c->finite);
    jemi_runner_return(c->runner);
    return status;
}

// ---- scores ------------------------------------------------------------------------------------

static jem_status score_block(call *c, int64_t first, int64_t n, const float *x)
{
    const int32_t n_kinds = c->detector->n_kinds;
    const jemi_calibration *calibration = &jemi_detector_learnt(c->detector)->calibration;
    JEMI_TRY(jemi_detector_score_rows(c->detector, c->model, c->runner, c->kind, n, x, &c->work));
    for (int64_t i = 0; i < n; i++) {
        const float *row = c->work.scores + i * n_kinds;
        c->scores[first + i] =
            c->kind >= 0 ? row[c->kind]
                         : jemi_calibration_combine(calibration, row, c->work.rejected[i], NULL);
    }
    return JEM_OK;
}

jem_status jemi_detector_score(const jem_detector *detector, const jem_model *model, int32_t k,
                               int64_t n, const float *x, float *scores)
{
    return run_call(&(call){.detector = detector, .model = model, .kind = k, .scores = scores}, n,
                    x, score_block);
}

// ---- label sets --------------------------------------------------------------------------------

// Of a row that overflows nothing is known, so any label may be its.
static jem_status fill_sets(call *c, int64_t first, int64_t n, const float *x)
{
    const int64_t n_classes = jemi_model_classes(c->model);
    const double temperature = (double)c->detector->scores.temperature;
    const jemi_detector_values values = {.logits = c->work.values.logits};
    JEMI_TRY(jemi_detector_values_of(c->model, c->runner, n, x, &values));
    for (int64_t i = 0; i < n; i++) {
        const float *logits = values.logits + i * n_classes;
        const bool known = jemi_detector_label(n_classes, logits) >= 0;
        jemi_label_surprises(n_classes, logits, temperature, c->surprises);
        for (int64_t k = 0; k < n_classes; k++)
            c->members[(first + i) * n_classes + k] = !known || (float)c->surprises[k] <= c->limit;
    }
    return JEM_OK;
}

jem_status jemi_detector_label_sets(const jem_detector *detector, const jem_model *model,
                                    float limit, int64_t n, const float *x, uint8_t *members)
{
    const size_t n_classes = (size_t)jemi_model_classes(model);
    double *surprises = jemi_alloc(n_classes, sizeof *surprises);
    if (surprises == NULL)
        return jemi_fail_memory("label sets");
    const jem_status status = run_call(&(call){.detector = detector,
                                               .model = model,
                                               .limit = limit,
                                               .surprises = surprises,
                                               .members = members},
                                       n, x, fill_sets);
    jemi_free(surprises);
    return status;
}

// ---- decisions ---------------------------------------------------------------------------------

// The rows with zeros in place of those that are not finite.
static jem_status make_finite(call *c, int64_t n, const float **x)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    if (jemi_all_finite(*x, n * row_len, NULL))
        return JEM_OK;
    if (c->finite == NULL)
        c->finite = jemi_alloc((size_t)(JEMI_DETECTOR_ROWS * row_len), sizeof *c->finite);
    if (c->finite == NULL)
        return jemi_fail_memory("rows of a detector");
    for (int64_t i = 0; i < n; i++) {
        const float *row = *x + i * row_len;
        float *to = c->finite + i * row_len;
        if (jemi_all_finite(row, row_len, NULL))
            memcpy(to, row, (size_t)row_len * sizeof *to);
        else
            memset(to, 0, (size_t)row_len * sizeof *to);
    }
    *x = c->finite;
    return JEM_OK;
}

static float probability_of(int64_t n_classes, const float *logits, int64_t label,
                            double temperature)
{
    double sum = 0.0; // relative to that of the label, which is the largest
    for (int64_t k = 0; k < n_classes; k++)
        sum += jemi_exp(((double)logits[k] - (double)logits[label]) / temperature);
    return (float)(1.0 / sum);
}

static jem_verdict judge(const call *c, int64_t i)
{
    const jem_detector *d = c->detector;
    const jemi_calibration *calibration = &jemi_detector_learnt(d)->calibration;
    const int64_t n_classes = jemi_model_classes(c->model), label = c->work.labels[i];
    const float *logits = c->work.values.logits + i * n_classes;
    const jemi_conformal group = jemi_calibration_group(calibration, label);
    int32_t top;
    jem_verdict out = {.label = (int32_t)label};
    out.score = jemi_calibration_combine(calibration, c->work.scores + i * d->n_kinds,
                                         c->work.rejected[i], &top);
    out.p_value = (float)jemi_conformal_p_value(&group, out.score);
    if (label >= 0)
        out.probability = probability_of(n_classes, logits, label, c->temperature);
    if (!c->work.rejected[i])
        out.kind = d->kinds[top]->kind;
    if (label < 0)
        out.flag = JEM_FLAG_OVERFLOW;
    else if (c->work.rejected[i])
        out.flag = JEM_FLAG_RANGE;
    else if (jemi_calibration_flags(calibration, label, out.score))
        out.flag = JEM_FLAG_SCORE;
    return out;
}

// Of a row that nothing can be said about.
static jem_verdict reject(const call *c)
{
    const jemi_conformal group =
        jemi_calibration_group(&jemi_detector_learnt(c->detector)->calibration, -1);
    return (jem_verdict){.score = INFINITY,
                         .p_value = (float)jemi_conformal_p_value(&group, INFINITY),
                         .label = -1,
                         .flag = JEM_FLAG_NOT_FINITE};
}

static jem_status judge_block(call *c, int64_t first, int64_t n, const float *x)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    const float *finite = x;
    JEMI_TRY(make_finite(c, n, &finite));
    JEMI_TRY(jemi_detector_score_rows(c->detector, c->model, c->runner, -1, n, finite, &c->work));
    for (int64_t i = 0; i < n; i++) {
        const bool bad = finite != x && !jemi_all_finite(x + i * row_len, row_len, NULL);
        const jem_verdict out = bad ? reject(c) : judge(c, i);
        memcpy((char *)c->verdicts + (size_t)(first + i) * c->stride, &out, sizeof out);
    }
    return JEM_OK;
}

jem_status jemi_detect(const jem_detector *detector, const jem_model *model, int64_t n,
                       const float *x, jem_verdict *verdicts, size_t stride)
{
    return run_call(
        &(call){.detector = detector, .model = model, .verdicts = verdicts, .stride = stride}, n, x,
        judge_block);
}
