/*
 * Scores depend on features h and logits f = W h + b, so both reach the input by one pass: its
 * cotangents are dS/dh + W^T dS/df.
 */
#include "detect/detector_gradient.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "ebm/batch.h"
#include "kernels/vector.h"

jem_status jemi_detector_check_gradient(const jem_detector *detector, int32_t only)
{
    for (int32_t k = 0; k < detector->n_kinds; k++)
        if ((only < 0 || only == k) && detector->kinds[k]->source == JEM_SOURCE_GRADIENT)
            return jemi_fail(JEM_EUNSUPPORTED,
                             "the score %s is made of the input gradient, and second derivatives "
                             "are not computed; expected kinds of logits or features",
                             detector->kinds[k]->name);
    return JEM_OK;
}

static int64_t width_of(const jem_model *model)
{
    return jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES);
}

static int64_t rank_of(const jem_detector *detector)
{
    const jemi_feature_stats *stats = jemi_detector_learnt(detector)->stats;
    return stats != NULL ? stats->rank : 0;
}

static int64_t slopes_of(const jem_detector *detector, const jem_model *model)
{
    return 2 * width_of(model) + rank_of(detector) + jemi_model_classes(model);
}

jem_status jemi_detector_gradient_create(jemi_detector_gradient *gradient,
                                         const jem_detector *detector, const jem_model *model,
                                         int64_t rows)
{
    const size_t n = (size_t)rows;
    gradient->slopes = jemi_alloc(n * (size_t)slopes_of(detector, model), sizeof *gradient->slopes);
    gradient->cotangents = jemi_alloc(n * (size_t)width_of(model), sizeof *gradient->cotangents);
    return gradient->slopes != NULL && gradient->cotangents != NULL
               ? JEM_OK
               : jemi_fail_memory("gradients of a detector");
}

void jemi_detector_gradient_fini(jemi_detector_gradient *gradient)
{
    jemi_free(gradient->slopes);
    jemi_free(gradient->cotangents);
    *gradient = (jemi_detector_gradient){0};
}

typedef struct task {
    const jemi_detector_gradient *gradient;
    const jem_detector *detector;
    const jemi_detector_work *work;
    jemi_head head;
    int64_t width, rank, n_classes;
    int32_t only;
} task;

// total += weight * (dS/dh + W^T dS/df).
static void add_kind(const task *t, int64_t i, const jemi_score_kind *kind, double weight,
                     const jemi_feature_slopes *slopes, double *total)
{
    const jem_score_config *config = &t->detector->scores;
    memset(slopes->features, 0, (size_t)t->width * sizeof(double));
    memset(slopes->logits, 0, (size_t)t->n_classes * sizeof(double));
    if (kind->source == JEM_SOURCE_LOGITS) {
        kind->grad_of_logits(config, t->n_classes, t->work->values.logits + i * t->n_classes,
                             slopes->logits);
    } else {
        const jemi_feature_row row = jemi_detector_feature_row(t->detector, t->work, &t->head, i);
        memset(slopes->z, 0, (size_t)t->rank * sizeof(double));
        kind->grad_of_features(config, &row, slopes);
        jemi_feature_slopes_join(row.stats, slopes);
    }
    for (int64_t k = 0; k < t->n_classes; k++)
        for (int64_t e = 0; e < t->width; e++)
            slopes->features[e] += slopes->logits[k] * (double)t->head.weights[k * t->width + e];
    for (int64_t e = 0; e < t->width; e++)
        total[e] += weight * slopes->features[e];
}

// How much each kind counts.
static void find_weights(const task *t, const float *scores, double *weights)
{
    if (t->only < 0)
        jemi_calibration_slopes(&jemi_detector_learnt(t->detector)->calibration, scores, weights);
    else
        for (int32_t k = 0; k < t->detector->n_kinds; k++)
            weights[k] = k == t->only;
}

static void fill_row(const task *t, int64_t i)
{
    const int32_t n_kinds = t->detector->n_kinds;
    const float *scores = t->work->scores + i * n_kinds;
    float *out = t->gradient->cotangents + i * t->width;
    double *total = t->gradient->slopes + i * (2 * t->width + t->rank + t->n_classes);
    double *rest = total + t->width, weights[JEMI_KINDS_MAX];
    const jemi_feature_slopes slopes = {rest, rest + t->width, rest + t->width + t->rank};
    memset(total, 0, (size_t)t->width * sizeof *total);
    if (t->work->labels[i] >= 0) {
        find_weights(t, scores, weights);
        for (int32_t k = 0; k < n_kinds; k++)
            if (weights[k] != 0.0 && isfinite(scores[k]))
                add_kind(t, i, t->detector->kinds[k], weights[k], &slopes, total);
    }
    for (int64_t e = 0; e < t->width; e++)
        out[e] = (float)total[e];
    if (!jemi_all_finite(out, t->width, NULL))
        memset(out, 0, (size_t)t->width * sizeof *out);
}

static void fill_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        fill_row(context, i);
}

jem_status jemi_detector_gradient_rows(const jemi_detector_gradient *gradient,
                                       const jem_detector *detector, const jem_model *model,
                                       jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                       const jemi_detector_work *work, float *dx)
{
    enum { GRAIN = 8 }; // rows that are worth a thread
    task t = {.gradient = gradient,
              .detector = detector,
              .work = work,
              .head = jemi_detector_head(model, runner),
              .width = width_of(model),
              .rank = rank_of(detector),
              .n_classes = jemi_model_classes(model),
              .only = only};
    jemi_parallel(n, GRAIN, fill_rows, &t);
    return jemi_batch_vjp_by(runner, model, JEMI_CUT_FEATURES, n, x, gradient->cotangents, dx);
}
