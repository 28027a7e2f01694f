/*
 * Logits and features come from one pass; kinds of the input gradient take another.
 */
#include "detect/detector_rows.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "detect/score.h"
#include "kernels/vector.h"
#include "model/pass.h"

// ---- the pass ----------------------------------------------------------------------------------

typedef struct values_request {
    const jem_model *model;
    const float *x;
    const jemi_detector_values *values;
    int64_t width, stride; // of features
} values_request;

static jem_status take_values(void *context, jemi_chunk *chunk)
{
    const values_request *r = context;
    const int64_t n_classes = jemi_model_classes(r->model);
    JEMI_TRY(jemi_chunk_forward(chunk, r->x + chunk->first * jemi_model_input_size(r->model)));
    memcpy(r->values->logits + chunk->first * n_classes, chunk->out,
           (size_t)(chunk->n * n_classes) * sizeof(float));
    for (int64_t i = 0; i < chunk->n && chunk->features != NULL; i++) {
        float *row = r->values->features + (chunk->first + i) * r->stride;
        memcpy(row, chunk->features + i * r->width, (size_t)r->width * sizeof *row);
        memset(row + r->width, 0, (size_t)(r->stride - r->width) * sizeof *row);
    }
    return JEM_OK;
}

jem_status jemi_detector_values_of(const jem_model *model, jemi_runner *runner, int64_t n,
                                   const float *x, const jemi_detector_values *values)
{
    const int64_t width = jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES);
    values_request r = {model, x, values, width, jemi_linear_map_stride(width)};
    jemi_pass pass = jemi_pass_scoring(model, runner, 0);
    pass.features = values->features != NULL;
    return jemi_pass_run(&pass, runner, n,
                         &(jemi_rows_work){.compute = take_values, .context = &r});
}

// ---- scores ------------------------------------------------------------------------------------

jem_status jemi_detector_work_create(jemi_detector_work *work, const jem_detector *detector)
{
    const size_t rows = JEMI_DETECTOR_ROWS;
    const bool features = jemi_detector_wants(detector, JEM_SOURCE_FEATURES);
    work->values.logits = jemi_alloc(rows * (size_t)detector->fingerprint.classes, sizeof(float));
    work->scores = jemi_alloc(rows * (size_t)detector->n_kinds, sizeof *work->scores);
    work->column = jemi_alloc(rows, sizeof *work->column);
    if (work->values.logits == NULL || work->scores == NULL || work->column == NULL)
        return jemi_fail_memory("scores of a detector");
    if (!features)
        return JEM_OK;
    const size_t stride = (size_t)jemi_linear_map_stride(detector->stats.width);
    work->values.features = jemi_alloc(rows * stride, sizeof(float));
    if (work->values.features == NULL)
        return jemi_fail_memory("features of a detector");
    return jemi_feature_maps_create(&work->maps, &detector->stats, JEMI_DETECTOR_ROWS);
}

void jemi_detector_work_fini(jemi_detector_work *work)
{
    jemi_free(work->values.logits);
    jemi_free(work->values.features);
    jemi_feature_maps_fini(&work->maps);
    jemi_free(work->scores);
    jemi_free(work->column);
    *work = (jemi_detector_work){0};
}

typedef struct scoring {
    const jem_detector *detector;
    const jemi_detector_work *work;
    const float *head_weights, *head_bias;
    int64_t n_classes;
    int32_t only; // a kind's number, -1 = all
} scoring;

static bool is_asked(int32_t only, int32_t k)
{
    return only < 0 || only == k;
}

static float score_of(const scoring *s, const jemi_score_kind *kind, int64_t i)
{
    const jem_detector *d = s->detector;
    const float *logits = s->work->values.logits + i * s->n_classes;
    if (kind->source == JEM_SOURCE_LOGITS)
        return jemi_score_of_logits(kind, &d->scores, s->n_classes, logits);
    const int64_t stride = jemi_linear_map_stride(d->stats.width);
    const float *features = s->work->values.features + i * stride;
    if (!jemi_all_finite(logits, s->n_classes, NULL) ||
        !jemi_all_finite(features, d->stats.width, NULL))
        return INFINITY;
    const jemi_feature_row row = {.stats = &d->stats,
                                  .maps = &s->work->maps,
                                  .index = i,
                                  .features = features,
                                  .logits = logits,
                                  .head_weights = s->head_weights,
                                  .head_bias = s->head_bias};
    const double score = kind->of_features(&d->scores, &row);
    return isnan(score) ? INFINITY : (float)score; // features near FLT_MAX, squared
}

static void score_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const scoring *s = context;
    const int32_t n_kinds = s->detector->n_kinds;
    for (int64_t i = begin; i < end; i++)
        for (int32_t k = 0; k < n_kinds; k++)
            if (is_asked(s->only, k) && s->detector->kinds[k]->source != JEM_SOURCE_GRADIENT)
                s->work->scores[i * n_kinds + k] = score_of(s, s->detector->kinds[k], i);
}

static jem_status score_gradients(const jem_detector *detector, const jem_model *model,
                                  jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                  const jemi_detector_work *work)
{
    for (int32_t k = 0; k < detector->n_kinds; k++) {
        if (!is_asked(only, k) || detector->kinds[k]->source != JEM_SOURCE_GRADIENT)
            continue;
        JEMI_TRY(jemi_score_by(runner, model, detector->kinds[k], &detector->scores, n, x,
                               work->column));
        for (int64_t i = 0; i < n; i++)
            work->scores[i * detector->n_kinds + k] = work->column[i];
    }
    return JEM_OK;
}

jem_status jemi_detector_score_rows(const jem_detector *detector, const jem_model *model,
                                    jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                    jemi_detector_work *work)
{
    enum { GRAIN = 16 }; // rows that are worth a thread
    const jemi_graph *graph = &model->graph;
    const jemi_node *head = &graph->nodes[graph->n_nodes - 1];
    const jemi_generation *at = jemi_runner_generation(runner);
    const float *params = at->normalized != NULL ? at->normalized : at->params;
    scoring s = {detector,
                 work,
                 params + graph->params[head->weight].offset,
                 params + graph->params[head->bias].offset,
                 jemi_model_classes(model),
                 only};
    JEMI_TRY(jemi_detector_values_of(model, runner, n, x, &work->values));
    if (work->values.features != NULL)
        jemi_feature_maps_fill(&work->maps, &detector->stats, n, work->values.features);
    jemi_parallel(n, GRAIN, score_task, &s);
    return score_gradients(detector, model, runner, only, n, x, work);
}

int64_t jemi_detector_label(int64_t n_classes, const float *logits)
{
    int64_t top = 0;
    if (!jemi_all_finite(logits, n_classes, NULL))
        return -1;
    for (int64_t k = 1; k < n_classes; k++)
        if (logits[k] > logits[top])
            top = k;
    return top;
}
