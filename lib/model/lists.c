/*
 * Each text is made in a block of its largest possible length, and numbers are read in the "C"
 * locale. Without jansson: its lexer does not tell a lack of memory from a fault of the text.
 */
#include "model/lists.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "io/json.h"

enum { NUMBER_SIZE = 24 };

static char *put_string(char *out, const char *string)
{
    *out++ = '"';
    for (; *string != '\0'; string++) {
        const unsigned char c = (unsigned char)*string;
        if (c < 0x20) {
            jemi_format(out, 7, "\\u%04x", c);
            out += 6;
            continue;
        }
        if (c == '"' || c == '\\')
            *out++ = '\\';
        *out++ = (char)c;
    }
    *out++ = '"';
    return out;
}

// Ends a list whose every item was followed by a comma.
static void close_list(char *text, char *out)
{
    out -= out > text + 1;
    out[0] = ']';
    out[1] = '\0';
}

char *jemi_names_to_json(char *const *names, int32_t count)
{
    size_t size = 3;
    for (int32_t i = 0; i < count; i++) // every byte may become six
        size += 3 + (names[i] != NULL ? 6 * strlen(names[i]) : NUMBER_SIZE);
    char *text = jemi_alloc(size, 1);
    if (text == NULL)
        return NULL;
    char *out = text;
    *out++ = '[';
    for (int32_t i = 0; i < count; i++) {
        char number[NUMBER_SIZE];
        jemi_format(number, sizeof number, "%d", (int)i);
        out = put_string(out, names[i] != NULL ? names[i] : number);
        *out++ = ',';
    }
    close_list(text, out);
    return text;
}

char *jemi_floats_to_json(const float *values, int64_t count)
{
    char *text = jemi_alloc(3 + (size_t)count * NUMBER_SIZE, 1);
    if (text == NULL)
        return NULL;
    char *out = text;
    *out++ = '[';
    for (int64_t i = 0; i < count; i++)
        out += jemi_format(out, NUMBER_SIZE, "%.9g,", (double)values[i]);
    close_list(text, out);
    return text;
}

static jem_status fail_count(const char *what, int64_t count)
{
    return jemi_fail(JEM_EFORMAT, "%s: expected an array of %lld", what, (long long)count);
}

static jem_status read_names(jemi_json *json, int32_t count, jemi_name_fn take, void *user)
{
    JEMI_TRY(jemi_json_open(json, '['));
    int64_t seen = 0;
    bool more;
    JEMI_TRY(jemi_json_next(json, '[', &seen, &more));
    while (more) {
        const char *name;
        size_t length;
        JEMI_TRY(jemi_json_string(json, &name, &length));
        if (seen > count)
            return fail_count(json->what, count);
        JEMI_TRY(take(user, (int32_t)(seen - 1), name));
        JEMI_TRY(jemi_json_next(json, '[', &seen, &more));
    }
    return seen == count ? jemi_json_finish(json) : fail_count(json->what, count);
}

jem_status jemi_names_from_json(const char *text, const char *what, int32_t count,
                                jemi_name_fn take, void *user)
{
    const size_t size = strlen(text);
    char *strings = jemi_alloc(size, 1);
    if (strings == NULL)
        return jemi_fail_memory("names of a model file");
    jemi_json json = {what, text, text, text + size, strings};
    const jem_status status = read_names(&json, count, take, user);
    jemi_free(strings);
    return status;
}

// The number before the next comma or bracket, passed too; false when there is none.
static bool take_number(const char **text, char end, float *value)
{
    char number[NUMBER_SIZE + 8];
    const size_t length = strcspn(*text, ",]");
    if (length >= sizeof number || (*text)[length] != end)
        return false;
    memcpy(number, *text, length);
    number[length] = '\0';
    *text += length + 1;
    return jemi_parse_float(number, value);
}

jem_status jemi_floats_from_json(const char *text, const char *what, int64_t count, float low,
                                 float *values)
{
    bool good = *text++ == '[';
    for (int64_t i = 0; i < count && good; i++)
        good = take_number(&text, i + 1 < count ? ',' : ']', &values[i]) && values[i] > low;
    if (!good || *text != '\0')
        return jemi_fail(JEM_EFORMAT, "%s: expected an array of %lld numbers above %g", what,
                         (long long)count, (double)low);
    return JEM_OK;
}
