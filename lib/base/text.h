/*
 * Numbers as text, the same in every locale: a host that has set LC_NUMERIC=de_DE must neither
 * misread our files nor find 0,5 in a message.
 */
#ifndef JEMI_BASE_TEXT_H
#define JEMI_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** snprintf and vsnprintf in the "C" locale. */
int jemi_format(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int jemi_format_list(char *out, size_t size, const char *format, va_list arguments);

/** The whole string is one finite number; false otherwise. */
bool jemi_parse_float(const char *text, float *value);
bool jemi_parse_double(const char *text, double *value);

/** The whole string is one decimal integer of 0 .. 2^64 - 1; false otherwise. */
bool jemi_parse_uint64(const char *text, uint64_t *value);

/** The whole string is one decimal integer, low <= it <= high; false otherwise. */
bool jemi_parse_int(const char *text, int64_t low, int64_t high, int64_t *value);

#endif
