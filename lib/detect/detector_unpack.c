/*
 * Everything is looked at before it is used: shapes, counts, orders, NaN.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "detect/detector_fit.h"
#include "detect/detector_numbers.h"
#include "detect/detector_store.h"
#include "kernels/vector.h"

// ---- arrays of a file --------------------------------------------------------------------------

// The data of an array of that shape; NULL, with a message, where there is none.
static const void *find(const jemi_attached *parts, const char *name, jemi_dtype dtype,
                        int64_t rows, int64_t row_len)
{
    const jemi_safetensor *array = jemi_attached_array(parts, name);
    if (array != NULL && array->dtype == dtype && array->rank == 2 && array->shape[0] == rows &&
        array->shape[1] == row_len)
        return array->data;
    jemi_fail(JEM_EFORMAT, "the model's '%s' is missing, or not %s of %lld x %lld", name,
              jemi_dtype_name(dtype), (long long)rows, (long long)row_len);
    return NULL;
}

// How many columns an array of that many rows has; 0 where there is none.
static int64_t columns_of(const jemi_attached *parts, const char *name, int64_t rows)
{
    const jemi_safetensor *array = jemi_attached_array(parts, name);
    return array != NULL && array->rank == 2 && array->shape[0] == rows ? array->shape[1] : 0;
}

// Copies finite floats.
static jem_status copy_floats(const jemi_attached *parts, const char *name, int64_t rows,
                              int64_t row_len, float *to)
{
    int64_t place;
    const void *data = find(parts, name, JEMI_F32, rows, row_len);
    if (data == NULL)
        return JEM_EFORMAT;
    memcpy(to, data, (size_t)(rows * row_len) * sizeof *to);
    if (!jemi_all_finite(to, rows * row_len, &place))
        return jemi_fail(JEM_EFORMAT, "the model's '%s' holds %g at element %lld; expected numbers",
                         name, (double)to[place], (long long)place);
    return JEM_OK;
}

// Floats in ascending order, infinite ones included.
static jem_status check_ascending(const char *name, const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (isnan(values[i]) || (i > 0 && values[i] < values[i - 1]))
            return jemi_fail(JEM_EFORMAT, "the model's '%s' does not ascend at element %lld", name,
                             (long long)i);
    return JEM_OK;
}

// ---- statistics --------------------------------------------------------------------------------

static jem_status read_map(jemi_linear_map *map, const jemi_attached *parts, const char *name,
                           int64_t in, int64_t out, const float *negative_bias)
{
    JEMI_TRY(jemi_linear_map_create(map, in, out));
    JEMI_TRY(copy_floats(parts, name, out, in, map->matrix));
    for (int64_t k = 0; negative_bias != NULL && k < out; k++)
        map->bias[k] = -negative_bias[k];
    jemi_linear_map_pack(map);
    return JEM_OK;
}

// Constants are infinite for classes without rows.
static jem_status read_gaussian(jemi_tied_gaussian *gaussian, const jemi_attached *parts,
                                const char *name, const char *constants, int64_t rank,
                                int64_t n_classes)
{
    if (jemi_attached_array(parts, name) == NULL)
        return JEM_OK;
    const void *data = find(parts, constants, JEMI_F32, 1, n_classes);
    if (data == NULL)
        return JEM_EFORMAT;
    gaussian->rank = rank;
    gaussian->n_classes = n_classes;
    gaussian->constants = jemi_alloc((size_t)n_classes, sizeof *gaussian->constants);
    if (gaussian->constants == NULL)
        return jemi_fail_memory("Gaussians of a detector");
    memcpy(gaussian->constants, data, (size_t)n_classes * sizeof *gaussian->constants);
    for (int64_t c = 0; c < n_classes; c++)
        if (!(gaussian->constants[c] >= 0.0f))
            return jemi_fail(JEM_EFORMAT, "the model's '%s' holds %g; expected none below 0",
                             constants, (double)gaussian->constants[c]);
    return read_map(&gaussian->map, parts, name, rank, rank + n_classes, NULL);
}

static jem_status check_counts(const int64_t *counts, int64_t n_cells)
{
    const int64_t most = INT64_C(1) << 40;
    int64_t sum = 0;
    for (int64_t c = 0; c < n_cells; c++) {
        if (counts[c] < 0 || counts[c] > most)
            return jemi_fail(JEM_EFORMAT, "the model's 'detector.bank.counts' holds %lld",
                             (long long)counts[c]);
        sum += counts[c];
    }
    if (n_cells > JEMI_BANK_CELLS_MAX || sum < 1)
        return jemi_fail(JEM_EFORMAT, "the model's bank has %lld vectors in %lld cells",
                         (long long)sum, (long long)n_cells);
    return JEM_OK;
}

// Nothing large is allocated before the file is known to hold as much.
static jem_status read_bank(jemi_bank *bank, const jemi_attached *parts, int64_t rank)
{
    const int64_t n_cells = columns_of(parts, "detector.bank.counts", 1);
    if (n_cells == 0)
        return JEM_OK;
    const int64_t *counts = find(parts, "detector.bank.counts", JEMI_I64, 1, n_cells);
    if (counts == NULL)
        return JEM_EFORMAT;
    JEMI_TRY(check_counts(counts, n_cells));
    const int64_t pivots = jemi_bank_panels(n_cells) * JEMI_BANK_PANEL;
    const int64_t panels = jemi_bank_count_panels(n_cells, counts) * JEMI_BANK_PANEL;
    if (find(parts, "detector.bank.panels", JEMI_F32, panels, rank) == NULL)
        return JEM_EFORMAT;
    JEMI_TRY(jemi_bank_create(bank, rank, n_cells, counts));
    JEMI_TRY(copy_floats(parts, "detector.bank.pivots", pivots, rank, bank->pivots));
    return copy_floats(parts, "detector.bank.panels", panels, rank, bank->panels);
}

static jem_status read_vectors(jemi_feature_stats *s, const jemi_attached *parts)
{
    const int64_t stride = jemi_linear_map_stride(s->width);
    s->origin = jemi_alloc((size_t)s->rank, sizeof *s->origin);
    s->mean = jemi_calloc((size_t)stride, sizeof *s->mean);
    if (s->origin == NULL || s->mean == NULL)
        return jemi_fail_memory("statistics of a detector");
    JEMI_TRY(copy_floats(parts, "detector.origin", 1, s->rank, s->origin));
    JEMI_TRY(copy_floats(parts, "detector.mean", 1, s->width, s->mean));
    return read_map(&s->basis, parts, "detector.basis", stride, s->rank, s->origin);
}

static jem_status read_stats(jemi_feature_stats *s, const jemi_detector_numbers *n,
                             const jem_model *model, const jemi_attached *parts)
{
    s->width = jemi_graph_cut_size(&model->graph, JEMI_CUT_FEATURES);
    s->n_classes = jemi_model_classes(model);
    s->rank = n->rank;
    s->vim_rank = n->vim_rank;
    s->residual_variance = n->residual_variance;
    s->unit_residual_variance = n->unit_residual_variance;
    s->vim_scale = n->vim_scale;
    s->react_clip = n->react_clip;
    if (s->rank > s->width || s->vim_rank > s->rank)
        return jemi_fail(JEM_EFORMAT, "the model's detector has %lld directions of %lld features",
                         (long long)s->rank, (long long)s->width);
    JEMI_TRY(read_vectors(s, parts));
    JEMI_TRY(read_gaussian(&s->tied, parts, "detector.tied", "detector.tied.constants", s->rank,
                           s->n_classes));
    JEMI_TRY(read_gaussian(&s->background, parts, "detector.background",
                           "detector.background.constants", s->rank, 1));
    JEMI_TRY(read_gaussian(&s->unit, parts, "detector.unit", "detector.unit.constants", s->rank,
                           s->n_classes));
    return read_bank(&s->bank, parts, s->rank);
}

// What its kinds need is there.
static jem_status check_kinds(const jem_detector *detector, const jemi_feature_stats *s)
{
    const jemi_feature_request needed = jemi_detector_needs(detector);
    if ((needed.tied && s->tied.rank == 0) || (needed.background && s->background.rank == 0) ||
        (needed.unit && s->unit.rank == 0) || (needed.bank && s->bank.n == 0))
        return jemi_fail(JEM_EFORMAT, "the model's detector lacks statistics that its kinds need");
    return JEM_OK;
}

// ---- calibration -------------------------------------------------------------------------------

static jem_status read_tails(jemi_calibration *c, const jemi_attached *parts)
{
    const int64_t n = columns_of(parts, "detector.tails", c->n_kinds);
    if (c->combine == 0)
        return JEM_OK;
    const float *values = find(parts, "detector.tails", JEMI_F32, c->n_kinds, n > 0 ? n : 1);
    if (values == NULL)
        return JEM_EFORMAT;
    for (int32_t k = 0; k < c->n_kinds; k++, values += n) {
        JEMI_TRY(check_ascending("detector.tails", values, n));
        JEMI_TRY(jemi_tail_fit(&c->tails[k], n, values));
    }
    return JEM_OK;
}

static jem_status read_groups(jemi_calibration *c, const jemi_attached *parts)
{
    const int64_t *begin = find(parts, "detector.begin", JEMI_I64, 1, c->n_groups + 1);
    const float *scores = find(parts, "detector.scores", JEMI_F32, 1, c->n);
    if (begin == NULL || scores == NULL)
        return JEM_EFORMAT;
    memcpy(c->begin, begin, (size_t)(c->n_groups + 1) * sizeof *c->begin);
    for (int32_t g = 0; g < c->n_groups; g++) {
        const int64_t first = c->begin[g], end = c->begin[g + 1];
        if (first < 0 || end <= first || end > c->n || (g == 0 && first != 0) ||
            (g == c->n_groups - 1 && end != c->n))
            return jemi_fail(JEM_EFORMAT, "the model's 'detector.begin' does not rise from 0 to "
                                          "the number of scores");
        JEMI_TRY(check_ascending("detector.scores", scores + first, end - first));
    }
    memcpy(c->sorted, scores, (size_t)c->n * sizeof *scores);
    return JEM_OK;
}

static jem_status read_thresholds(jemi_calibration *c, const jemi_detector_numbers *n,
                                  const jemi_attached *parts)
{
    const float *data = find(parts, "detector.thresholds", JEMI_F32, 1, c->n_groups);
    if (data == NULL)
        return JEM_EFORMAT;
    const size_t bytes = (size_t)c->n_groups * sizeof c->thresholds->of_group[0];
    c->thresholds = jemi_alloc(1, sizeof *c->thresholds + bytes);
    if (c->thresholds == NULL)
        return jemi_fail_memory("thresholds");
    c->thresholds->fpr = n->fpr;
    c->thresholds->confidence = n->confidence;
    memcpy(c->thresholds->of_group, data, bytes);
    for (int32_t g = 0; g < c->n_groups; g++)
        if (isnan(c->thresholds->of_group[g]))
            return jemi_fail(JEM_EFORMAT, "the model's 'detector.thresholds' holds NaN");
    return JEM_OK;
}

// They are there if labels were.
static jem_status read_labels(jemi_calibration *c, const jemi_attached *parts)
{
    const int64_t n = columns_of(parts, "detector.labels", 1);
    if (jemi_attached_array(parts, "detector.labels") == NULL)
        return JEM_OK;
    const float *scores = find(parts, "detector.labels", JEMI_F32, 1, n > 0 ? n : 1);
    if (scores == NULL)
        return JEM_EFORMAT;
    JEMI_TRY(check_ascending("detector.labels", scores, n));
    return jemi_calibration_set_labels(c, n, scores);
}

static jem_status read_calibration(jemi_calibration *c, const jem_detector *detector,
                                   const jemi_detector_numbers *n, const jemi_attached *parts)
{
    bool two_sided[JEMI_KINDS_MAX];
    const jemi_calibration shape = jemi_detector_calibration(detector, two_sided);
    c->n_kinds = shape.n_kinds;
    c->combine = n->combine;
    c->n_groups = shape.n_groups;
    const int64_t rows = columns_of(parts, "detector.scores", 1);
    if (n->combine != shape.combine || n->n_groups != shape.n_groups || rows < 1)
        return jemi_fail(JEM_EFORMAT, "the model's detector contradicts its settings");
    JEMI_TRY(jemi_calibration_allocate(c, two_sided, rows));
    c->n = rows;
    JEMI_TRY(read_tails(c, parts));
    JEMI_TRY(read_groups(c, parts));
    JEMI_TRY(read_labels(c, parts));
    return read_thresholds(c, n, parts);
}

// ---- both --------------------------------------------------------------------------------------

static jem_status read_learnt(jemi_learnt *learnt, const jem_detector *detector,
                              const jem_model *model, const jemi_detector_numbers *n,
                              const jemi_attached *parts)
{
    learnt->model = n->model;
    learnt->n_fitted = n->n_fitted;
    if (n->rank > 0) {
        learnt->stats = jemi_calloc(1, sizeof *learnt->stats);
        if (learnt->stats == NULL)
            return jemi_fail_memory("statistics of a detector");
        JEMI_TRY(read_stats(learnt->stats, n, model, parts));
        JEMI_TRY(check_kinds(detector, learnt->stats));
    } else if (jemi_detector_wants(detector, JEM_SOURCE_FEATURES)) {
        return jemi_fail(JEM_EFORMAT, "the model's detector lacks statistics that its kinds need");
    }
    return read_calibration(&learnt->calibration, detector, n, parts);
}

jem_status jemi_detector_unpack(jem_detector **out, const jem_model *model,
                                const jemi_attached *parts)
{
    jemi_detector_numbers n;
    JEMI_TRY(jemi_detector_numbers_read(&n, parts));
    n.config.struct_size = sizeof n.config;
    n.scores.struct_size = sizeof n.scores;
    JEMI_TRY(jemi_detector_check_kinds(&n.config, jemi_model_classes(model), JEM_EFORMAT));
    jem_detector *detector;
    jemi_learnt *learnt = jemi_calloc(1, sizeof *learnt);
    if (learnt == NULL)
        return jemi_fail_memory("detector");
    jem_status status = jemi_detector_create(&detector, model, &n.config, &n.scores);
    if (status != JEM_OK) {
        jemi_free(learnt);
        return status;
    }
    status = read_learnt(learnt, detector, model, &n, parts);
    if (status == JEM_OK) {
        jemi_detector_exchange(detector, learnt);
        *out = detector;
        return JEM_OK;
    }
    jemi_learnt_destroy(learnt);
    jemi_detector_destroy(detector);
    return status;
}
