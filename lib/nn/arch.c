/*
 * The grammar of arch strings, and the tables of architectures, activations and options:
 *
 *     arch = family *("-" number) [":" option *("," option)]        option = key "=" value
 *
 * The strings come from callers and from files, so everything not understood is refused, in one
 * sentence that names the fault and what was expected. A new architecture is a row of `families`
 * and a file with its layers.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "nn/build.h"

enum { WIDTH_MAX = 16384, DEPTH_MAX = 1000, WIDENING_MAX = 64, DIGITS_MAX = 5 };

typedef struct jemi_arch_family {
    const char *name;
    jem_status (*check)(const jemi_arch *arch, const char *string);
    jemi_arch_build_fn build;
} jemi_arch_family;

typedef struct act_row {
    const char *name;
    jemi_act act;
    float slope;
} act_row;

static const act_row acts[] = {
    {"lrelu", JEMI_ACT_LRELU, 0.2f},       {"relu", JEMI_ACT_LRELU, 0.0f},
    {"silu", JEMI_ACT_SILU, 0.0f},         {"elu", JEMI_ACT_ELU, 0.0f},
    {"softplus", JEMI_ACT_SOFTPLUS, 0.0f}, {"tanh", JEMI_ACT_TANH, 0.0f},
};

typedef struct norm_row {
    const char *name;
    jemi_norm norm;
    int32_t groups;
} norm_row;

// Beside group2, group3, ...
static const norm_row norms[] = {
    {"none", JEMI_NORM_NONE, 0},         {"batch", JEMI_NORM_BATCH, 0},
    {"layer", JEMI_NORM_GROUP, 1},       {"instance", JEMI_NORM_GROUP, JEMI_GROUPS_INSTANCE},
    {"spectral", JEMI_NORM_SPECTRAL, 0},
};

// A piece of a string that nobody vouches for, made fit for a message: cut, printable ASCII only.
typedef struct quoted {
    char text[44];
} quoted;

static quoted quote(const char *string, size_t length)
{
    quoted result = {{0}};
    const size_t most = 40;
    for (size_t i = 0; i < length && i < most; i++)
        result.text[i] = string[i] >= ' ' && string[i] <= '~' ? string[i] : '?';
    if (length > most)
        memcpy(result.text + most, "...", 3);
    return result;
}

static jem_status fail_arch(const char *string, const char *fault)
{
    return jemi_fail(JEM_EINVAL, "arch \"%s\": %s", quote(string, strlen(string)).text, fault);
}

static bool token_is(const char *token, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(token, word, length) == 0;
}

// Decimal digits without sign or leading zero; -1 for anything else, or when it is too long to be
// any number we take.
static int32_t parse_number(const char *token, size_t length)
{
    if (length == 0 || length > DIGITS_MAX || token[0] == '0')
        return -1;
    int32_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (token[i] < '0' || token[i] > '9')
            return -1;
        value = value * 10 + (token[i] - '0');
    }
    return value;
}

static jem_status check_widths(const jemi_arch *arch, const char *string)
{
    if (arch->n_numbers == 0)
        return fail_arch(string, "expected at least one width after the name, as in mlp-512 or "
                                 "cnn-32-64");
    return JEM_OK;
}

static jem_status check_wrn(const jemi_arch *arch, const char *string)
{
    if (arch->n_numbers != 2)
        return fail_arch(string, "expected a depth and a widening factor, as in wrn-10-2");
    const int32_t depth = arch->numbers[0];
    if (depth < 10 || depth > DEPTH_MAX || depth % 6 != 4)
        return fail_arch(string, "the depth must be 6n + 4: 10, 16, 22, ... up to 1000");
    if (arch->numbers[1] > WIDENING_MAX)
        return fail_arch(string, "the widening factor must be 1 to 64");
    return JEM_OK;
}

static const jemi_arch_family families[] = {
    {"mlp", check_widths, jemi_build_mlp},
    {"cnn", check_widths, jemi_build_cnn},
    {"wrn", check_wrn, jemi_build_wrn},
};

static jem_status parse_family(jemi_arch *arch, const char *string, const char **cursor)
{
    const size_t length = strcspn(string, "-:");
    *cursor = string + length;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (token_is(string, length, families[i].name)) {
            arch->family = &families[i];
            return JEM_OK;
        }
    }
    return fail_arch(string, "unknown architecture, expected mlp, cnn or wrn, as in mlp-512-512, "
                             "cnn-32-64-128 or wrn-10-2");
}

static jem_status parse_numbers(jemi_arch *arch, const char *string, const char **cursor)
{
    while (**cursor == '-') {
        const char *token = *cursor + 1;
        const size_t length = strcspn(token, "-:");
        const int32_t number = parse_number(token, length);
        if (number < 1 || number > WIDTH_MAX)
            return jemi_fail(JEM_EINVAL, "arch \"%s\": \"%s\" is not a whole number from 1 to %d",
                             quote(string, strlen(string)).text, quote(token, length).text,
                             WIDTH_MAX);
        if (arch->n_numbers == JEMI_ARCH_NUMBERS_MAX)
            return fail_arch(string, "too many layers, at most 64 are possible");
        arch->numbers[arch->n_numbers++] = number;
        *cursor = token + length;
    }
    return JEM_OK;
}

static jem_status parse_act(jemi_arch *arch, const char *string, const char *value, size_t length)
{
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (token_is(value, length, acts[i].name)) {
            arch->act_name = acts[i].name;
            arch->act = acts[i].act;
            arch->slope = acts[i].slope;
            return JEM_OK;
        }
    }
    return jemi_fail(JEM_EINVAL,
                     "arch \"%s\": unknown activation \"%s\", expected lrelu, relu, silu, elu, "
                     "softplus or tanh",
                     quote(string, strlen(string)).text, quote(value, length).text);
}

static jem_status set_norm(jemi_arch *arch, const char *name, jemi_norm norm, int32_t groups)
{
    snprintf(arch->norm_name, sizeof arch->norm_name, "%s", name);
    arch->norm = norm;
    arch->groups = groups;
    return JEM_OK;
}

static jem_status parse_norm(jemi_arch *arch, const char *string, const char *value, size_t length)
{
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++)
        if (token_is(value, length, norms[i].name))
            return set_norm(arch, norms[i].name, norms[i].norm, norms[i].groups);
    static const char group[] = "group";
    const size_t prefix = sizeof group - 1;
    if (length > prefix && memcmp(value, group, prefix) == 0) {
        const int32_t groups = parse_number(value + prefix, length - prefix);
        char name[16];
        snprintf(name, sizeof name, "%s%d", group, (int)groups);
        if (groups > 1 && groups <= WIDTH_MAX)
            return set_norm(arch, name, JEMI_NORM_GROUP, groups);
        if (groups == 1)
            return set_norm(arch, "layer", JEMI_NORM_GROUP, 1);
    }
    return jemi_fail(JEM_EINVAL,
                     "arch \"%s\": unknown norm \"%s\", expected none, batch, layer, instance, "
                     "spectral, or group with their number, as in group8",
                     quote(string, strlen(string)).text, quote(value, length).text);
}

// 0, or 0. and up to four decimals; -1 for anything else.
static int32_t parse_rate(const char *value, size_t length)
{
    if (token_is(value, length, "0"))
        return 0;
    if (length < 3 || length > 6 || memcmp(value, "0.", 2) != 0)
        return -1;
    int32_t rate = 0;
    for (size_t i = 2; i < 6; i++) {
        const char digit = i < length ? value[i] : '0';
        if (digit < '0' || digit > '9')
            return -1;
        rate = 10 * rate + (digit - '0');
    }
    return rate;
}

static jem_status parse_dropout(jemi_arch *arch, const char *string, const char *value,
                                size_t length)
{
    arch->dropout = parse_rate(value, length);
    if (arch->dropout >= 0)
        return JEM_OK;
    return jemi_fail(JEM_EINVAL,
                     "arch \"%s\": dropout is \"%s\", expected 0 or a number between 0 and 1 of up "
                     "to four decimals, as in 0.3",
                     quote(string, strlen(string)).text, quote(value, length).text);
}

typedef struct option_row {
    const char *key;
    jem_status (*parse)(jemi_arch *arch, const char *string, const char *value, size_t length);
} option_row;

static const option_row options[JEMI_ARCH_OPTIONS] = {
    {"act", parse_act}, {"norm", parse_norm}, {"dropout", parse_dropout}};

// What follows the colon or a comma; leaves the cursor at the next comma or the end.
static jem_status parse_option(jemi_arch *arch, const char *string, const char **cursor)
{
    const char *option = *cursor + 1;
    const size_t length = strcspn(option, ",");
    const size_t key = strcspn(option, ",=");
    *cursor = option + length;
    for (int i = 0; i < JEMI_ARCH_OPTIONS; i++) {
        if (key == length || !token_is(option, key, options[i].key))
            continue;
        if (arch->given[i])
            return jemi_fail(JEM_EINVAL, "arch \"%s\": option %s is given twice",
                             quote(string, strlen(string)).text, options[i].key);
        arch->given[i] = true;
        return options[i].parse(arch, string, option + key + 1, length - key - 1);
    }
    return jemi_fail(JEM_EINVAL,
                     "arch \"%s\": unknown option \"%s\", expected act=..., norm=... or "
                     "dropout=..., as in mlp-512:act=silu,norm=layer",
                     quote(string, strlen(string)).text, quote(option, length).text);
}

jem_status jemi_arch_parse(jemi_arch *arch, const char *string)
{
    *arch = (jemi_arch){0};
    const char *cursor = NULL;
    JEMI_TRY(parse_family(arch, string, &cursor));
    JEMI_TRY(parse_numbers(arch, string, &cursor));
    JEMI_TRY(arch->family->check(arch, string));
    while (*cursor != '\0')
        JEMI_TRY(parse_option(arch, string, &cursor));
    if (arch->act_name == NULL)
        JEMI_TRY(parse_act(arch, string, acts[0].name, strlen(acts[0].name)));
    return JEM_OK;
}

static size_t format_dropout(char *out, size_t size, int32_t rate)
{
    int digits = 4;
    for (; rate % 10 == 0; digits--)
        rate /= 10;
    return (size_t)snprintf(out, size, ",dropout=0.%0*d", digits, (int)rate);
}

jem_status jemi_arch_format(const jemi_arch *arch, char *out, size_t size)
{
    char full[16 + (DIGITS_MAX + 1) * JEMI_ARCH_NUMBERS_MAX + 64];
    size_t length = (size_t)snprintf(full, sizeof full, "%s", arch->family->name);
    for (int32_t i = 0; i < arch->n_numbers; i++)
        length += (size_t)snprintf(full + length, sizeof full - length, "-%d", arch->numbers[i]);
    length += (size_t)snprintf(full + length, sizeof full - length, ":act=%s", arch->act_name);
    if (arch->norm != JEMI_NORM_NONE)
        length +=
            (size_t)snprintf(full + length, sizeof full - length, ",norm=%s", arch->norm_name);
    if (arch->dropout != 0)
        length += format_dropout(full + length, sizeof full - length, arch->dropout);
    if (length >= size)
        return jemi_fail(JEM_EINVAL,
                         "arch \"%s\" is %zu characters long in its full form, at most %zu are "
                         "possible",
                         quote(full, length).text, length, size - 1);
    memcpy(out, full, length + 1);
    return JEM_OK;
}

void jemi_arch_build(jemi_builder *builder, const jemi_arch *arch, int64_t classes)
{
    arch->family->build(builder, arch, classes);
}
