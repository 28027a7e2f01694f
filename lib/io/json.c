/*
 * JSON as RFC 8259 has it, less what a safetensors header never needs: numbers are non-negative
 * integers, and strings hold no NUL, so that they can be C strings.
 */
#include "io/json.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "base/utf8.h"

static void skip_space(jemi_json *json)
{
    while (json->at < json->end && memchr(" \t\n\r", *json->at, 4) != NULL)
        json->at++;
}

jem_status jemi_json_fail(const jemi_json *json, const char *expected)
{
    const size_t place = (size_t)(json->at - json->start);
    if (json->at == json->end)
        return jemi_fail(JEM_EFORMAT, "%s, byte %zu: expected %s, found its end", json->what, place,
                         expected);
    const unsigned char c = (unsigned char)*json->at;
    char found[8];
    jemi_format(found, sizeof found, c >= 0x20 && c < 0x7f ? "'%c'" : "0x%02x", c);
    return jemi_fail(JEM_EFORMAT, "%s, byte %zu: expected %s, found %s", json->what, place,
                     expected, found);
}

// Passes `c` if it is the next character.
static bool accept(jemi_json *json, char c)
{
    skip_space(json);
    const bool found = json->at < json->end && *json->at == c;
    json->at += found;
    return found;
}

jem_status jemi_json_open(jemi_json *json, char bracket)
{
    if (accept(json, bracket))
        return JEM_OK;
    return jemi_json_fail(json, bracket == '{' ? "'{'" : "'['");
}

jem_status jemi_json_next(jemi_json *json, char bracket, int64_t *n_seen, bool *more)
{
    *more = false;
    if (accept(json, bracket == '{' ? '}' : ']'))
        return JEM_OK;
    if (*n_seen > 0 && !accept(json, ','))
        return jemi_json_fail(json, bracket == '{' ? "',' or '}'" : "',' or ']'");
    (*n_seen)++;
    *more = true;
    return JEM_OK;
}

static size_t utf8_encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

// The four hex digits of a \u, which stands before json->at.
static jem_status scan_hex(jemi_json *json, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit =
            json->at < json->end ? memchr(digits, *json->at, sizeof digits - 1) : NULL;
        if (digit == NULL)
            return jemi_json_fail(json, "four hex digits after \\u");
        *code = *code << 4 | ((uint32_t)(digit - digits) & 15);
        json->at++;
    }
    return JEM_OK;
}

static jem_status scan_unicode(jemi_json *json)
{
    uint32_t code;
    JEMI_TRY(scan_hex(json, &code));
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (json->end - json->at < 2 || memcmp(json->at, "\\u", 2) != 0)
            return jemi_json_fail(json, "the second half of a surrogate pair");
        json->at += 2;
        uint32_t low;
        JEMI_TRY(scan_hex(json, &low));
        if (low < 0xDC00 || low > 0xDFFF)
            return jemi_json_fail(json, "a low surrogate before this");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code <= 0xDFFF) {
        return jemi_json_fail(json, "no lone surrogate before this");
    }
    if (code == 0)
        return jemi_json_fail(json, "no NUL (\\u0000) in a string before this");
    json->text += utf8_encode(code, json->text);
    return JEM_OK;
}

// What follows a backslash.
static jem_status scan_escape(jemi_json *json)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (json->at < json->end && *json->at == 'u') {
        json->at++;
        return scan_unicode(json);
    }
    const char *name = json->at < json->end ? memchr(names, *json->at, sizeof names - 1) : NULL;
    if (name == NULL)
        return jemi_json_fail(json, "an escape sequence");
    *json->text++ = values[name - names];
    json->at++;
    return JEM_OK;
}

// Copies characters that stand for themselves, up to a quote or a backslash.
static jem_status scan_plain(jemi_json *json)
{
    while (json->at < json->end && *json->at != '"' && *json->at != '\\') {
        const size_t length = jemi_utf8_length(json->at, (size_t)(json->end - json->at));
        if (length == 0)
            return jemi_json_fail(json, "UTF-8");
        if ((unsigned char)*json->at < 0x20)
            return jemi_json_fail(json, "no control character in a string");
        memcpy(json->text, json->at, length);
        json->text += length;
        json->at += length;
    }
    return JEM_OK;
}

jem_status jemi_json_string(jemi_json *json, const char **string, size_t *length)
{
    if (!accept(json, '"'))
        return jemi_json_fail(json, "a string");
    char *text = json->text;
    for (;;) {
        JEMI_TRY(scan_plain(json));
        if (json->at == json->end)
            return jemi_json_fail(json, "'\"'");
        if (*json->at++ == '"')
            break;
        JEMI_TRY(scan_escape(json));
    }
    *string = text;
    *length = (size_t)(json->text - text);
    *json->text++ = '\0'; // fits: the two quotes took more
    return JEM_OK;
}

jem_status jemi_json_key(jemi_json *json, const char **key, size_t *length)
{
    JEMI_TRY(jemi_json_string(json, key, length));
    return accept(json, ':') ? JEM_OK : jemi_json_fail(json, "':'");
}

static bool is_digit(const jemi_json *json)
{
    return json->at < json->end && *json->at >= '0' && *json->at <= '9';
}

jem_status jemi_json_count(jemi_json *json, int64_t *value)
{
    static const char expected[] = "a non-negative integer below 2^63";
    skip_space(json);
    if (!is_digit(json))
        return jemi_json_fail(json, expected);
    const bool zero = *json->at == '0';
    *value = 0;
    do {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, *json->at - '0', value))
            return jemi_json_fail(json, expected);
        json->at++;
    } while (!zero && is_digit(json));
    // A digit here follows a leading zero.
    if (is_digit(json) || (json->at < json->end && memchr(".eE", *json->at, 3) != NULL))
        return jemi_json_fail(json, expected);
    return JEM_OK;
}

jem_status jemi_json_finish(jemi_json *json)
{
    skip_space(json);
    return json->at == json->end ? JEM_OK : jemi_json_fail(json, "nothing more");
}
