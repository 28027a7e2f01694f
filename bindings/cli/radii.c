/*
 * Fractions are read as they are: their numerator and denominator are numbers.
 */
#include "radii.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A number without sign or space; returns what follows it, or NULL.
static const char *read_number(const char *text, double *value)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return NULL;
    *value = strtod(text, &end);
    return end != text ? end : NULL;
}

static bool read_radius(const char *word, double *value)
{
    double divisor = 1.0;
    const char *rest = read_number(word, value);
    if (rest != NULL && *rest == '/')
        rest = read_number(rest + 1, &divisor);
    *value /= divisor;
    return rest != NULL && *rest == '\0' && divisor > 0.0 && *value <= 3.4e38;
}

static int compare(const void *a, const void *b)
{
    const double x = ((const cli_radius *)a)->value, y = ((const cli_radius *)b)->value;
    return (x > y) - (x < y);
}

cli_status cli_radii_read(cli_radii *radii, const cli_list *words, cli_error *err)
{
    radii->count = words->count;
    for (int i = 0; i < words->count; i++) {
        cli_radius *radius = &radii->items[i];
        const char *word = words->items[i];
        if (strlen(word) >= sizeof radius->name || !read_radius(word, &radius->value))
            return cli_usage(err,
                             "--eps is %s; expected a number of 0 or more, or a fraction such "
                             "as 16/255",
                             word);
        snprintf(radius->name, sizeof radius->name, "%s", word);
    }
    qsort(radii->items, (size_t)radii->count, sizeof radii->items[0], compare);
    for (int i = 1; i < radii->count; i++)
        if (radii->items[i].value == radii->items[i - 1].value)
            return cli_usage(err, "--eps names %s twice", radii->items[i].name);
    return CLI_OK;
}

static void add(cli_radii *radii, double value, const char *unit, double divisor)
{
    cli_radius *radius = &radii->items[radii->count++];
    radius->value = value / divisor;
    snprintf(radius->name, sizeof radius->name, "%.4g%s", value, unit);
}

// 1, 2, 4 .. of the 255 steps of a range; lengths and counts that suit images of some thousand values.
void cli_radii_usual(cli_radii *radii, int32_t norm, const jem_model_info *info)
{
    static const double levels[] = {1, 2, 4, 8, 16, 32};
    static const double lengths[] = {0.125, 0.25, 0.5, 1, 2, 4};
    static const double counts[] = {1, 2, 5, 10, 20, 50};
    const double range = (double)info->input_high - (double)info->input_low;
    radii->count = 0;
    for (int i = 0; i < 6; i++)
        if (norm == JEM_NORM_LINF)
            add(radii, levels[i] * range, "/255", 255.0);
        else
            add(radii, norm == JEM_NORM_L2 ? lengths[i] * range : counts[i], "", 1.0);
}
