/*
 * What can be made from the rest is not stored: packed matrices, scales of tails.
 */
#include "detect/detector_store.h"

#include <string.h>

#include "base/memory.h"
#include "detect/detector_numbers.h"

enum { ARRAYS_MAX = 20 };

// The parts while they are listed.
typedef struct packing {
    jemi_safetensor arrays[ARRAYS_MAX];
    jemi_string_pair strings[JEMI_DETECTOR_NUMBERS];
    char texts[JEMI_DETECTOR_NUMBERS][JEMI_DETECTOR_NUMBER_SIZE];
    size_t n;
    float *tails; // (n_kinds, values of a tail)
} packing;

static void add(packing *p, const char *name, jemi_dtype dtype, int64_t rows, int64_t row_len,
                const void *data)
{
    if (rows * row_len > 0)
        p->arrays[p->n++] = (jemi_safetensor){
            .name = name, .dtype = dtype, .rank = 2, .shape = {rows, row_len}, .data = data};
}

static void add_gaussian(packing *p, const char *matrix, const char *constants,
                         const jemi_tied_gaussian *gaussian)
{
    add(p, matrix, JEMI_F32, gaussian->map.out, gaussian->map.in, gaussian->map.matrix);
    add(p, constants, JEMI_F32, 1, gaussian->n_classes, gaussian->constants);
}

static void add_stats(packing *p, const jemi_feature_stats *s)
{
    const jemi_bank *bank = &s->bank;
    const int64_t panels = bank->n_cells > 0 ? bank->begin[bank->n_cells] : 0;
    add(p, "detector.basis", JEMI_F32, s->basis.out, s->basis.in, s->basis.matrix);
    add(p, "detector.origin", JEMI_F32, 1, s->rank, s->origin);
    add(p, "detector.mean", JEMI_F32, 1, s->width, s->mean);
    add_gaussian(p, "detector.tied", "detector.tied.constants", &s->tied);
    add_gaussian(p, "detector.background", "detector.background.constants", &s->background);
    add_gaussian(p, "detector.unit", "detector.unit.constants", &s->unit);
    add(p, "detector.bank.counts", JEMI_I64, 1, bank->n_cells, bank->counts);
    add(p, "detector.bank.pivots", JEMI_F32, jemi_bank_panels(bank->n_cells) * JEMI_BANK_PANEL,
        bank->rank, bank->pivots);
    add(p, "detector.bank.panels", JEMI_F32, panels * JEMI_BANK_PANEL, bank->rank, bank->panels);
}

// Every tail has the same rows.
static jem_status add_tails(packing *p, const jemi_calibration *c)
{
    const int64_t n = c->combine != 0 ? c->tails[0].n : 0;
    if (n == 0)
        return JEM_OK;
    p->tails = jemi_alloc((size_t)(c->n_kinds * n), sizeof *p->tails);
    if (p->tails == NULL)
        return jemi_fail_memory("tails of a detector");
    for (int32_t k = 0; k < c->n_kinds; k++)
        memcpy(p->tails + k * n, c->tails[k].sorted, (size_t)n * sizeof *p->tails);
    add(p, "detector.tails", JEMI_F32, c->n_kinds, n, p->tails);
    return JEM_OK;
}

static void add_calibration(packing *p, const jemi_calibration *c)
{
    add(p, "detector.scores", JEMI_F32, 1, c->n, c->sorted);
    add(p, "detector.begin", JEMI_I64, 1, c->n_groups + 1, c->begin);
    add(p, "detector.thresholds", JEMI_F32, 1, c->n_groups, c->thresholds->of_group);
    add(p, "detector.labels", JEMI_F32, 1, c->n_labelled, c->label_scores);
}

static jemi_detector_numbers numbers_of(const jem_detector *detector)
{
    const jemi_learnt *learnt = jemi_detector_learnt(detector);
    const jemi_feature_stats *stats = learnt->stats;
    const jemi_calibration *c = &learnt->calibration;
    jemi_detector_numbers n = {.format = JEMI_DETECTOR_FORMAT,
                               .model = learnt->model,
                               .config = detector->config,
                               .scores = detector->scores,
                               .fpr = c->thresholds->fpr,
                               .confidence = c->thresholds->confidence,
                               .n_fitted = learnt->n_fitted,
                               .combine = c->combine,
                               .n_groups = c->n_groups};
    if (stats != NULL) {
        n.rank = stats->rank;
        n.vim_rank = stats->vim_rank;
        n.residual_variance = stats->residual_variance;
        n.unit_residual_variance = stats->unit_residual_variance;
        n.vim_scale = stats->vim_scale;
        n.react_clip = stats->react_clip;
    }
    return n;
}

jem_status jemi_detector_pack(jemi_attachment **out, const jem_detector *detector)
{
    const jemi_learnt *learnt = jemi_detector_learnt(detector);
    const jemi_detector_numbers numbers = numbers_of(detector);
    packing p = {.n = 0};
    for (int i = 0; i < JEMI_DETECTOR_NUMBERS; i++)
        p.strings[i] = jemi_detector_number_format(&numbers, i, p.texts[i]);
    if (learnt->stats != NULL)
        add_stats(&p, learnt->stats);
    add_calibration(&p, &learnt->calibration);
    jem_status status = add_tails(&p, &learnt->calibration);
    if (status == JEM_OK)
        status = jemi_attachment_create(
            out, &(jemi_attached){p.n, JEMI_DETECTOR_NUMBERS, p.arrays, p.strings});
    jemi_free(p.tails);
    return status;
}
