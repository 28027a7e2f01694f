/*
 * The five characters that have a meaning in HTML.
 */
#include "markup.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static void put_escaped(FILE *page, char c)
{
    switch (c) {
    case '<':
        fputs("&lt;", page);
        break;
    case '>':
        fputs("&gt;", page);
        break;
    case '&':
        fputs("&amp;", page);
        break;
    case '"':
        fputs("&quot;", page);
        break;
    case '\'':
        fputs("&#39;", page);
        break;
    default:
        putc(c, page);
    }
}

void cli_put_markup(FILE *page, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return;
    jemi_utf8_make_showable(copy);
    for (const char *at = copy; *at != '\0'; at++)
        put_escaped(page, *at);
    free(copy);
}
