/*
 * How fast each kernel is at every convolution and linear layer, and whether the chosen one was the
 * right choice on this machine. Where it was not, a row for the library's table is printed.
 */
#ifndef JEM_CLI_BENCH_TUNE_H
#define JEM_CLI_BENCH_TUNE_H

#include "report.h"

/**
 * @param exec    How `model` is run.
 * @param what    One of JEM_PREPARE_*.
 * @param rounds  Each of all kernels; times are medians over them.
 */
cli_status cli_bench_tune(cli_report *report, const jem_model *model, const jem_exec_config *exec,
                          int32_t what, int64_t n, int64_t rounds, cli_error *err);

#endif
