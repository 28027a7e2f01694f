/*
 * Risk and coverage of leaving uncertain predictions out. Rows of equal uncertainty are a group, of
 * which only the number of rows and the sum of the losses are known here.
 */
#include "base/memory.h"
#include "base/status.h"
#include "detect/metrics.h"
#include "detect/ranking.h"

typedef struct loss_group {
    int64_t n;
    double loss; // sum
} loss_group;

typedef struct loss_groups {
    int64_t n_rows, n;
    loss_group *groups; // (n), from the least uncertain on
} loss_groups;

static jem_status collect_losses(const jemi_ranking *ranking, const float *loss, loss_groups *out)
{
    out->n = ranking->n_groups;
    out->groups = jemi_calloc((size_t)out->n, sizeof *out->groups);
    if (out->groups == NULL)
        return jemi_fail_memory("groups of losses");
    for (int64_t i = 0; i < out->n_rows; i++) {
        loss_group *group = &out->groups[ranking->group[i]];
        group->n++;
        group->loss += loss[i];
    }
    return JEM_OK;
}

// Groups of rows of equal keys, ascending.
static jem_status group_losses(int64_t n, const float *keys, const float *loss, loss_groups *out)
{
    *out = (loss_groups){.n_rows = n};
    jemi_ranking ranking = {0};
    double *values = jemi_alloc((size_t)n, sizeof *values);
    if (values == NULL)
        return jemi_fail_memory("uncertainties");
    for (int64_t i = 0; i < n; i++)
        values[i] = keys[i];
    jem_status status = jemi_ranking_make(&ranking, n, values);
    if (status == JEM_OK)
        status = collect_losses(&ranking, loss, out);
    jemi_ranking_free(&ranking);
    jemi_free(values);
    return status;
}

// The mean of S(k) / k. Within a group S grows by the group's mean.
static double aurc_of(const loss_groups *groups)
{
    double area = 0.0, sum = 0.0, accepted = 0.0;
    for (int64_t g = 0; g < groups->n; g++) {
        const loss_group group = groups->groups[g];
        const double mean = group.loss / (double)group.n;
        for (int64_t k = 1; k <= group.n; k++)
            area += (sum + (double)k * mean) / (accepted + (double)k);
        sum += group.loss;
        accepted += (double)group.n;
    }
    return area / (double)groups->n_rows;
}

// One trapezium for each group, as S grows along a line there.
static double augrc_of(const loss_groups *groups)
{
    double area = 0.0, sum = 0.0;
    for (int64_t g = 0; g < groups->n; g++) {
        const loss_group group = groups->groups[g];
        area += (double)group.n * (sum + 0.5 * group.loss);
        sum += group.loss;
    }
    return area / ((double)groups->n_rows * (double)groups->n_rows);
}

static double risk_of(const loss_groups *groups)
{
    double sum = 0.0;
    for (int64_t g = 0; g < groups->n; g++)
        sum += groups->groups[g].loss;
    return sum / (double)groups->n_rows;
}

jem_status jemi_selective_metrics(int64_t n, const float *uncertainty, const float *loss,
                                  jem_selection *out)
{
    loss_groups given = {0}, best = {0};
    jem_status status = group_losses(n, uncertainty, loss, &given);
    if (status == JEM_OK)
        status = group_losses(n, loss, loss, &best);
    if (status == JEM_OK) {
        out->risk = risk_of(&given);
        out->aurc = aurc_of(&given);
        out->augrc = augrc_of(&given);
        const double excess = out->aurc - aurc_of(&best);
        out->eaurc = excess > 0.0 ? excess : 0.0; // less is rounding
    }
    jemi_free(given.groups);
    jemi_free(best.groups);
    return status;
}

static void fill_curve(const loss_groups *groups, jemi_curve *curve)
{
    double sum = 0.0, accepted = 0.0;
    for (int64_t g = 0; g < groups->n; g++) {
        sum += groups->groups[g].loss;
        accepted += (double)groups->groups[g].n;
        curve->x[g] = accepted / (double)groups->n_rows;
        curve->y[g] = sum / accepted;
    }
}

jem_status jemi_risk_coverage_curve(int64_t n, const float *uncertainty, const float *loss,
                                    jemi_curve *curve)
{
    loss_groups groups = {0};
    jem_status status = group_losses(n, uncertainty, loss, &groups);
    if (status == JEM_OK)
        status = jemi_curve_set_points(curve, groups.n);
    if (status == JEM_OK && curve->room > 0)
        fill_curve(&groups, curve);
    jemi_free(groups.groups);
    return status;
}
