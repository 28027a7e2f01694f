/*
 * Which rows are held out depends on the labels, the fraction and the seed alone.
 */
#include "hold_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shuffle.h"

// Of the choice of rows; the orders of rows are other streams.
static const uint64_t split_stream = UINT64_C(1) << 62;

static int64_t count_classes(const cli_data *data)
{
    int64_t highest = 0;
    for (int64_t i = 0; data->labels != NULL && i < data->n; i++)
        highest = data->labels[i] > highest ? data->labels[i] : highest;
    return highest + 1;
}

static int64_t class_of(const cli_data *data, int64_t row)
{
    return data->labels != NULL ? data->labels[row] : 0;
}

// Row numbers class by class, in random order within each. `ends` (classes): where each ends.
static cli_status order_by_class(const cli_data *data, int64_t n_classes, uint64_t seed,
                                 int64_t *order, int64_t *ends, cli_error *err)
{
    cli_random random = {seed ^ split_stream};
    int64_t *shuffled;
    CLI_TRY(cli_alloc(&shuffled, data->n, sizeof *shuffled, err));
    for (int64_t i = 0; i < data->n; i++)
        shuffled[i] = i;
    cli_shuffle(&random, data->n, shuffled);
    memset(ends, 0, (size_t)n_classes * sizeof *ends);
    for (int64_t i = 0; i < data->n; i++)
        ends[class_of(data, i)]++;
    for (int64_t c = 0, begin = 0; c < n_classes; c++) {
        const int64_t count = ends[c];
        ends[c] = begin; // for now where the next row of the class goes
        begin += count;
    }
    for (int64_t i = 0; i < data->n; i++)
        order[ends[class_of(data, shuffled[i])]++] = shuffled[i];
    free(shuffled);
    return CLI_OK;
}

// Every 1 / fraction-th row of that order, so that each class gives its part to within a row. The
// only row of a class stays.
static void choose(double fraction, int64_t n_classes, const int64_t *order, const int64_t *ends,
                   bool *chosen)
{
    int64_t i = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        const bool alone = ends[c] - i == 1;
        for (; i < ends[c]; i++)
            chosen[order[i]] =
                !alone && floor((double)(i + 1) * fraction) > floor((double)i * fraction);
    }
}

cli_status cli_hold_out(cli_data *data, double fraction, uint64_t seed, cli_data *out,
                        cli_error *err)
{
    const int64_t n_classes = count_classes(data);
    int64_t *order = NULL, *ends = NULL;
    bool *chosen = NULL;
    cli_status status = cli_alloc(&order, data->n, sizeof *order, err);
    if (status == CLI_OK)
        status = cli_alloc(&ends, n_classes, sizeof *ends, err);
    if (status == CLI_OK)
        status = cli_alloc(&chosen, data->n, sizeof *chosen, err);
    if (status == CLI_OK)
        status = order_by_class(data, n_classes, seed, order, ends, err);
    if (status == CLI_OK) {
        choose(fraction, n_classes, order, ends, chosen);
        status = cli_data_take_out(data, chosen, out, err);
    }
    free(order);
    free(ends);
    free(chosen);
    return status;
}
