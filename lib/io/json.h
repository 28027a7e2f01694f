/*
 * A cursor over JSON text, for readers that know which shape they expect: they ask for the next
 * string or number and get it or a sentence on what stood there instead. No tree is built, nothing
 * recurses and no memory is asked for, so text from a stranger costs one pass over it.
 *
 * (Not jansson: its lexer drops a character when malloc fails and goes on with another name.)
 */
#ifndef JEMI_IO_JSON_H
#define JEMI_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jem/jem.h>

typedef struct jemi_json {
    const char *what; /* names the text in messages */
    const char *start, *at, *end;
    char *text; /* strings are unescaped to here: room for as many bytes as the JSON has */
} jemi_json;

/** Passes the bracket '{' or '['. */
jem_status jemi_json_open(jemi_json *json, char bracket);

/**
 * Steps to the next member: *more is false, and the closing bracket passed, when there is none.
 *
 * @param n_seen  Members so far, 0 at first; counted by this function.
 */
jem_status jemi_json_next(jemi_json *json, char bracket, int64_t *n_seen, bool *more);

/** A string: valid UTF-8 without NUL. It lies, NUL-terminated, in `text`. */
jem_status jemi_json_string(jemi_json *json, const char **string, size_t *length);

/** A string and the colon after it. */
jem_status jemi_json_key(jemi_json *json, const char **key, size_t *length);

/** An integer 0 .. INT64_MAX, in digits only. */
jem_status jemi_json_count(jemi_json *json, int64_t *value);

/** Nothing but white space is left. */
jem_status jemi_json_finish(jemi_json *json);

/** JEM_EFORMAT: "<what>, byte n: expected <expected>, found ...". */
jem_status jemi_json_fail(const jemi_json *json, const char *expected);

#endif
