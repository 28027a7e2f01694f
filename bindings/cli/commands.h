/*
 * The subcommands, one file each (logits, energy, grad and score share cmd_apply.c).
 */
#ifndef JEM_CLI_COMMANDS_H
#define JEM_CLI_COMMANDS_H

#include "options.h"

extern const cli_command cli_train;
extern const cli_command cli_eval;
extern const cli_command cli_sample;
extern const cli_command cli_info;
extern const cli_command cli_logits;
extern const cli_command cli_energy;
extern const cli_command cli_grad;
extern const cli_command cli_score;
extern const cli_command cli_calibrate;
extern const cli_command cli_detect;
extern const cli_command cli_monitor;
extern const cli_command cli_explain;
extern const cli_command cli_attack;
extern const cli_command cli_bench;

#endif
