/*
 * The library's list of scores, with and without those of features.
 */
#include "score_names.h"

#include <string.h>

#include "options.h"

static bool get_plain(int32_t kind, jem_score_info *info)
{
    return jem_score_get_info(kind, info) == JEM_OK && info->source != JEM_SOURCE_FEATURES;
}

static int32_t n_kinds(void)
{
    jem_score_info info = {.struct_size = sizeof info};
    int32_t n = 0;
    while (jem_score_get_info(n + 1, &info) == JEM_OK)
        n++;
    return n;
}

static cli_status refuse(const char *option, const char *word, const char *fault, bool plain,
                         cli_error *err)
{
    char names[512] = "";
    size_t used = 0;
    for (int32_t kind = 1; kind <= n_kinds(); kind++) {
        jem_score_info info = {.struct_size = sizeof info};
        const bool listed =
            plain ? get_plain(kind, &info) : jem_score_get_info(kind, &info) == JEM_OK;
        if (listed && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used > 0 ? ", " : "", info.name);
    }
    return cli_usage(err, "--%s is \"%s\"%s; expected one of %s", option, word, fault, names);
}

cli_status cli_score_find_any(const char *word, const char *option, int32_t *kind, cli_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s", word);
    for (char *at = name; *at != '\0'; at++)
        *at = *at == '_' ? '-' : *at; // as in all words of the command line
    return jem_score_find(name, kind) == JEM_OK ? CLI_OK : refuse(option, word, "", false, err);
}

cli_status cli_score_find(const char *word, int32_t *kind, cli_error *err)
{
    jem_score_info info = {.struct_size = sizeof info};
    cli_error other;
    if (cli_score_find_any(word, "kind", kind, &other) != CLI_OK)
        return refuse("kind", word, "", true, err);
    if (!get_plain(*kind, &info))
        return refuse("kind", word, ", a score of features, which needs a detector", true, err);
    return CLI_OK;
}

static void print_kinds(bool plain)
{
    puts("\nScores:");
    for (int32_t kind = 1; kind <= n_kinds(); kind++) {
        jem_score_info info = {.struct_size = sizeof info};
        if (plain ? get_plain(kind, &info) : jem_score_get_info(kind, &info) == JEM_OK) {
            const int at = printf(plain ? "  %-14s " : "  %-20s ", info.name);
            cli_print_wrapped(info.summary, at, at);
        }
    }
}

void cli_score_print_kinds(void)
{
    print_kinds(true);
}

void cli_score_print_all_kinds(void)
{
    print_kinds(false);
}
