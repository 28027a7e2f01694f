/*
 * Counts and extremes over all batches of a file, and the sentences about them.
 */
#include "range_watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "groups.h"

cli_status cli_range_watch_begin(cli_range_watch *watch, const jem_model *model, int64_t batch,
                                 cli_error *err)
{
    jem_model_info info;
    CLI_TRY(cli_model_info(model, &info, err));
    uint8_t *outside = watch->outside;
    if (outside == NULL)
        CLI_TRY(cli_alloc(&outside, batch, 1, err));
    *watch = (cli_range_watch){.model = model,
                               .outside = outside,
                               .input_low = info.input_low,
                               .input_high = info.input_high,
                               .low = INFINITY,
                               .high = -INFINITY};
    return CLI_OK;
}

void cli_range_watch_end(cli_range_watch *watch)
{
    free(watch->outside);
    watch->outside = NULL;
}

cli_status cli_range_watch_rows(cli_range_watch *watch, int64_t n, const float *x, cli_error *err)
{
    int64_t n_outside;
    float low, high;
    CLI_TRY(
        cli_jem(err, jem_input_range(watch->model, n, x, watch->outside, &n_outside, &low, &high)));
    if (n_outside > 0 && watch->n_outside == 0)
        watch->first_outside =
            watch->n + ((const uint8_t *)memchr(watch->outside, 1, (size_t)n) - watch->outside);
    if (n_outside > 0) {
        watch->low = low < watch->low ? low : watch->low;
        watch->high = high > watch->high ? high : watch->high;
    }
    watch->n_outside += n_outside;
    watch->n += n;
    return CLI_OK;
}

bool cli_all_finite(const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

void cli_range_watch_results(cli_range_watch *watch, int64_t first, int64_t n, int64_t size,
                             const float *results)
{
    for (int64_t i = 0; i < n; i++)
        if (!cli_all_finite(results + i * size, size) && watch->n_overflowed++ == 0)
            watch->first_overflowed = first + i;
}

// Floats that were made from 8-bit pixels without a change of scale.
static bool looks_like_pixels(const cli_range_watch *watch)
{
    return watch->low >= 0.0f && watch->high > 100.0f && watch->high <= 255.0f &&
           watch->input_high < 100.0f;
}

void cli_range_watch_say(const cli_range_watch *watch, const char *name, cli_progress *progress)
{
    cli_progress none = {.terminal = false};
    cli_progress *to = progress != NULL ? progress : &none;
    if (watch->n_outside > 0)
        cli_progress_say(to,
                         "%s: %lld of %lld rows are outside of the model's input range %g .. %g, "
                         "the first is row %lld; they reach from %g to %g, and results for them "
                         "mean little%s",
                         name, (long long)watch->n_outside, (long long)watch->n,
                         (double)watch->input_low, (double)watch->input_high,
                         (long long)watch->first_outside, (double)watch->low, (double)watch->high,
                         looks_like_pixels(watch) ? "; expected 8-bit images as u1" : "");
    if (watch->n_overflowed > 0)
        cli_progress_say(to,
                         "%s: results overflow float32 in %lld of %lld rows, the first is row %lld",
                         name, (long long)watch->n_overflowed, (long long)watch->n,
                         (long long)watch->first_overflowed);
}
