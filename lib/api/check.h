/*
 * The checks of user arguments, each with its sentence. The rooms below the API assert instead.
 */
#ifndef JEMI_API_CHECK_H
#define JEMI_API_CHECK_H

#include <stdbool.h>

#include "base/config.h"
#include "base/status.h"
#include "model/model.h"

jem_status jemi_check_pointer(const void *pointer, const char *name);
/** n in 0 .. 2^31 - 1, so that n rows can be counted anywhere. */
jem_status jemi_check_rows(int64_t n, const char *name);
/** Rows and, unless there are none, the array that holds them. */
jem_status jemi_check_array(int64_t n, const void *array, const char *name);
jem_status jemi_check_range_int(int64_t value, int64_t low, int64_t high, const char *name);
jem_status jemi_check_range(double value, double low, double high, const char *name);
/** value > 0 and finite. */
jem_status jemi_check_positive(double value, const char *name);
jem_status jemi_check_flag(int32_t value, const char *name);
/** n rows of row_len floats, none of them NaN or infinite. NULL only when n is 0. */
jem_status jemi_check_finite(const float *x, int64_t n, int64_t row_len, const char *name);
/** NULL is accepted. */
jem_status jemi_check_labels(const int64_t *labels, int64_t n, int32_t classes, const char *name);
/** JEM_EMISMATCH unless a sampler or optimizer was made for a model of this shape. */
jem_status jemi_check_fingerprint(const jem_model *model, const jemi_fingerprint *made_for,
                                  bool with_params, const char *what);

/** Rows of a pass by the statistics of its batch: none, or as many as batch normalisation needs. */
jem_status jemi_check_batch(const jem_model *model, int64_t n, const char *what);

/** The usual quartet of a compute call: model, n, x, finite x. */
jem_status jemi_check_input(const jem_model *model, int64_t n, const float *x);

/** Reads a possibly NULL exec config; defaults filled in, values checked. */
jem_status jemi_check_exec(const jem_exec_config *exec, jem_exec_config *own);

#endif
