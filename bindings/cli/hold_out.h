/*
 * Rows of training data that training leaves out, and that calibration takes.
 */
#ifndef JEM_CLI_HOLD_OUT_H
#define JEM_CLI_HOLD_OUT_H

#include "data.h"

#define CLI_HOLD_OUT_PART 0.1 /* of the rows, where it is by default */

/** Moves that part of the rows to `out`: the same of each class, drawn by the seed. */
cli_status cli_hold_out(cli_data *data, double fraction, uint64_t seed, cli_data *out,
                        cli_error *err);

#endif
