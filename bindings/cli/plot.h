/*
 * A curve with axes and numbers, as PNG.
 */
#ifndef JEM_CLI_PLOT_H
#define JEM_CLI_PLOT_H

#include "cli.h"

typedef struct cli_plot {
    int n;              /* points, >= 1 */
    const double *x;    /* >= 0, rising */
    const double *y;    /* 0..1 */
    const char *x_name; /* lower case, digits and ( ) . - */
    const char *y_name;
} cli_plot;

cli_status cli_plot_write(const cli_plot *plot, const char *path, cli_error *err);

#endif
