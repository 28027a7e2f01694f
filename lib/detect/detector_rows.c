/*
 * Logits and features come from one pass; kinds of the input gradient take another.
 */
#include "detect/detector_rows.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "detect/largest.h"
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

static jem_status make_features(jemi_detector_work *work, const jemi_feature_stats *stats,
                                int64_t rows)
{
    const size_t stride = (size_t)jemi_linear_map_stride(stats->width);
    work->values.features = jemi_alloc((size_t)rows * stride, sizeof(float));
    if (work->values.features == NULL)
        return jemi_fail_memory("features of a detector");
    return jemi_feature_maps_create(&work->maps, stats, rows);
}

jem_status jemi_detector_work_create(jemi_detector_work *work, const jem_detector *detector,
                                     int64_t rows)
{
    const size_t n = (size_t)rows;
    const jemi_feature_stats *stats = jemi_detector_learnt(detector)->stats;
    work->values.logits = jemi_alloc(n * (size_t)detector->fingerprint.classes, sizeof(float));
    work->scores = jemi_alloc(n * (size_t)detector->n_kinds, sizeof *work->scores);
    work->column = jemi_alloc(n, sizeof *work->column);
    work->labels = jemi_alloc(n, sizeof *work->labels);
    work->rejected = jemi_alloc(n, sizeof *work->rejected);
    if (work->values.logits == NULL || work->scores == NULL || work->column == NULL ||
        work->labels == NULL || work->rejected == NULL)
        return jemi_fail_memory("scores of a detector");
    return stats != NULL && jemi_detector_wants(detector, JEM_SOURCE_FEATURES)
               ? make_features(work, stats, rows)
               : JEM_OK;
}

void jemi_detector_work_fini(jemi_detector_work *work)
{
    jemi_free(work->values.logits);
    jemi_free(work->values.features);
    jemi_feature_maps_fini(&work->maps);
    jemi_free(work->scores);
    jemi_free(work->column);
    jemi_free(work->labels);
    jemi_free(work->rejected);
    *work = (jemi_detector_work){0};
}

typedef struct scoring {
    const jem_detector *detector;
    const jemi_feature_stats *stats;
    const jemi_detector_work *work;
    jemi_head head;
    int64_t n_classes;
    int32_t only; // a kind's number, -1 = all
} scoring;

static bool is_asked(int32_t only, int32_t k)
{
    return only < 0 || only == k;
}

jemi_head jemi_detector_head(const jem_model *model, const jemi_runner *runner)
{
    const jemi_graph *graph = &model->graph;
    const jemi_node *node = &graph->nodes[graph->n_nodes - 1];
    const jemi_generation *at = jemi_runner_generation(runner);
    const float *params = at->normalized != NULL ? at->normalized : at->params;
    return (jemi_head){params + graph->params[node->weight].offset,
                       params + graph->params[node->bias].offset};
}

jemi_feature_row jemi_detector_feature_row(const jem_detector *detector,
                                           const jemi_detector_work *work, const jemi_head *head,
                                           int64_t i)
{
    const jemi_feature_stats *stats = jemi_detector_learnt(detector)->stats;
    return (jemi_feature_row){.stats = stats,
                              .maps = &work->maps,
                              .index = i,
                              .features =
                                  work->values.features + i * jemi_linear_map_stride(stats->width),
                              .logits = work->values.logits + i * detector->fingerprint.classes,
                              .head_weights = head->weights,
                              .head_bias = head->bias};
}

static float score_of_features(const scoring *s, const jemi_score_kind *kind, int64_t i)
{
    const double square_max = 1e60; // |h| of 1e30: coordinates of larger ones may overflow
    if (s->work->labels[i] < 0 || !(s->work->maps.squares[i] <= square_max))
        return INFINITY;
    const jemi_feature_row row = jemi_detector_feature_row(s->detector, s->work, &s->head, i);
    const float score = (float)kind->of_features(&s->detector->scores, &row);
    return isfinite(score) ? score
                           : INFINITY; // nothing is known of a row with a score of -infinity
}

static float score_of(const scoring *s, const jemi_score_kind *kind, int64_t i)
{
    const float *logits = s->work->values.logits + i * s->n_classes;
    return kind->source == JEM_SOURCE_LOGITS
               ? jemi_score_of_logits(kind, &s->detector->scores, s->n_classes, logits)
               : score_of_features(s, kind, i);
}

static void score_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const scoring *s = context;
    const jemi_detector_work *work = s->work;
    const int32_t n_kinds = s->detector->n_kinds;
    if (work->values.features != NULL)
        jemi_feature_maps_fill(&work->maps, s->stats, begin, end, work->values.features);
    for (int64_t i = begin; i < end; i++)
        for (int32_t k = 0; k < n_kinds; k++)
            if (is_asked(s->only, k) && s->detector->kinds[k]->source != JEM_SOURCE_GRADIENT)
                work->scores[i * n_kinds + k] = score_of(s, s->detector->kinds[k], i);
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

// Labels, and which rows are rejected whatever they score.
static void label_rows(const jem_detector *detector, const jem_model *model, int64_t n,
                       const float *x, jemi_detector_work *work)
{
    const int64_t n_classes = jemi_model_classes(model);
    uint8_t outside[JEMI_DETECTOR_ROWS] = {0};
    float low, high;
    if (detector->config.flag_range)
        jemi_model_input_outside(model, n, x, outside, &low, &high);
    for (int64_t i = 0; i < n; i++) {
        work->labels[i] = jemi_detector_label(n_classes, work->values.logits + i * n_classes);
        work->rejected[i] = work->labels[i] < 0 || outside[i] != 0;
    }
}

jem_status jemi_detector_score_rows(const jem_detector *detector, const jem_model *model,
                                    jemi_runner *runner, int32_t only, int64_t n, const float *x,
                                    jemi_detector_work *work)
{
    enum { GRAIN = 16 }; // rows that are worth a thread
    scoring s = {.detector = detector,
                 .stats = jemi_detector_learnt(detector)->stats,
                 .work = work,
                 .head = jemi_detector_head(model, runner),
                 .n_classes = jemi_model_classes(model),
                 .only = only};
    JEMI_TRY(jemi_detector_values_of(model, runner, n, x, &work->values));
    label_rows(detector, model, n, x, work);
    jemi_parallel(n, GRAIN, score_task, &s);
    return score_gradients(detector, model, runner, only, n, x, work);
}

int64_t jemi_detector_label(int64_t n_classes, const float *logits)
{
    return jemi_all_finite(logits, n_classes, NULL) ? jemi_find_top(n_classes, logits) : -1;
}
