/*
 * The grammar of arch strings, and the table of architectures and activations:
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
    if (arch->act_name != NULL)
        return fail_arch(string, "option act is given twice");
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

// What follows the colon or a comma; leaves the cursor at the next comma or the end.
static jem_status parse_option(jemi_arch *arch, const char *string, const char **cursor)
{
    const char *option = *cursor + 1;
    const size_t length = strcspn(option, ",");
    const size_t key = strcspn(option, ",=");
    *cursor = option + length;
    if (key < length && token_is(option, key, "act"))
        return parse_act(arch, string, option + key + 1, length - key - 1);
    return jemi_fail(JEM_EINVAL,
                     "arch \"%s\": unknown option \"%s\", expected act=..., as in "
                     "mlp-512:act=silu",
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

jem_status jemi_arch_format(const jemi_arch *arch, char *out, size_t size)
{
    char full[16 + (DIGITS_MAX + 1) * JEMI_ARCH_NUMBERS_MAX + 32];
    size_t length = (size_t)snprintf(full, sizeof full, "%s", arch->family->name);
    for (int32_t i = 0; i < arch->n_numbers; i++)
        length += (size_t)snprintf(full + length, sizeof full - length, "-%d", arch->numbers[i]);
    length += (size_t)snprintf(full + length, sizeof full - length, ":act=%s", arch->act_name);
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
