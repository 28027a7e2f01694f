/*
 * One decoder serves the reader of JSON, which refuses, and the filter, which replaces.
 */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

// Table 3-7 of the Unicode standard.
size_t jemi_utf8_length(const char *at, size_t size)
{
    const unsigned char *u = (const unsigned char *)at;
    if (u[0] < 0x80)
        return 1;
    const size_t length = u[0] >= 0xC2 && u[0] <= 0xDF   ? 2
                          : u[0] >= 0xE0 && u[0] <= 0xEF ? 3
                          : u[0] >= 0xF0 && u[0] <= 0xF4 ? 4
                                                         : 0;
    if (length == 0 || length > size)
        return 0;
    const unsigned low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    const unsigned high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    if (u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((u[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool jemi_utf8_valid(const char *string)
{
    size_t left = strlen(string);
    while (left > 0) {
        const size_t length = jemi_utf8_length(string, left);
        if (length == 0)
            return false;
        string += length;
        left -= length;
    }
    return true;
}

// The character of a valid sequence.
static uint32_t decode(const char *at, size_t length)
{
    static const unsigned char first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (unsigned char)at[0] & first_bits[length];
    for (size_t i = 1; i < length; i++)
        code = code << 6 | ((unsigned char)at[i] & 0x3F);
    return code;
}

static bool is_showable(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } steering[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C},
        {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069},
    };
    for (size_t i = 0; i < sizeof steering / sizeof steering[0]; i++)
        if (code >= steering[i].first && code <= steering[i].last)
            return false;
    return true;
}

void jemi_utf8_make_showable(char *text)
{
    const char *from = text;
    char *to = text;
    for (size_t left = strlen(text); left > 0;) {
        const size_t length = jemi_utf8_length(from, left);
        const size_t passed = length > 0 ? length : 1;
        if (length > 0 && is_showable(decode(from, length))) {
            memmove(to, from, length);
            to += length;
        } else {
            *to++ = '?';
        }
        from += passed;
        left -= passed;
    }
    *to = '\0';
}
