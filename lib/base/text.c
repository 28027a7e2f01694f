/*
 * Formatting and parsing under a private "C" locale, set for this thread only and only meanwhile.
 */
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

// Under a lock, as the C library has one of its own in there, which a fork would leave locked.
static void make_c_locale(void)
{
    jemi_lock *lock = jemi_lock_of(JEMI_RANK_LOCALE);
    jemi_lock_enter(lock);
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    jemi_lock_leave(lock);
}

// Without memory for a locale object the host's stays: a comma is better than no message.
static locale_t enter_c_locale(void)
{
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale != (locale_t)0 ? uselocale(c_locale) : (locale_t)0;
}

static void leave_c_locale(locale_t host)
{
    if (host != (locale_t)0)
        uselocale(host);
}

int jemi_format_list(char *out, size_t size, const char *format, va_list arguments)
{
    const locale_t host = enter_c_locale();
    const int length = vsnprintf(out, size, format, arguments);
    leave_c_locale(host);
    return length;
}

int jemi_format(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = jemi_format_list(out, size, format, arguments);
    va_end(arguments);
    return length;
}

bool jemi_parse_float(const char *text, float *value)
{
    const locale_t host = enter_c_locale();
    char *end;
    const float parsed = strtof(text, &end);
    leave_c_locale(host);
    if (end == text || *end != '\0' || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool jemi_parse_double(const char *text, double *value)
{
    const locale_t host = enter_c_locale();
    char *end;
    const double parsed = strtod(text, &end);
    leave_c_locale(host);
    if (end == text || *end != '\0' || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool jemi_parse_int(const char *text, int64_t low, int64_t high, int64_t *value)
{
    const int errno_before = errno;
    errno = 0;
    char *end;
    const long long parsed = strtoll(text, &end, 10);
    const bool good = errno == 0 && end != text && *end == '\0' && parsed >= low && parsed <= high;
    errno = errno_before;
    if (good)
        *value = parsed;
    return good;
}

bool jemi_parse_uint64(const char *text, uint64_t *value)
{
    const int errno_before = errno;
    errno = 0;
    char *end;
    const unsigned long long parsed = strtoull(text, &end, 10);
    const bool good = errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
    errno = errno_before;
    if (good)
        *value = parsed;
    return good;
}
