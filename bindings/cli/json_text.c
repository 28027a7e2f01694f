/*
 * jansson refuses strings that are not UTF-8, and what it refuses is missing from the output, or
 * makes all of it fail. jansson itself is asked what is valid, one character after the other.
 */
#include "json_text.h"

#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

// The bytes of the character that `text` begins with, 0 if it begins with none.
static size_t character_length(const char *text)
{
    for (size_t length = 1; length <= 4 && text[length - 1] != '\0'; length++) {
        json_t *string = json_stringn(text, length);
        json_decref(string);
        if (string != NULL)
            return length;
    }
    return 0;
}

json_t *cli_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char *valid = malloc(3 * strlen(text) + 1), *to = valid;
    if (valid == NULL)
        return NULL;
    while (*text != '\0') {
        const size_t length = character_length(text);
        const size_t n = length > 0 ? length : strlen(replacement);
        memcpy(to, length > 0 ? text : replacement, n);
        to += n;
        text += length > 0 ? length : 1;
    }
    *to = '\0';
    string = json_string(valid);
    free(valid);
    return string;
}

void cli_json_set(json_t *object, const char *key, json_t *value)
{
    json_t *name = cli_json_text(key);
    if (name != NULL)
        json_object_set_new(object, json_string_value(name), value);
    else
        json_decref(value);
    json_decref(name);
}
