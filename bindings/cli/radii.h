/*
 * The radii of an attack, as the user or we name them: "0.1", or "16/255".
 */
#ifndef JEM_CLI_RADII_H
#define JEM_CLI_RADII_H

#include "options.h"

typedef struct cli_radius {
    char name[32];
    double value; /* in units of the model's input, or values in L0 */
} cli_radius;

typedef struct cli_radii {
    int count;
    cli_radius items[CLI_LIST_MAX]; /* the smallest first */
} cli_radii;

/** The words of --eps. */
cli_status cli_radii_read(cli_radii *radii, const cli_list *words, cli_error *err);

/** What suits a norm (JEM_NORM_*) and an input range. */
void cli_radii_usual(cli_radii *radii, int32_t norm, const jem_model_info *info);

#endif
