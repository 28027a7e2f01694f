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
#include "kernels/vector.h"

// A call: what each block of rows needs.
typedef struct call {
    const jem_detector *detector;
    const jem_model *model;
    jemi_runner *runner;
    jemi_detector_work work;
    int32_t kind; // of raw scores, -1 = combined
    float *scores;
    float *finite; // (JEMI_DETECTOR_ROWS, row_len), made when first needed
    jem_verdict *verdicts;
    size_t stride;
    double temperature;
} call;

typedef jem_status (*block_fn)(call *c, int64_t first, int64_t n, const float *x);

static jem_status run_blocks(call *c, int64_t n, const float *x, block_fn run)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    if (c->detector->digest != 0) // of none that nothing was learnt for
        JEMI_TRY(jemi_detector_check_model(c->detector, c->model, c->runner));
    JEMI_TRY(jemi_detector_work_create(&c->work, c->detector));
    for (int64_t first = 0; first < n; first += JEMI_DETECTOR_ROWS) {
        const int64_t left = n - first;
        JEMI_TRY(run(c, first, left < JEMI_DETECTOR_ROWS ? left : JEMI_DETECTOR_ROWS,
                     x + first * row_len));
    }
    return JEM_OK;
}

static jem_status run_call(call *c, int64_t n, const float *x, block_fn run)
{
    JEMI_TRY(jemi_runner_borrow(c->model->runners, &c->runner));
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
    JEMI_TRY(jemi_detector_score_rows(c->detector, c->model, c->runner, c->kind, n, x, &c->work));
    for (int64_t i = 0; i < n; i++) {
        const float *row = c->work.scores + i * n_kinds;
        c->scores[first + i] = c->kind >= 0
                                   ? row[c->kind]
                                   : jemi_calibration_combine(&c->detector->calibration, row, NULL);
    }
    return JEM_OK;
}

jem_status jemi_detector_score(const jem_detector *detector, const jem_model *model, int32_t k,
                               int64_t n, const float *x, float *scores)
{
    return run_call(&(call){.detector = detector, .model = model, .kind = k, .scores = scores}, n,
                    x, score_block);
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

// By the scores alone.
static jem_verdict judge(const call *c, int64_t i)
{
    const jem_detector *d = c->detector;
    const int64_t n_classes = jemi_model_classes(c->model);
    const float *logits = c->work.values.logits + i * n_classes;
    int32_t top;
    jem_verdict out = {.label = (int32_t)jemi_detector_label(n_classes, logits)};
    out.score = jemi_calibration_combine(&d->calibration, c->work.scores + i * d->n_kinds, &top);
    out.kind = d->kinds[top]->kind;
    const jemi_conformal group = jemi_calibration_group(&d->calibration, out.label);
    out.p_value = (float)jemi_conformal_p_value(&group, out.score);
    if (out.label < 0) {
        out.flag = JEM_FLAG_OVERFLOW;
        out.kind = 0;
        return out;
    }
    out.probability = probability_of(n_classes, logits, out.label, c->temperature);
    out.flag = out.score > jemi_calibration_threshold(&d->calibration, out.label) ? JEM_FLAG_SCORE
                                                                                  : JEM_FLAG_NONE;
    return out;
}

// Of a row that nothing can be said about.
static jem_verdict reject(const call *c)
{
    const jemi_conformal group = jemi_calibration_group(&c->detector->calibration, -1);
    return (jem_verdict){.score = INFINITY,
                         .p_value = (float)jemi_conformal_p_value(&group, INFINITY),
                         .label = -1,
                         .flag = JEM_FLAG_NOT_FINITE};
}

static jem_status judge_block(call *c, int64_t first, int64_t n, const float *x)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    const float *finite = x;
    float low, high;
    uint8_t outside[JEMI_DETECTOR_ROWS] = {0};
    JEMI_TRY(make_finite(c, n, &finite));
    JEMI_TRY(jemi_detector_score_rows(c->detector, c->model, c->runner, -1, n, finite, &c->work));
    if (c->detector->config.flag_range)
        jemi_model_input_outside(c->model, n, finite, outside, &low, &high);
    for (int64_t i = 0; i < n; i++) {
        jem_verdict out = judge(c, i);
        if (outside[i] && out.flag != JEM_FLAG_OVERFLOW) {
            out.flag = JEM_FLAG_RANGE;
            out.kind = 0;
        }
        if (finite != x && !jemi_all_finite(x + i * row_len, row_len, NULL))
            out = reject(c);
        memcpy((char *)c->verdicts + (size_t)(first + i) * c->stride, &out, sizeof out);
    }
    return JEM_OK;
}

jem_status jemi_detect(const jem_detector *detector, const jem_model *model, int64_t n,
                       const float *x, jem_verdict *verdicts, size_t stride)
{
    return run_call(&(call){.detector = detector,
                            .model = model,
                            .verdicts = verdicts,
                            .stride = stride,
                            .temperature = (double)jemi_model_temperature(model)},
                    n, x, judge_block);
}
