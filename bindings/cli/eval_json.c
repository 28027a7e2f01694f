/*
 * The figures of an evaluation as JSON: "auroc" is the table that a terminal shows, "ood" has all
 * that is known of each set.
 */
#include <math.h>

#include "evaluation.h"
#include "json_text.h"

static void set_number(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void set_interval(json_t *object, const char *key, double low, double high)
{
    json_t *ends = json_array();
    json_array_append_new(ends, json_real(low));
    json_array_append_new(ends, json_real(high));
    json_object_set_new(object, key, ends);
}

// ---- the test set ------------------------------------------------------------------------------

static json_t *selection_json(const jem_selection *selection)
{
    json_t *object = json_object();
    set_number(object, "aurc", selection->aurc);
    set_number(object, "eaurc", selection->eaurc);
    set_number(object, "augrc", selection->augrc);
    return object;
}

static void set_classification(const cli_evaluation *e, json_t *root)
{
    const jem_classification *value = &e->classification, *low = &e->classification_low,
                             *high = &e->classification_high;
    set_number(root, "ece_adaptive", value->ece_adaptive);
    set_number(root, "ece_classwise", value->ece_classwise);
    if (e->resamples > 0) {
        json_t *intervals = json_object();
        set_interval(intervals, "accuracy", low->accuracy, high->accuracy);
        set_interval(intervals, "nll", low->nll, high->nll);
        set_interval(intervals, "ece", low->ece, high->ece);
        set_interval(intervals, "brier", low->brier, high->brier);
        json_object_set_new(root, "intervals", intervals);
    }
    json_t *selective = json_object();
    for (int c = 0; c < e->scorer->n_columns; c++)
        json_object_set_new(selective, e->scorer->columns[c].name,
                            selection_json(&e->selection[c]));
    json_object_set_new(root, "selective", selective);
}

static void set_promise(const cli_evaluation *e, json_t *root)
{
    const jem_detector_info *info = &e->scorer->promise;
    json_t *promise = json_object();
    set_number(promise, "false_positive_rate", info->fpr);
    set_number(promise, "confidence", info->confidence);
    set_number(promise, "threshold", info->threshold);
    json_object_set_new(root, "false_positive_rate", json_real(e->false_positive_rate));
    json_object_set_new(root, "promise", promise);
}

// ---- other sets --------------------------------------------------------------------------------

static json_t *detection_json(const cli_evaluation *e, const cli_detection *figures)
{
    json_t *object = json_object();
    const jem_detection *value = &figures->value, *low = &figures->low, *high = &figures->high;
    set_number(object, "auroc", value->auroc);
    set_number(object, "aupr_out", value->aupr_out);
    set_number(object, "aupr_in", value->aupr_in);
    set_number(object, "fpr95_in_positive", value->fpr_in_positive);
    set_number(object, "fpr95_out_positive", value->fpr_out_positive);
    if (e->resamples > 0)
        set_interval(object, "auroc_interval", low->auroc, high->auroc);
    return object;
}

static json_t *set_json(const cli_evaluation *e, const cli_eval_set *set)
{
    json_t *object = json_object();
    json_object_set_new(object, "n", json_integer(set->scores.n));
    for (int c = 0; c < e->scorer->n_columns; c++) {
        json_t *figures = detection_json(e, &set->columns[c]);
        if (e->scorer->columns[c].kind == 0)
            set_number(figures, "flagged", set->flagged);
        json_object_set_new(object, e->scorer->columns[c].name, figures);
    }
    return object;
}

static json_t *areas_json(const cli_evaluation *e, const cli_eval_set *set)
{
    json_t *object = json_object();
    for (int c = 0; c < e->scorer->n_columns; c++)
        set_number(object, e->scorer->columns[c].name, set->columns[c].value.auroc);
    return object;
}

void cli_eval_json(const cli_evaluation *e, json_t *root)
{
    json_t *areas = json_object(), *sets = json_object();
    if (e->labels != NULL)
        set_classification(e, root);
    if (e->scorer->detector != NULL)
        set_promise(e, root);
    for (int i = 0; i < e->n_sets; i++) {
        cli_json_set(areas, e->sets[i].name, areas_json(e, &e->sets[i]));
        cli_json_set(sets, e->sets[i].name, set_json(e, &e->sets[i]));
    }
    json_object_set_new(root, "auroc", areas);
    json_object_set_new(root, "ood", sets);
}
