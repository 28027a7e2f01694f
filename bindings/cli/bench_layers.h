/*
 * The steps of a pass as a table: what each does, which kernel it got, how long it takes.
 */
#ifndef JEM_CLI_BENCH_LAYERS_H
#define JEM_CLI_BENCH_LAYERS_H

#include "report.h"

/** @param what  One of JEM_PREPARE_*. */
cli_status cli_bench_layers(cli_report *report, const jem_model *model, int32_t what, int64_t n,
                            int64_t runs, cli_error *err);

#endif
