/*
 * Numbers with as many digits as float32 has.
 */
#include "verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"

const char *cli_flag_name(int32_t flag)
{
    static const char *const names[] = {"none", "score", "range", "overflow", "not-finite"};
    return flag >= 0 && flag < (int32_t)(sizeof names / sizeof names[0]) ? names[flag] : "unknown";
}

static void put_number(char text[32], float value)
{
    if (isfinite(value))
        snprintf(text, 32, "%.9g", (double)value);
    else
        snprintf(text, 32, "null");
}

// With its quotes, or null; a name that is too long is null as well.
static void put_text(char *text, size_t size, const char *value)
{
    json_t *string = value != NULL ? cli_json_text(value) : NULL;
    char *dumped = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    snprintf(text, size, "%s", dumped != NULL && strlen(dumped) < size ? dumped : "null");
    free(dumped);
    json_decref(string);
}

int cli_verdict_line(int64_t row, const jem_verdict *verdict, const char *class_name,
                     char line[CLI_VERDICT_SIZE])
{
    jem_score_info info = {.struct_size = sizeof info};
    const bool known = jem_score_get_info(verdict->kind, &info) == JEM_OK;
    char label[16] = "null", name[600], kind[64], probability[32], score[32], p_value[32];
    if (verdict->label >= 0)
        snprintf(label, sizeof label, "%d", (int)verdict->label);
    put_text(name, sizeof name, verdict->label >= 0 ? class_name : NULL);
    put_text(kind, sizeof kind, known ? info.name : NULL);
    put_number(probability, verdict->label >= 0 ? verdict->probability : (float)NAN);
    put_number(score, verdict->score);
    put_number(p_value, verdict->p_value);
    return snprintf(line, CLI_VERDICT_SIZE,
                    "{\"row\": %lld, \"flag\": \"%s\", \"label\": %s, \"class\": %s, "
                    "\"probability\": %s, \"score\": %s, \"p_value\": %s, \"kind\": %s}\n",
                    (long long)row, cli_flag_name(verdict->flag), label, name, probability, score,
                    p_value, kind);
}
