/*
 * Text from strangers: whether it is UTF-8, and how it may be shown.
 *
 * The command compiles this file too, so that both show names by the same rule.
 */
#ifndef JEMI_BASE_UTF8_H
#define JEMI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** Bytes of the UTF-8 sequence that begins at `at`, which holds `size` >= 1 bytes; 0 if none does.
 *  Overlong forms, surrogates and anything above U+10FFFF are no UTF-8. */
size_t jemi_utf8_length(const char *at, size_t size);

/** The whole string is UTF-8. */
bool jemi_utf8_valid(const char *string);

/**
 * Replaces by '?' what could steer a terminal, begin another line of a log or reorder a message:
 * control characters (C0 with newline and tab, DEL, C1), line and paragraph separators, controls of
 * writing direction, and bytes that are no UTF-8. The text never becomes longer.
 */
void jemi_utf8_make_showable(char *text);

#endif
