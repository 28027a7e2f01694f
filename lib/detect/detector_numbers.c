/*
 * One table: key, place, and what the number may be.
 */
#include "detect/detector_numbers.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/status.h"
#include "base/text.h"
#include "detect/conformal.h"
#include "detect/largest.h"

typedef enum number_type { U64, I64, I32, F64, F32 } number_type;

#define AT(field) offsetof(jemi_detector_numbers, field)
#define MANY      1e15 // of rows
#define LARGE     3.5e38

static const struct {
    const char *key;
    number_type type;
    size_t offset;
    double low, high; // not of U64
} number_table[] = {
    {"jem.detector.format", U64, AT(format), 0, 0},
    {"jem.detector.network", U64, AT(model.network), 0, 0},
    {"jem.detector.input", U64, AT(model.input), 0, 0},
    {"jem.detector.precision", I32, AT(model.precision), 0, 100},
    {"jem.detector.backend", I32, AT(model.backend), 0, 100},
    {"jem.detector.kinds", U64, AT(config.kinds), 0, 0},
    {"jem.detector.two_sided", U64, AT(config.two_sided), 0, 0},
    {"jem.detector.seed", U64, AT(config.seed), 0, 0},
    {"jem.detector.bank_bytes", I64, AT(config.bank_bytes), 1, 9e18},
    {"jem.detector.asked_fpr", F64, AT(config.fpr), JEMI_RATE_MIN, JEMI_RATE_MAX},
    {"jem.detector.asked_confidence", F64, AT(config.confidence), 0, JEMI_RATE_MAX},
    {"jem.detector.asked_combine", I32, AT(config.combine), JEM_COMBINE_LARGEST, JEM_COMBINE_SUM},
    {"jem.detector.per_class", I32, AT(config.per_class), 0, 1},
    {"jem.detector.asked_rank", I32, AT(config.rank), 1, 1e6},
    {"jem.detector.flag_range", I32, AT(config.flag_range), 0, 1},
    {"jem.detector.temperature", F32, AT(scores.temperature), 1e-30, LARGE},
    {"jem.detector.gen_gamma", F32, AT(scores.gen_gamma), 0, 1},
    {"jem.detector.gen_classes", I32, AT(scores.gen_classes), 1, JEMI_LARGEST_MAX},
    {"jem.detector.neighbours", I32, AT(scores.neighbours), 1, JEMI_LARGEST_MAX},
    {"jem.detector.nci_norm_weight", F32, AT(scores.nci_norm_weight), 0, 1e30},
    {"jem.detector.react_percentile", F32, AT(scores.react_percentile), 0, 100},
    {"jem.detector.scale_percentile", F32, AT(scores.scale_percentile), 0, 100},
    {"jem.detector.odin_epsilon", F32, AT(scores.odin_epsilon), 0, 1e30},
    {"jem.detector.refine_steps", I32, AT(scores.refine_steps), 1, 1000},
    {"jem.detector.refine_step_size", F32, AT(scores.refine_step_size), 0, LARGE},
    {"jem.detector.fpr", F64, AT(fpr), JEMI_RATE_MIN, JEMI_RATE_MAX},
    {"jem.detector.confidence", F64, AT(confidence), 0, JEMI_RATE_MAX},
    {"jem.detector.n_fitted", I64, AT(n_fitted), 0, MANY},
    {"jem.detector.rank", I64, AT(rank), 0, 1e6},
    {"jem.detector.vim_rank", I64, AT(vim_rank), 0, 1e6},
    {"jem.detector.residual_variance", F32, AT(residual_variance), 0, LARGE},
    {"jem.detector.unit_residual_variance", F32, AT(unit_residual_variance), 0, LARGE},
    {"jem.detector.vim_scale", F32, AT(vim_scale), 0, LARGE},
    {"jem.detector.react_clip", F32, AT(react_clip), -LARGE, LARGE},
    {"jem.detector.combine", I32, AT(combine), 0, JEM_COMBINE_SUM},
    {"jem.detector.groups", I32, AT(n_groups), 1, 1e6},
};
_Static_assert(sizeof number_table / sizeof number_table[0] == JEMI_DETECTOR_NUMBERS, "count them");

jemi_string_pair jemi_detector_number_format(const jemi_detector_numbers *numbers, int i,
                                             char text[JEMI_DETECTOR_NUMBER_SIZE])
{
    const void *value = (const char *)numbers + number_table[i].offset;
    switch (number_table[i].type) {
    case U64:
        jemi_format(text, JEMI_DETECTOR_NUMBER_SIZE, "%" PRIu64, *(const uint64_t *)value);
        break;
    case I64:
        jemi_format(text, JEMI_DETECTOR_NUMBER_SIZE, "%" PRId64, *(const int64_t *)value);
        break;
    case I32:
        jemi_format(text, JEMI_DETECTOR_NUMBER_SIZE, "%" PRId32, *(const int32_t *)value);
        break;
    case F64:
        jemi_format(text, JEMI_DETECTOR_NUMBER_SIZE, "%.17g", *(const double *)value);
        break;
    case F32:
        jemi_format(text, JEMI_DETECTOR_NUMBER_SIZE, "%.9g", (double)*(const float *)value);
        break;
    }
    return (jemi_string_pair){number_table[i].key, text};
}

static bool parse_integer(const char *text, int i, void *value)
{
    int64_t number;
    const bool good =
        jemi_parse_int(text, (int64_t)number_table[i].low, (int64_t)number_table[i].high, &number);
    if (good && number_table[i].type == I64)
        *(int64_t *)value = number;
    else if (good)
        *(int32_t *)value = (int32_t)number;
    return good;
}

static bool parse_real(const char *text, int i, void *value)
{
    double number;
    const bool good = jemi_parse_double(text, &number) && number >= number_table[i].low &&
                      number <= number_table[i].high;
    if (good && number_table[i].type == F64)
        *(double *)value = number;
    else if (good)
        *(float *)value = (float)number;
    return good;
}

static jem_status read_number(jemi_detector_numbers *numbers, int i, const jemi_attached *parts)
{
    const char *key = number_table[i].key, *text = jemi_attached_string(parts, key);
    const number_type type = number_table[i].type;
    void *value = (char *)numbers + number_table[i].offset;
    if (text == NULL)
        return jemi_fail(JEM_EFORMAT, "the model's detector has no metadata '%s'", key);
    const bool good = type == U64                  ? jemi_parse_uint64(text, value)
                      : type == I64 || type == I32 ? parse_integer(text, i, value)
                                                   : parse_real(text, i, value);
    if (!good)
        return jemi_fail(JEM_EFORMAT, "the model's detector has '%.40s' as '%s'", text, key);
    return JEM_OK;
}

jem_status jemi_detector_numbers_read(jemi_detector_numbers *numbers, const jemi_attached *parts)
{
    *numbers = (jemi_detector_numbers){0};
    JEMI_TRY(read_number(numbers, 0, parts));
    if (numbers->format != JEMI_DETECTOR_FORMAT)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "the model's detector has format %" PRIu64 "; this version reads %d",
                         numbers->format, (int)JEMI_DETECTOR_FORMAT);
    for (int i = 1; i < JEMI_DETECTOR_NUMBERS; i++)
        JEMI_TRY(read_number(numbers, i, parts));
    return JEM_OK;
}
