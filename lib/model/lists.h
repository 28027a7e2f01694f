/*
 * Lists in one metadata string of a model file: JSON arrays of names or of numbers, so that other
 * programs can read them.
 */
#ifndef JEMI_MODEL_LISTS_H
#define JEMI_MODEL_LISTS_H

#include <stdint.h>

#include <jem/jem.h>

/** An array of strings, for jemi_free(); NULL when out of memory. A NULL name is its number. */
char *jemi_names_to_json(char *const *names, int32_t count);

/** An array of numbers, exact, for jemi_free(); NULL when out of memory. */
char *jemi_floats_to_json(const float *values, int64_t count);

/** Receives one name; another status than JEM_OK ends the reading. */
typedef jem_status (*jemi_name_fn)(void *user, int32_t index, const char *name);

/**
 * Hands out the `count` strings of an array in their order.
 *
 * @param what  Names the text in messages.
 * @return JEM_OK; JEM_EFORMAT for anything else than such an array; JEM_ENOMEM; what `take` says.
 */
jem_status jemi_names_from_json(const char *text, const char *what, int32_t count,
                                jemi_name_fn take, void *user);

/** `count` finite numbers above `low`; else JEM_EFORMAT. */
jem_status jemi_floats_from_json(const char *text, const char *what, int64_t count, float low,
                                 float *values);

#endif
