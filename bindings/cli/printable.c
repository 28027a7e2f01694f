/*
 * Which characters steer a terminal: C0, DEL, and C1, which is two bytes in UTF-8. Line ends and
 * tabs become spaces.
 */
#include "printable.h"

#include <string.h>

void cli_print_text(FILE *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        const unsigned char next = c[1]; // the NUL at the end
        if (*c == '\n' || *c == '\t')
            fputc(' ', to);
        else if (*c < 0x20 || *c == 0x7f)
            fputc('?', to);
        else if (*c == 0xc2 && next >= 0x80 && next < 0xa0)
            fputc('?', to), c++;
        else
            fputc(*c, to);
    }
}
