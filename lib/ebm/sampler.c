/*
 * The replay buffer and the draws from it (Du & Mordatch 2019).
 *
 * A draw takes distinct slots, so storing the chains back has one meaning in any order; and it
 * works on a copy, so a failed or cancelled draw leaves the buffer alone.
 */
#include "ebm/sampler.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/version.h"
#include "kernels/vector.h"

enum {
    GRAIN_FLOATS = 1 << 14, // of rows that a thread takes at a time
    QUIET_FLOATS = 1 << 20, // of rows between two words to the host
};

static int64_t row_len(const jem_sampler *sampler)
{
    return jemi_shape_size(sampler->fingerprint.input);
}

static void sort_slots(jem_sampler *sampler)
{
    for (int32_t s = 0; s < sampler->config.capacity; s++)
        sampler->order[s] = (uint32_t)s;
}

jem_status jemi_sampler_create(jem_sampler **out, const jem_model *model,
                               const jem_sampler_config *config)
{
    jem_sampler *sampler = jemi_calloc(1, sizeof *sampler);
    if (sampler == NULL)
        return jemi_fail_memory("sampler");
    sampler->config = *config;
    if (config->matched_noise)
        sampler->config.noise_std = (float)sqrt(2.0 * config->step_size);
    sampler->fingerprint = jemi_model_fingerprint(model);
    sampler->threads = model->exec.threads;
    sampler->starts = jemi_starts_make(config, row_len(sampler));
    const size_t capacity = (size_t)config->capacity;
    sampler->chains = jemi_alloc(capacity, (size_t)row_len(sampler) * sizeof(float));
    sampler->ages = jemi_alloc(capacity, sizeof *sampler->ages);
    sampler->order = jemi_alloc(capacity, sizeof *sampler->order);
    sampler->slots = jemi_alloc(capacity, sizeof *sampler->slots);
    sampler->draw_labels = jemi_alloc(capacity, sizeof *sampler->draw_labels);
    sampler->draw_ages = jemi_alloc(capacity, sizeof *sampler->draw_ages);
    sampler->draw_norms = jemi_alloc(capacity, sizeof *sampler->draw_norms);
    if (sampler->chains == NULL || sampler->ages == NULL || sampler->order == NULL ||
        sampler->slots == NULL || sampler->draw_labels == NULL || sampler->draw_ages == NULL ||
        sampler->draw_norms == NULL) {
        jemi_sampler_destroy(sampler);
        return jemi_fail_memory("replay buffer");
    }
    sampler->shuffled = true; // many slots are sorted where the host can cancel, by fill()
    jemi_sampler_renew(sampler);
    *out = sampler;
    return JEM_OK;
}

void jemi_sampler_destroy(jem_sampler *sampler)
{
    if (sampler == NULL)
        return;
    jemi_starts_fini(&sampler->starts);
    jemi_free(sampler->chains);
    jemi_free(sampler->ages);
    jemi_free(sampler->order);
    jemi_free(sampler->slots);
    jemi_free(sampler->draw_labels);
    jemi_free(sampler->draw_ages);
    jemi_free(sampler->draw_norms);
    jemi_free(sampler);
}

int64_t jemi_sampler_slot_label(const jem_sampler *sampler, uint32_t slot)
{
    const int64_t label = slot % sampler->fingerprint.classes;
    return sampler->config.class_conditional ? label : -1;
}

jem_status jemi_sampler_check_fit(const jem_sampler *sampler)
{
    if (!jemi_starts_ready(&sampler->starts))
        return jemi_fail(JEM_EINVAL,
                         "the sampler starts chains from data that it has not seen; call "
                         "jem_sampler_fit first");
    return JEM_OK;
}

bool jemi_sampler_takes_data(const jem_sampler *sampler)
{
    return sampler->config.start == JEM_START_DATA && !sampler->config.class_conditional;
}

static jemi_random_key key_for(const jem_sampler *sampler, jemi_purpose purpose)
{
    return jemi_random_key_make(sampler->config.seed, purpose, sampler->epoch);
}

static jemi_start_keys start_keys(const jem_sampler *sampler, jemi_purpose choice,
                                  jemi_purpose values, jemi_purpose directions)
{
    return (jemi_start_keys){
        key_for(sampler, choice),
        key_for(sampler, values),
        key_for(sampler, directions),
    };
}

void jemi_sampler_start(jem_sampler *sampler, int64_t n, const int64_t *labels, float *x)
{
    const jemi_start_keys keys = start_keys(sampler, JEMI_RANDOM_START_ROW_CHOICE,
                                            JEMI_RANDOM_START_ROW, JEMI_RANDOM_START_ROW_FACTOR);
    for (int64_t i = 0; i < n; i++)
        jemi_start_row(&sampler->starts, &keys, (uint32_t)i, sampler->row_starts,
                       labels != NULL ? labels[i] : -1, x + i * row_len(sampler));
    sampler->row_starts++;
}

static void start_slot(const jem_sampler *sampler, uint32_t slot, float *x)
{
    const jemi_start_keys keys =
        start_keys(sampler, JEMI_RANDOM_START_CHOICE, JEMI_RANDOM_START, JEMI_RANDOM_START_FACTOR);
    jemi_start_row(&sampler->starts, &keys, slot, sampler->draws,
                   jemi_sampler_slot_label(sampler, slot), x);
}

// Row i of a draw's data, counted round.
static void start_at_data(const jem_sampler *sampler, const jemi_draw *draw, int64_t i, float *x)
{
    jemi_start_at(&sampler->starts, draw->data + i % draw->n_data * row_len(sampler), x);
}

// What a loop over slots or rows works on, of which `first` is the loop's 0.
typedef struct rows_job {
    jem_sampler *sampler;
    int64_t first;
    const jemi_draw *draw;
    const float *x;
    bool from_data;
} rows_job;

static int64_t rows_grain(const jem_sampler *sampler)
{
    return GRAIN_FLOATS / row_len(sampler) + 1;
}

// `draw` NULL: from what was fitted.
static void fill_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const rows_job *job = context;
    for (int64_t s = job->first + begin; s < job->first + end; s++) {
        float *x = job->sampler->chains + s * row_len(job->sampler);
        job->sampler->ages[s] = 0;
        job->sampler->order[s] = (uint32_t)s;
        if (job->draw != NULL)
            start_at_data(job->sampler, job->draw, s, x);
        else
            start_slot(job->sampler, (uint32_t)s, x);
    }
}

// In blocks, so that the host is told that its call lives, and may cancel it.
static jem_status for_rows(rows_job *job, int64_t count, jemi_task task, jemi_progress *progress)
{
    const int64_t most = QUIET_FLOATS / row_len(job->sampler) + 1;
    for (; job->first < count; job->first += most) {
        const int64_t left = count - job->first;
        jemi_parallel(left < most ? left : most, rows_grain(job->sampler), task, job);
        if (left > most)
            JEMI_TRY(jemi_progress_add(progress, 0));
    }
    return JEM_OK;
}

// Cancelled, it begins anew the next time, on other streams.
static jem_status fill(jem_sampler *sampler, const jemi_draw *draw, jemi_progress *progress)
{
    if (sampler->filled)
        return JEM_OK;
    rows_job job = {.sampler = sampler, .draw = draw};
    JEMI_TRY(for_rows(&job, sampler->config.capacity, fill_task, progress));
    sampler->draws++;
    sampler->shuffled = false;
    sampler->filled = true;
    return JEM_OK;
}

void jemi_sampler_fill(jem_sampler *sampler)
{
    jemi_progress nobody = {0};
    fill(sampler, NULL, &nobody);
}

void jemi_sampler_renew(jem_sampler *sampler)
{
    sampler->version = jemi_version_new();
}

void jemi_sampler_put(jem_sampler *sampler, int64_t first, int64_t n, const float *x)
{
    const int64_t len = row_len(sampler);
    if (n < sampler->config.capacity) // else there may be nothing fitted to start from
        jemi_sampler_fill(sampler);
    jemi_sampler_renew(sampler);
    memcpy(sampler->chains + first * len, x, (size_t)(n * len) * sizeof *x);
    memset(sampler->ages + first, 0, (size_t)n * sizeof *sampler->ages);
    atomic_signal_fence(memory_order_seq_cst); // another thread may fork before that
    sampler->filled = true;
}

static jemi_langevin_run_config run_config(const jem_sampler *sampler, int32_t steps)
{
    const jem_sampler_config *config = &sampler->config;
    return (jemi_langevin_run_config){
        .row_len = row_len(sampler),
        .steps = steps,
        .kernel = {.step_size = config->step_size,
                   .noise_std = config->noise_std,
                   .grad_clamp = config->grad_clamp,
                   .low = config->x_low,
                   .high = config->x_high},
    };
}

jem_status jemi_sampler_run(jem_sampler *sampler, jemi_runner *runner, const jemi_pass *pass,
                            const jemi_chains *chains, int32_t steps, jem_progress_fn progress,
                            void *user)
{
    jemi_langevin_run_config config = run_config(sampler, steps);
    config.kernel.key = key_for(sampler, JEMI_RANDOM_CHAIN_ROW);
    config.kernel.step = sampler->row_steps;
    config.progress = progress;
    config.progress_user = user;
    const jem_status status = jemi_langevin_chains(pass, runner, &config, chains);
    // Also after a failure: no noise is ever used twice. But memory ran out before any was used.
    if (status != JEM_ENOMEM)
        sampler->row_steps += (uint64_t)steps;
    return status;
}

static void swap(uint32_t *a, uint32_t *b)
{
    const uint32_t t = *a;
    *a = *b;
    *b = t;
}

// n distinct slots: the first n swaps of a Fisher-Yates shuffle, undone afterwards. In the child of a
// fork the thread that would have undone them may be missing.
static void choose_slots(jem_sampler *sampler, int64_t n)
{
    const jemi_random_key key = key_for(sampler, JEMI_RANDOM_SLOTS);
    const uint32_t capacity = (uint32_t)sampler->config.capacity;
    uint32_t *order = sampler->order;
    if (sampler->shuffled)
        sort_slots(sampler);
    sampler->shuffled = true;
    atomic_signal_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = jemi_random_u32(key, 0, i, sampler->draws);
        swap(&order[i], &order[i + jemi_below_from_u32(bits, capacity - i)]);
    }
    memcpy(sampler->slots, order, (size_t)n * sizeof *order);
    for (uint32_t i = (uint32_t)n; i-- > 0;) {
        const uint32_t bits = jemi_random_u32(key, 0, i, sampler->draws);
        swap(&order[i], &order[i + jemi_below_from_u32(bits, capacity - i)]);
    }
    atomic_signal_fence(memory_order_seq_cst);
    sampler->shuffled = false;
}

static void load_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const rows_job *job = context;
    jem_sampler *sampler = job->sampler;
    const jemi_random_key reinit = key_for(sampler, JEMI_RANDOM_REINIT);
    const size_t len = (size_t)row_len(sampler);
    for (int64_t i = job->first + begin; i < job->first + end; i++) {
        const uint32_t slot = sampler->slots[i];
        const uint32_t bits = jemi_random_u32(reinit, 0, slot, sampler->draws);
        const bool restart = jemi_unit_from_u32(bits) < sampler->config.reinit_prob;
        float *x = job->draw->x + (size_t)i * len;
        if (!restart)
            memcpy(x, sampler->chains + slot * len, len * sizeof *x);
        else if (job->from_data)
            start_at_data(sampler, job->draw, i, x);
        else
            start_slot(sampler, slot, x);
        sampler->draw_ages[i] = restart ? 0 : sampler->ages[slot];
        sampler->draw_labels[i] = jemi_sampler_slot_label(sampler, slot);
    }
}

static jem_status load_chains(jem_sampler *sampler, const jemi_draw *draw, bool from_data,
                              jemi_progress *progress)
{
    rows_job job = {.sampler = sampler, .draw = draw, .from_data = from_data};
    return for_rows(&job, draw->n, load_task, progress);
}

static void store_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const rows_job *job = context;
    jem_sampler *sampler = job->sampler;
    const size_t len = (size_t)row_len(sampler);
    for (int64_t i = begin; i < end; i++) {
        const uint32_t slot = sampler->slots[i];
        memcpy(sampler->chains + slot * len, job->x + (size_t)i * len, len * sizeof *job->x);
        sampler->ages[slot] = sampler->draw_ages[i] + sampler->config.steps;
    }
}

static void store_chains(jem_sampler *sampler, int64_t n, const float *x)
{
    rows_job job = {.sampler = sampler, .x = x};
    jemi_parallel(n, rows_grain(sampler), store_task, &job);
}

static int64_t count_clamped(const jem_sampler *sampler, const float *x, int64_t count)
{
    const float low = sampler->config.x_low, high = sampler->config.x_high;
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        n += x[i] == low || x[i] == high;
    return n;
}

static jemi_draw_figures figures_of(const jem_sampler *sampler, const jemi_draw *draw)
{
    const int64_t count = draw->n * row_len(sampler);
    double norms = 0.0, ages = 0.0;
    for (int64_t i = 0; i < draw->n; i++) {
        norms += (double)sampler->draw_norms[i];
        ages += (double)(sampler->draw_ages[i] + sampler->config.steps);
    }
    return (jemi_draw_figures){
        .grad_norm = norms / (double)draw->n,
        .age = ages / (double)draw->n,
        .clamped = (double)count_clamped(sampler, draw->x, count) / (double)count,
    };
}

jem_status jemi_sampler_draw(jem_sampler *sampler, jemi_runner *runner, const jemi_pass *pass,
                             const jemi_draw *draw, jemi_draw_figures *figures)
{
    const bool from_data = draw->data != NULL && jemi_sampler_takes_data(sampler);
    // The first chains: the fitted rows, if there are any, are more than one step's.
    const bool first_from_data = from_data && !jemi_starts_ready(&sampler->starts);
    jemi_progress progress = {draw->progress, draw->user, "chain steps", 0,
                              sampler->config.steps * draw->n};
    JEMI_TRY(jemi_progress_add(&progress, 0));
    JEMI_TRY(fill(sampler, first_from_data ? draw : NULL, &progress));
    choose_slots(sampler, draw->n);
    JEMI_TRY(load_chains(sampler, draw, from_data, &progress));
    memset(sampler->draw_norms, 0, (size_t)draw->n * sizeof *sampler->draw_norms);
    const jemi_chains chains = {
        .n = draw->n,
        .x = draw->x,
        .labels = sampler->config.class_conditional ? sampler->draw_labels : NULL,
        .rows = sampler->slots,
        .norms = sampler->draw_norms,
    };
    jemi_langevin_run_config config = run_config(sampler, sampler->config.steps);
    config.kernel.key = key_for(sampler, JEMI_RANDOM_CHAIN_SLOT);
    config.kernel.step = sampler->slot_steps;
    config.progress = draw->progress;
    config.progress_user = draw->user;
    JEMI_TRY(jemi_langevin_chains(pass, runner, &config, &chains));
    if (figures != NULL)
        *figures = figures_of(sampler, draw);
    return JEM_OK;
}

void jemi_sampler_finish_draw(jem_sampler *sampler, int64_t n, const float *x)
{
    if (x != NULL)
        store_chains(sampler, n, x);
    sampler->slot_steps += (uint64_t)sampler->config.steps;
    sampler->draws++;
}

// ---- going back --------------------------------------------------------------------------------

jem_status jemi_kept_chains_reserve(jemi_kept_chains *kept, const jem_sampler *sampler)
{
    const int32_t capacity = sampler->config.capacity;
    const int64_t len = row_len(sampler);
    if (kept->chains != NULL && kept->capacity == capacity && kept->row_len == len)
        return JEM_OK;
    jemi_kept_chains_fini(kept);
    kept->chains = jemi_alloc((size_t)capacity, (size_t)len * sizeof *kept->chains);
    kept->ages = jemi_alloc((size_t)capacity, sizeof *kept->ages);
    if (kept->chains == NULL || kept->ages == NULL) {
        jemi_kept_chains_fini(kept);
        return jemi_fail_memory("snapshot of the replay buffer");
    }
    kept->capacity = capacity;
    kept->row_len = len;
    return JEM_OK;
}

void jemi_kept_chains_fini(jemi_kept_chains *kept)
{
    const jemi_kept_chains old = *kept;
    *kept = (jemi_kept_chains){0}; // first: another thread may fork here
    jemi_free(old.chains);
    jemi_free(old.ages);
}

static void copy_chains(const jem_sampler *sampler, float *to, int64_t *ages_to, const float *from,
                        const int64_t *ages_from)
{
    const size_t capacity = (size_t)sampler->config.capacity;
    memcpy(to, from, capacity * (size_t)row_len(sampler) * sizeof *to);
    memcpy(ages_to, ages_from, capacity * sizeof *ages_to);
}

void jemi_sampler_keep(const jem_sampler *sampler, jemi_kept_chains *kept)
{
    if (sampler->filled)
        copy_chains(sampler, kept->chains, kept->ages, sampler->chains, sampler->ages);
    kept->filled = sampler->filled;
    kept->slot_steps = sampler->slot_steps;
    kept->draws = sampler->draws;
}

static bool is_bad(const jem_sampler *sampler, const jemi_draw *draw, int64_t i, double bound)
{
    const int64_t len = row_len(sampler);
    const bool in_range = (double)jemi_max_abs(draw->x + i * len, len) <= bound;
    return !in_range || !isfinite(sampler->draw_norms[i]);
}

// As load_chains() starts them, but into what is kept: a bad chain must not come back with it.
static void restart(const jem_sampler *sampler, jemi_kept_chains *kept, const jemi_draw *draw,
                    int64_t i)
{
    const uint32_t slot = sampler->slots[i];
    float *x = kept->chains + slot * row_len(sampler);
    if (draw->data != NULL && jemi_sampler_takes_data(sampler))
        start_at_data(sampler, draw, i, x);
    else
        start_slot(sampler, slot, x);
    kept->ages[slot] = 0;
}

static void restart_bad(const jem_sampler *sampler, jemi_kept_chains *kept, const jemi_draw *draw,
                        double bound)
{
    int64_t n_bad = 0;
    for (int64_t i = 0; i < draw->n; i++)
        n_bad += is_bad(sampler, draw, i, bound);
    for (int64_t i = 0; i < draw->n; i++)
        if (n_bad == 0 || is_bad(sampler, draw, i, bound))
            restart(sampler, kept, draw, i);
}

void jemi_sampler_go_back(jem_sampler *sampler, jemi_kept_chains *kept, const jemi_draw *draw,
                          double bound)
{
    sampler->epoch++;
    sampler->filled = kept->filled;
    sampler->slot_steps = kept->slot_steps;
    sampler->draws = kept->draws;
    if (!kept->filled)
        return;
    restart_bad(sampler, kept, draw, bound);
    sampler->draws++; // its numbers are used
    copy_chains(sampler, sampler->chains, sampler->ages, kept->chains, kept->ages);
}
