/*
 * The library's list of scores without those of features.
 */
#include "score_names.h"

#include <string.h>

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

static cli_status refuse(const char *word, const char *fault, cli_error *err)
{
    char names[512] = "";
    size_t used = 0;
    for (int32_t kind = 1; kind <= n_kinds(); kind++) {
        jem_score_info info = {.struct_size = sizeof info};
        if (get_plain(kind, &info) && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used > 0 ? ", " : "", info.name);
    }
    return cli_usage(err, "--kind is \"%s\"%s; expected one of %s", word, fault, names);
}

cli_status cli_score_find(const char *word, int32_t *kind, cli_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s", word);
    for (char *at = name; *at != '\0'; at++)
        *at = *at == '_' ? '-' : *at; // as in all words of the command line
    jem_score_info info = {.struct_size = sizeof info};
    if (jem_score_find(name, kind) != JEM_OK)
        return refuse(word, "", err);
    if (!get_plain(*kind, &info))
        return refuse(word, ", a score of features, which needs a detector", err);
    return CLI_OK;
}

void cli_score_print_kinds(void)
{
    puts("\nScores:");
    for (int32_t kind = 1; kind <= n_kinds(); kind++) {
        jem_score_info info = {.struct_size = sizeof info};
        if (get_plain(kind, &info))
            printf("  %-14s %s\n", info.name, info.summary);
    }
}
