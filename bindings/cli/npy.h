/*
 * NumPy's .npy files: versions 1 to 3 are read, version 1.0 is written.
 *
 * Files are hostile: the header is parsed strictly and must account for every byte of the file
 * before anything is allocated.
 */
#ifndef JEM_CLI_NPY_H
#define JEM_CLI_NPY_H

#include "output.h"

typedef enum cli_npy_kind {
    CLI_NPY_FLOAT,
    CLI_NPY_SIGNED,
    CLI_NPY_UNSIGNED,
    CLI_NPY_BOOL
} cli_npy_kind;

enum { CLI_NPY_RANK_MAX = 4 };

typedef struct cli_npy {
    const char *path;
    cli_npy_kind kind;
    int width; /* bytes of an element */
    int rank;
    int64_t shape[CLI_NPY_RANK_MAX];
    int64_t count; /* product of the shape */
    void *data;    /* in C order and this machine's byte order */
} cli_npy;

cli_status cli_npy_read(cli_npy *npy, const char *path, cli_error *err);
void cli_npy_free(cli_npy *npy);

/** True for u1, which means 8-bit images. */
bool cli_npy_is_bytes(const cli_npy *npy);

/** Elements first..first+n-1 as float; refuses NaN, infinity and doubles beyond float. */
cli_status cli_npy_to_floats(const cli_npy *npy, int64_t first, int64_t n, float *out,
                             cli_error *err);

/** The same, whatever they are. */
void cli_npy_to_any_floats(const cli_npy *npy, int64_t first, int64_t n, float *out);

/** A one-dimensional array of whole numbers >= 0 as labels; *labels must be freed, NULL or not. */
cli_status cli_npy_to_labels(const cli_npy *npy, int64_t **labels, cli_error *err);

/** The shape as text, "(3, 28, 28)"; returns `text`. */
const char *cli_npy_shape_text(const cli_npy *npy, char *text, size_t size);

/** Writes a float32 array. */
cli_status cli_npy_write(const char *path, int rank, const int64_t *shape, const float *values,
                         cli_error *err);

/** Starts a float32 array; its elements follow through cli_output_write(). */
cli_status cli_npy_write_header(cli_output *output, int rank, const int64_t *shape, cli_error *err);

#endif
