/*
 * Means and deviations are taken in double and in two passes, as a column may lie far from 0.
 */
#include "columns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// Inputs of such a size saturate a network, and Langevin steps of about 0.01 do not cross them.
static const float value_max = 30.0f;
static const float ratio_max = 1000.0f;

static void measure_column(cli_columns *columns, const cli_data *data, int64_t j)
{
    const float *x = data->floats + j;
    const int64_t size = cli_data_row_size(data);
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < data->n; i++)
        sum += (double)x[i * size];
    const double mean = sum / (double)data->n;
    for (int64_t i = 0; i < data->n; i++)
        squares += ((double)x[i * size] - mean) * ((double)x[i * size] - mean);
    const float std = (float)sqrt(squares / (double)data->n);
    columns->mean[j] = (float)mean;
    columns->std[j] = std > 0.0f && isfinite(std) ? std : 1.0f;
    if (!(std > 0.0f))
        return;
    columns->least_std = fminf(columns->least_std, std);
    columns->most_std = fmaxf(columns->most_std, std);
}

static void measure_values(cli_columns *columns, const cli_data *data)
{
    const int64_t size = cli_data_row_size(data);
    for (int64_t i = 0; i < data->n * size; i++) {
        const float value = data->floats[i];
        const float unit = (value - columns->mean[i % size]) / columns->std[i % size];
        columns->least = fminf(columns->least, value);
        columns->most = fmaxf(columns->most, value);
        columns->least_unit = fminf(columns->least_unit, unit);
        columns->most_unit = fmaxf(columns->most_unit, unit);
    }
}

cli_status cli_columns_measure(cli_columns *columns, const cli_data *data, cli_error *err)
{
    const int64_t size = cli_data_row_size(data);
    *columns = (cli_columns){.least_std = INFINITY,
                             .least = INFINITY,
                             .most = -INFINITY,
                             .least_unit = INFINITY,
                             .most_unit = -INFINITY};
    CLI_TRY(cli_alloc(&columns->mean, size, sizeof *columns->mean, err));
    CLI_TRY(cli_alloc(&columns->std, size, sizeof *columns->std, err));
    for (int64_t j = 0; j < size; j++)
        measure_column(columns, data, j);
    measure_values(columns, data);
    return CLI_OK;
}

void cli_columns_free(cli_columns *columns)
{
    free(columns->mean);
    free(columns->std);
    *columns = (cli_columns){.mean = NULL};
}

void cli_columns_advise(const cli_data *data, char *text, size_t size)
{
    cli_columns columns;
    cli_error err;
    const char *remedy = cli_data_is_table(data)
                             ? "--standardize brings every column to mean 0 and deviation 1"
                             : "expected 8-bit images as u1, or values of about -1..1";
    text[0] = '\0';
    if (data->floats == NULL || cli_columns_measure(&columns, data, &err) != CLI_OK)
        return;
    const float largest = fmaxf(fabsf(columns.least), fabsf(columns.most));
    if (cli_data_is_table(data) && columns.most_std >= ratio_max * columns.least_std)
        snprintf(text, size, "%s has columns whose deviations lie from %.3g to %.3g; %s",
                 data->path, (double)columns.least_std, (double)columns.most_std, remedy);
    else if (largest > value_max)
        snprintf(text, size, "%s has values from %.3g to %.3g; %s", data->path,
                 (double)columns.least, (double)columns.most, remedy);
    cli_columns_free(&columns);
}
