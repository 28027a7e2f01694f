/*
 * Which kernel each precision chooses for every convolution and linear layer, and whether that was
 * the right choice on this machine.
 */
#ifndef JEM_CLI_BENCH_TUNE_H
#define JEM_CLI_BENCH_TUNE_H

#include "groups.h"
#include "report.h"

/**
 * @param exec  How `model` is run; its precisions are not used.
 * @param what  One of JEM_PREPARE_*.
 * @param runs  Rounds, each of all precisions; times are medians over them.
 */
cli_status cli_bench_tune(cli_report *report, const jem_model *model, const cli_exec_args *exec,
                          int32_t what, int64_t n, int64_t runs, cli_error *err);

#endif
