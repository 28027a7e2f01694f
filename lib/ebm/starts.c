/*
 * What each kind of start keeps of the data, and single starts.
 */
#include "ebm/starts.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/noise.h"

enum { QUIET_FLOATS = 1 << 22 }; // that are copied between two words to the host

jemi_starts jemi_starts_make(const jem_sampler_config *config, int64_t row_len)
{
    return (jemi_starts){
        .kind = config->start,
        .row_len = row_len,
        .low = config->start_low,
        .high = config->start_high,
        .uniform_fraction = config->uniform_fraction,
        .x_low = config->x_low,
        .x_high = config->x_high,
        .rank = config->start_rank,
    };
}

bool jemi_kept_rows_allocate(jemi_kept_rows *kept, int64_t n, int64_t row_len)
{
    kept->x = jemi_alloc((size_t)n, (size_t)row_len * sizeof *kept->x);
    kept->first = jemi_alloc((size_t)kept->n_classes + 1, sizeof *kept->first);
    return kept->x != NULL && kept->first != NULL;
}

void jemi_kept_rows_fini(jemi_kept_rows *kept)
{
    jemi_free(kept->x);
    jemi_free(kept->first);
    *kept = (jemi_kept_rows){0};
}

void jemi_starts_fini(jemi_starts *starts)
{
    if (starts->changing)
        return; // half of the old ones, half of the new
    jemi_gaussians_fini(&starts->gaussians);
    jemi_kept_rows_fini(&starts->kept);
}

void jemi_starts_replace(jemi_starts *starts, const jemi_gaussians *gaussians,
                         const jemi_kept_rows *kept)
{
    jemi_starts old = *starts;
    starts->changing = true;
    atomic_signal_fence(memory_order_seq_cst);
    starts->gaussians = *gaussians;
    starts->kept = *kept;
    atomic_signal_fence(memory_order_seq_cst);
    starts->changing = false;
    jemi_starts_fini(&old);
}

// Class after class, each in the data's order.
static jem_status sort_rows(jemi_kept_rows *kept, const jemi_table *data, jemi_progress *progress)
{
    const size_t len = (size_t)data->row_len;
    const int64_t quiet = QUIET_FLOATS / data->row_len + 1;
    int64_t place = 0;
    for (int64_t c = 0; c < kept->n_classes; c++) {
        kept->first[c] = place;
        for (int64_t i = 0; i < data->n; i++) {
            if (data->labels != NULL && data->labels[i] != c)
                continue;
            memcpy(kept->x + (size_t)place++ * len, data->x + (size_t)i * len,
                   len * sizeof *kept->x);
            if (place % quiet == 0)
                JEMI_TRY(jemi_progress_add(progress, quiet));
        }
    }
    kept->first[kept->n_classes] = place;
    return jemi_progress_add(progress, place % quiet);
}

static jem_status keep_rows(jemi_starts *starts, int64_t n_classes, const jemi_table *data,
                            jemi_progress *progress)
{
    jemi_kept_rows next = {.n_classes = data->labels != NULL ? n_classes : 1};
    if (!jemi_kept_rows_allocate(&next, data->n, data->row_len)) {
        jemi_kept_rows_fini(&next);
        return jemi_fail_memory("data that chains start from");
    }
    const jem_status status = sort_rows(&next, data, progress);
    if (status == JEM_OK)
        jemi_starts_replace(starts, &(jemi_gaussians){0}, &next);
    else
        jemi_kept_rows_fini(&next);
    return status;
}

int64_t jemi_starts_visits(const jemi_starts *starts, int64_t n)
{
    return starts->kind == JEM_START_DATA ? n : jemi_gaussians_visits(n, starts->rank);
}

jem_status jemi_starts_fit(jemi_starts *starts, int64_t n_classes, uint64_t seed,
                           const jemi_table *data, jemi_progress *progress)
{
    if (starts->kind == JEM_START_DATA)
        return keep_rows(starts, n_classes, data, progress);
    jemi_gaussians next;
    JEMI_TRY(jemi_gaussians_fit(&next, n_classes, starts->rank, seed, data, progress));
    jemi_starts_replace(starts, &next, &(jemi_kept_rows){0});
    return JEM_OK;
}

bool jemi_starts_ready(const jemi_starts *starts)
{
    if (starts->kind == JEM_START_UNIFORM)
        return true;
    if (starts->changing)
        return false;
    return (starts->kind == JEM_START_DATA ? starts->kept.x : starts->gaussians.mean) != NULL;
}

static bool is_uniform(const jemi_starts *starts, uint32_t bits)
{
    return starts->kind == JEM_START_UNIFORM ||
           (starts->kind == JEM_START_MIXTURE &&
            jemi_unit_from_u32(bits) < starts->uniform_fraction);
}

// A row of the class if it has any, else of all.
static const float *kept_row(const jemi_starts *starts, int64_t label, uint32_t bits)
{
    const jemi_kept_rows *kept = &starts->kept;
    int64_t begin = 0, end = kept->first[kept->n_classes];
    const bool of_class = label >= 0 && kept->n_classes > 1;
    if (of_class && kept->first[label] < kept->first[label + 1]) {
        begin = kept->first[label];
        end = kept->first[label + 1];
    }
    return kept->x + (begin + jemi_below_from_u32(bits, (uint32_t)(end - begin))) * starts->row_len;
}

static void clamp(const jemi_starts *starts, float *x)
{
    for (int64_t i = 0; i < starts->row_len; i++) {
        const float below = x[i] < starts->x_high ? x[i] : starts->x_high;
        x[i] = below > starts->x_low ? below : starts->x_low;
    }
}

void jemi_start_at(const jemi_starts *starts, const float *data, float *x)
{
    memcpy(x, data, (size_t)starts->row_len * sizeof *x);
    clamp(starts, x);
}

void jemi_start_row(const jemi_starts *starts, const jemi_start_keys *keys, uint32_t row,
                    uint64_t step, int64_t label, float *x)
{
    const jemi_gaussians *gaussians = &starts->gaussians;
    uint32_t choice[4];
    jemi_random_u32x4(keys->choice, 0, row, step, choice);
    if (starts->kind == JEM_START_DATA) {
        jemi_start_at(starts, kept_row(starts, label, choice[1]), x);
        return;
    }
    if (is_uniform(starts, choice[0])) {
        jemi_fill_uniform(x, starts->row_len, starts->low, starts->high, keys->values, row, step);
    } else {
        const int64_t any = jemi_below_from_u32(choice[1], (uint32_t)gaussians->n_classes);
        const int64_t c = label >= 0 && gaussians->n_classes > 1 ? label : any;
        jemi_gaussians_draw(gaussians, c, keys->values, keys->directions, row, step, x);
    }
    clamp(starts, x);
}
