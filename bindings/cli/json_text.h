/*
 * Text of any origin in JSON. Names of files are bytes, and need not be UTF-8.
 */
#ifndef JEM_CLI_JSON_TEXT_H
#define JEM_CLI_JSON_TEXT_H

#include <jansson.h>

/** As a JSON string; U+FFFD stands for each byte that is not UTF-8. NULL: out of memory. */
json_t *cli_json_text(const char *text);

/** Sets a member under a key of any origin; takes over the reference to `value`. */
void cli_json_set(json_t *object, const char *key, json_t *value);

#endif
