/*
 * How shapes are written, and the header of the .npy files that the command writes: version 1.0,
 * float32 in C order.
 */
#include "npy.h"

#include <stdio.h>
#include <string.h>

enum { MAGIC_SIZE = 6 };

static const char magic[] = "\x93NUMPY";

static const char *format_shape(int rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, rank == 1 ? ",)" : ")");
    return text;
}

const char *cli_npy_shape_text(const cli_npy *npy, char *text, size_t size)
{
    return format_shape(npy->rank, npy->shape, text, size);
}

// ---- writing -----------------------------------------------------------------------------------

cli_status cli_npy_write_header(cli_output *output, int rank, const int64_t *shape, cli_error *err)
{
    // Preamble and dict together are a multiple of 64 bytes and end with a newline.
    enum { SIZE = 192, LEAD = 10 };
    char header[SIZE + 1], shape_text[128];
    format_shape(rank, shape, shape_text, sizeof shape_text);
    const int dict =
        snprintf(header + LEAD, sizeof header - LEAD,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape_text);
    memset(header + LEAD + dict, ' ', (size_t)(SIZE - LEAD - dict));
    memcpy(header, magic, MAGIC_SIZE);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((SIZE - LEAD) & 0xff);
    header[9] = 0;
    header[SIZE - 1] = '\n';
    return cli_output_write(output, header, SIZE, err);
}

cli_status cli_npy_write(const char *path, int rank, const int64_t *shape, const float *values,
                         cli_error *err)
{
    cli_output output;
    size_t bytes = sizeof *values;
    for (int axis = 0; axis < rank; axis++)
        bytes *= (size_t)shape[axis];
    CLI_TRY(cli_output_open(&output, path, err));
    cli_status status = cli_npy_write_header(&output, rank, shape, err);
    if (status == CLI_OK)
        status = cli_output_write(&output, values, bytes, err);
    if (status == CLI_OK)
        return cli_output_commit(&output, err);
    cli_output_discard(&output);
    return status;
}
