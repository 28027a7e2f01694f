/*
 * The text of a .npy header: a Python dict literal with the keys descr, fortran_order and shape.
 */
#ifndef JEM_CLI_NPY_HEADER_H
#define JEM_CLI_NPY_HEADER_H

#include "npy.h"

typedef struct cli_npy_header {
    bool big_endian; /* elements are, and have more than one byte */
    bool fortran;    /* the first index varies fastest */
} cli_npy_header;

/** Parses `length` bytes of text, with a NUL behind them; fills type, rank, shape and count. */
cli_status cli_npy_parse_header(cli_npy *npy, const char *text, size_t length,
                                cli_npy_header *header, cli_error *err);

#endif
