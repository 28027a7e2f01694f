/*
 * Where the channels of images in .npy arrays stand: (n, C, H, W), as everywhere in libjem, or
 * last, as most image libraries have them.
 */
#ifndef JEM_CLI_LAYOUT_H
#define JEM_CLI_LAYOUT_H

#include "npy.h"
#include "options.h"

extern const cli_choice cli_layouts[];

/** The option --layout; its value is a JEM_LAYOUT_, or 0 if it was not given. */
#define CLI_LAYOUT_ROW(type, field)                                                                \
    CLI_ROW_CHOICE("layout", type, field, cli_layouts,                                             \
                   "of .npy arrays with four dimensions: (n, C, H, W) or (n, H, W, C); needed "    \
                   "where the shape does not tell",                                                \
                   0)

/** Are the sizes of an array of rank 4 such that its channels may well be last? */
bool cli_layout_is_doubtful(const cli_npy *npy);

/** Brings rows that are said to be (n, H, W, C) into the order (n, C, H, W). */
cli_status cli_layout_apply(cli_npy *npy, int32_t layout, cli_error *err);

#endif
