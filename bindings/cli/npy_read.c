/*
 * From a .npy file to elements in this machine's byte order and in C order, and from those to
 * floats and labels. The file may be packed by gzip.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy_header.h"
#include "source.h"

// numpy itself refuses headers above 10,000 bytes unless told to trust the file.
enum { HEADER_MAX = 1 << 20, MAGIC_SIZE = 6, LEAD_SIZE = 8 };

static const char magic[] = "\x93NUMPY";

// ---- the header --------------------------------------------------------------------------------

static cli_status read_lead(cli_source *source, unsigned char lead[LEAD_SIZE], cli_error *err)
{
    if (source->bytes_max >= LEAD_SIZE)
        CLI_TRY(cli_source_read(source, lead, LEAD_SIZE, err));
    if (source->bytes_max < LEAD_SIZE || memcmp(lead, magic, MAGIC_SIZE) != 0)
        return cli_fail(err, "%s is not a .npy file: it does not begin with \\x93NUMPY",
                        source->path);
    if (lead[6] < 1 || lead[6] > 3 || lead[7] != 0)
        return cli_fail(err, "%s is of .npy version %d.%d; expected 1.0, 2.0 or 3.0", source->path,
                        lead[6], lead[7]);
    return CLI_OK;
}

static cli_status read_text(cli_npy *npy, cli_source *source, int64_t length,
                            cli_npy_header *header, cli_error *err)
{
    char *text;
    if (length > HEADER_MAX)
        return cli_fail(err, "%s has a .npy header of %lld bytes; expected at most %d", npy->path,
                        (long long)length, (int)HEADER_MAX);
    CLI_TRY(cli_source_expect(source, length, err));
    CLI_TRY(cli_alloc(&text, length + 1, 1, err));
    cli_status status = cli_source_read(source, text, length, err);
    if (status == CLI_OK)
        status = cli_npy_parse_header(npy, text, (size_t)length, header, err);
    free(text);
    return status;
}

static cli_status read_header(cli_npy *npy, cli_source *source, cli_npy_header *header,
                              cli_error *err)
{
    unsigned char lead[LEAD_SIZE], size[4] = {0};
    CLI_TRY(read_lead(source, lead, err));
    CLI_TRY(cli_source_read(source, size, lead[6] > 1 ? 4 : 2, err));
    const int64_t length = (int64_t)size[3] << 24 | size[2] << 16 | size[1] << 8 | size[0];
    return read_text(npy, source, length, header, err);
}

// ---- the elements ------------------------------------------------------------------------------

static void reverse_bytes(const cli_npy *npy)
{
    unsigned char *element = npy->data;
    for (int64_t i = 0; i < npy->count; i++, element += npy->width)
        for (int low = 0, high = npy->width - 1; low < high; low++, high--) {
            const unsigned char byte = element[low];
            element[low] = element[high];
            element[high] = byte;
        }
}

// Where the element of C order's place `i` lies in Fortran order.
static int64_t fortran_place(const cli_npy *npy, int64_t i)
{
    int64_t place = 0;
    int64_t stride = npy->count;
    for (int axis = npy->rank - 1; axis >= 0; axis--) {
        stride /= npy->shape[axis];
        place += i % npy->shape[axis] * stride;
        i /= npy->shape[axis];
    }
    return place;
}

static cli_status reorder(cli_npy *npy, cli_error *err)
{
    char *ordered;
    const char *from = npy->data;
    const size_t width = (size_t)npy->width;
    CLI_TRY(cli_alloc(&ordered, npy->count, width, err));
    for (int64_t i = 0; i < npy->count; i++)
        memcpy(ordered + (size_t)i * width, from + (size_t)fortran_place(npy, i) * width, width);
    free(npy->data);
    npy->data = ordered;
    return CLI_OK;
}

static cli_status read_elements(cli_npy *npy, cli_source *source, cli_error *err)
{
    cli_npy_header header;
    CLI_TRY(read_header(npy, source, &header, err));
    const int64_t bytes = npy->count * npy->width;
    CLI_TRY(cli_source_expect(source, bytes, err));
    CLI_TRY(cli_alloc(&npy->data, bytes, 1, err));
    CLI_TRY(cli_source_read(source, npy->data, bytes, err));
    CLI_TRY(cli_source_end(source, err));
    if (header.big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__))
        reverse_bytes(npy);
    return header.fortran && npy->rank > 1 ? reorder(npy, err) : CLI_OK;
}

cli_status cli_npy_read(cli_npy *npy, const char *path, cli_error *err)
{
    cli_source source;
    *npy = (cli_npy){.path = path};
    CLI_TRY(cli_source_open(&source, path, err));
    const cli_status status = read_elements(npy, &source, err);
    cli_source_close(&source);
    if (status != CLI_OK)
        cli_npy_free(npy);
    return status;
}

void cli_npy_free(cli_npy *npy)
{
    free(npy->data);
    npy->data = NULL;
}

bool cli_npy_is_bytes(const cli_npy *npy)
{
    return npy->kind == CLI_NPY_UNSIGNED && npy->width == 1;
}

// ---- values ------------------------------------------------------------------------------------

static int64_t signed_at(const cli_npy *npy, int64_t i)
{
    switch (npy->width) {
    case 1:
        return ((const int8_t *)npy->data)[i];
    case 2:
        return ((const int16_t *)npy->data)[i];
    case 4:
        return ((const int32_t *)npy->data)[i];
    default:
        return ((const int64_t *)npy->data)[i];
    }
}

static uint64_t unsigned_at(const cli_npy *npy, int64_t i)
{
    switch (npy->width) {
    case 1:
        return ((const uint8_t *)npy->data)[i];
    case 2:
        return ((const uint16_t *)npy->data)[i];
    case 4:
        return ((const uint32_t *)npy->data)[i];
    default:
        return ((const uint64_t *)npy->data)[i];
    }
}

static double half_to_double(uint16_t half)
{
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const double sign = half >> 15 ? -1.0 : 1.0;
    if (exponent == 31)
        return fraction != 0 ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, -24);
    return sign * ldexp(1024 + fraction, exponent - 25);
}

static double float_at(const cli_npy *npy, int64_t i)
{
    if (npy->width == 2)
        return half_to_double(((const uint16_t *)npy->data)[i]);
    return npy->width == 4 ? (double)((const float *)npy->data)[i] : ((const double *)npy->data)[i];
}

// Rounded once, also from 64 bits.
static float value_at(const cli_npy *npy, int64_t i)
{
    switch (npy->kind) {
    case CLI_NPY_FLOAT:
        return (float)float_at(npy, i);
    case CLI_NPY_SIGNED:
        return (float)signed_at(npy, i);
    case CLI_NPY_BOOL:
        return unsigned_at(npy, i) != 0 ? 1.0f : 0.0f;
    default:
        return (float)unsigned_at(npy, i);
    }
}

static cli_status not_finite(const cli_npy *npy, int64_t i, cli_error *err)
{
    const int64_t row = npy->rank > 0 ? i / (npy->count / npy->shape[0]) : 0;
    const double value = float_at(npy, i);
    if (isfinite(value))
        return cli_fail(err,
                        "%s holds %g in row %lld; expected values within +-%g, those of float32",
                        npy->path, value, (long long)row, (double)FLT_MAX);
    return cli_fail(err, "%s holds NaN or infinity in row %lld; expected finite values", npy->path,
                    (long long)row);
}

void cli_npy_to_any_floats(const cli_npy *npy, int64_t first, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = value_at(npy, first + i);
}

cli_status cli_npy_to_floats(const cli_npy *npy, int64_t first, int64_t n, float *out,
                             cli_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = value_at(npy, first + i);
        if (!isfinite(out[i]))
            return not_finite(npy, first + i, err);
    }
    return CLI_OK;
}

// ---- labels ------------------------------------------------------------------------------------

static cli_status check_labels(const cli_npy *npy, cli_error *err)
{
    char shape[128];
    if (npy->kind == CLI_NPY_FLOAT)
        return cli_fail(err, "%s holds floats; expected labels as integers (y.astype(int))",
                        npy->path);
    if (npy->rank != 1)
        return cli_fail(err, "%s has shape %s; expected labels of shape (n,)", npy->path,
                        cli_npy_shape_text(npy, shape, sizeof shape));
    return CLI_OK;
}

// Negative numbers are beyond INT32_MAX here, too.
static cli_status read_label(const cli_npy *npy, int64_t i, int64_t *label, cli_error *err)
{
    const bool is_signed = npy->kind == CLI_NPY_SIGNED;
    const uint64_t value = npy->kind == CLI_NPY_BOOL ? (uint64_t)(unsigned_at(npy, i) != 0)
                           : is_signed               ? (uint64_t)signed_at(npy, i)
                                                     : unsigned_at(npy, i);
    *label = (int64_t)value;
    if (value <= INT32_MAX)
        return CLI_OK;
    char text[32];
    if (is_signed)
        snprintf(text, sizeof text, "%lld", (long long)*label);
    else
        snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return cli_fail(err, "%s: label %s of row %lld is out of range; expected 0, 1, ...", npy->path,
                    text, (long long)i);
}

cli_status cli_npy_to_labels(const cli_npy *npy, int64_t **labels, cli_error *err)
{
    CLI_TRY(check_labels(npy, err));
    CLI_TRY(cli_alloc(labels, npy->count, sizeof **labels, err));
    for (int64_t i = 0; i < npy->count; i++)
        CLI_TRY(read_label(npy, i, &(*labels)[i], err)); // the caller frees what it has
    return CLI_OK;
}
