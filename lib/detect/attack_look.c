/*
 * One pass for each look: refinement, logits and gradient of a chunk while it is in the cache.
 */
#include "detect/attack_look.h"

#include <math.h>
#include <string.h>

#include "base/elementary.h"
#include "detect/attack_detector.h"
#include "detect/largest.h"
#include "ebm/density.h"
#include "ebm/overflow.h"
#include "kernels/vector.h"

typedef struct look {
    jemi_front *front;
    const float *points;
    float *grads;         // NULL = none
    jemi_purpose purpose; // of the refinement's noise
    uint64_t moment;
} look;

// ---- one row -----------------------------------------------------------------------------------

// log p(y|x) - log(1 - p(y|x)) = f[y] - logsumexp of the others.
static double log_odds(const float *f, int32_t n_classes, int64_t y)
{
    double most = -(double)INFINITY, sum = 0.0;
    for (int32_t k = 0; k < n_classes; k++)
        if (k != y && f[k] > most)
            most = f[k];
    for (int32_t k = 0; k < n_classes; k++)
        sum += k != y ? jemi_exp(f[k] - most) : 0.0;
    return f[y] - (most + jemi_ln(sum));
}

// Times `sign`, with respect to the logits.
static void log_odds_gradient(const float *f, int32_t n_classes, int64_t y, double sign,
                              float *dlogits)
{
    const double others = f[y] - log_odds(f, n_classes, y);
    for (int32_t k = 0; k < n_classes; k++)
        dlogits[k] = (float)(k == y ? sign : -sign * jemi_exp(f[k] - others));
}

static double cost_of(const jem_attack_config *config, const float *f, int32_t n_classes,
                      int64_t label, float *dlogits)
{
    const double sign = config->goal == JEM_GOAL_TARGET ? -1.0 : 1.0;
    if (config->goal == JEM_GOAL_ENERGY) {
        float energy;
        jemi_density(1, n_classes, f, label >= 0 ? &label : NULL, &energy, dlogits);
        return energy;
    }
    if (dlogits != NULL)
        log_odds_gradient(f, n_classes, label, sign, dlogits);
    return sign * log_odds(f, n_classes, label);
}

// Of a row that overflows nothing can be said but that it is not classified right.
static void judge_overflow(const jem_attack_config *config, jemi_attacked *row)
{
    row->reached = config->goal == JEM_GOAL_UNTARGETED;
    row->cost = row->reached ? -(double)INFINITY : (double)INFINITY;
}

// By the mean logits and the sum of the costs over all samples.
static void judge(const jemi_attack *attack, const float *f, jemi_attacked *row)
{
    const jem_attack_config *config = attack->config;
    if (!jemi_all_finite(f, attack->classes, NULL)) {
        judge_overflow(config, row);
        return;
    }
    row->cost /= config->refine_samples;
    const int32_t top = (int32_t)jemi_find_top(attack->classes, f);
    if (config->goal == JEM_GOAL_UNTARGETED)
        row->reached = top != row->label;
    else if (config->goal == JEM_GOAL_ENERGY)
        row->reached = row->cost <= config->threshold;
    else if (config->confidence > 0.0f)
        row->reached = jemi_exp(f[row->label] - jemi_logsumexp(f, attack->classes, NULL)) >
                       (double)config->confidence;
    else
        row->reached = top == row->label;
}

// ---- a chunk -----------------------------------------------------------------------------------

// Langevin steps from the points of the chunk, with running statistics: rows stay independent.
static jem_status refine(const look *l, jemi_chunk *chunk, int32_t sample, const float **out)
{
    const jemi_attack *attack = l->front->attack;
    const jem_attack_config *config = attack->config;
    const int64_t row_len = attack->ball.row_len, first = chunk->first;
    float *x = l->front->refined + first * row_len;
    jemi_langevin_params kernel = {
        .step_size = config->refine_step_size,
        .noise_std = config->refine_noise_std,
        .grad_clamp = INFINITY,
        .low = -INFINITY,
        .high = INFINITY,
        .key = jemi_random_key_make(config->seed, l->purpose, (uint32_t)sample),
    };
    uint32_t numbers[JEMI_ATTACK_ROWS_MAX];
    for (int64_t i = 0; i < chunk->n; i++)
        numbers[i] = l->front->rows[first + i]->row;
    kernel.rows = numbers;
    memcpy(x, l->points + first * row_len, (size_t)(chunk->n * row_len) * sizeof *x);
    for (int32_t k = 0; k < config->refine_steps; k++) {
        JEMI_TRY(jemi_energy_grad_chunk(chunk, x, NULL, NULL, chunk->scratch));
        kernel.step = l->moment * (uint64_t)config->refine_steps + (uint64_t)k;
        jemi_langevin(x, chunk->scratch, chunk->n, row_len, &kernel, NULL);
    }
    *out = x;
    return JEM_OK;
}

// Adds the logits and costs of a sample, and leaves what the costs' gradients begin with.
static void add_sample(const look *l, jemi_chunk *chunk, int32_t sample)
{
    const jemi_attack *attack = l->front->attack;
    const int32_t n_classes = attack->classes;
    const float weight = 1.0f / (float)attack->config->refine_samples;
    for (int64_t i = 0; i < chunk->n; i++) {
        const float *f = chunk->out + i * n_classes;
        float *mean = l->front->logits + (chunk->first + i) * n_classes;
        float *dlogits = l->grads != NULL ? chunk->dout + i * n_classes : NULL;
        jemi_attacked *row = l->front->rows[chunk->first + i];
        for (int32_t k = 0; k < n_classes; k++)
            mean[k] = (sample > 0 ? mean[k] : 0.0f) + weight * f[k];
        row->cost = (sample > 0 ? row->cost : 0.0) +
                    cost_of(attack->config, f, n_classes, row->label, dlogits);
    }
}

static jem_status add_gradient(const look *l, jemi_chunk *chunk, int32_t sample)
{
    const int64_t row_len = l->front->attack->ball.row_len;
    float *sum = l->grads + chunk->first * row_len;
    float *grad = sample > 0 ? chunk->scratch : sum;
    JEMI_TRY(jemi_chunk_backward(chunk, grad));
    jemi_overflow_grad(chunk->n, l->front->attack->classes, chunk->out, row_len, grad);
    if (sample > 0)
        jemi_accumulate(sum, grad, chunk->n * row_len);
    return JEM_OK;
}

static jem_status look_at_chunk(void *context, jemi_chunk *chunk)
{
    const look *l = context;
    const jemi_attack *attack = l->front->attack;
    for (int32_t s = 0; s < attack->config->refine_samples; s++) {
        const float *x = l->points + chunk->first * attack->ball.row_len;
        if (attack->config->refine_steps > 0)
            JEMI_TRY(refine(l, chunk, s, &x));
        JEMI_TRY(jemi_chunk_forward(chunk, x));
        add_sample(l, chunk, s);
        if (l->grads != NULL)
            JEMI_TRY(add_gradient(l, chunk, s));
    }
    for (int64_t i = 0; i < chunk->n; i++)
        judge(attack, l->front->logits + (chunk->first + i) * attack->classes,
              l->front->rows[chunk->first + i]);
    return JEM_OK;
}

// ---- all rows ----------------------------------------------------------------------------------

static jem_status run(look *l)
{
    const jemi_attack *attack = l->front->attack;
    const bool backward = l->grads != NULL || attack->config->refine_steps > 0;
    const jemi_pass pass =
        jemi_pass_scoring(attack->model, attack->runner, backward ? JEMI_WANT_DINPUT : 0);
    if (l->front->n == 0)
        return JEM_OK;
    return jemi_pass_run(&pass, attack->runner, l->front->n,
                         &(jemi_rows_work){.compute = look_at_chunk, .context = l});
}

jem_status jemi_attack_look(jemi_front *front, int plane, uint64_t moment, int grads)
{
    if (front->attack->config->goal == JEM_GOAL_DETECTOR)
        return jemi_attack_look_at_detector(front, plane, grads);
    return run(&(look){.front = front,
                       .points = front->planes[plane],
                       .grads = grads >= 0 ? front->planes[grads] : NULL,
                       .purpose = JEMI_RANDOM_REFINE,
                       .moment = moment});
}

jem_status jemi_attack_verdict(jemi_front *front, int plane)
{
    return run(
        &(look){.front = front, .points = front->planes[plane], .purpose = JEMI_RANDOM_VERDICT});
}
