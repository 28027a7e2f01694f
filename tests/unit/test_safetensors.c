/*
 * lib/io/safetensors: what is written is read back, whole and in order; any damage to a written
 * file is noticed. What malicious files do is in test_safetensors_attacks.c, what they cost in
 * test_safetensors_cost.c.
 *
 * With arguments it serves test_safetensors_interop.py: --write FILE, --dump FILE.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "io/digest.h"
#include "io/safetensors.h"
#include "support.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static char folder[] = "/tmp/jem-safetensors-XXXXXX";
static char path[64]; /* a file in it */

/* ---- a sample ------------------------------------------------------------------------------- */

static const float weights[6] = {0.0f, -0.0f, 1.5f, FLT_MIN / 4, -FLT_MAX, INFINITY};
static const int64_t counters[2] = {INT64_MIN, INT64_MAX};
static const uint16_t halves[3] = {0x3C00, 0xC000, 0x0001}; /* 1, -2, the smallest */
static const float scalar = 0.1f;

static const jemi_safetensor sample[] = {
    {.name = "z.weight", .rank = 2, .shape = {3, 2}, .data = weights},
    {.name = "half", .dtype = JEMI_F16, .rank = 1, .shape = {3}, .data = halves},
    {.name = "empty", .rank = 3, .shape = {2, 0, 2}, .data = NULL},
    {.name = "a \"quoted\" \\name\x01 \xE2\x82\xAC", .rank = 0, .data = &scalar},
    {.name = "counters", .dtype = JEMI_I64, .rank = 1, .shape = {2}, .data = counters},
};

static const jemi_string_pair sample_metadata[] = {
    {"jem.arch", "wrn-10-2:act=silu"},
    {"empty", ""},
    {"a \"key\"\n", "tab\t, line\n, quote\", \\, DEL\x7f, Gr\xC3\xBC\xC3\x9F"},
    {"", "the empty key"},
};

static void write_sample(void)
{
    const jem_status status = jemi_safetensors_write(path, sample, COUNT(sample), sample_metadata,
                                                     COUNT(sample_metadata));
    ck_assert_msg(status == JEM_OK, "%s", jemi_last_message());
}

static const size_t element_size[] = {[JEMI_F32] = 4, [JEMI_F16] = 2, [JEMI_I64] = 8};

START_TEST(round_trip)
{
    write_sample();
    jemi_safetensors file;
    ck_assert_int_eq(jemi_safetensors_read(path, &file), JEM_OK);
    ck_assert(file.has_digest);
    ck_assert_uint_eq(file.n_tensors, COUNT(sample));
    for (int i = 0; i < COUNT(sample); i++) {
        const jemi_safetensor *tensor = &file.tensors[i];
        ck_assert_str_eq(tensor->name, sample[i].name);
        ck_assert_int_eq(tensor->dtype, sample[i].dtype);
        ck_assert_int_eq(tensor->rank, sample[i].rank);
        ck_assert_mem_eq(tensor->shape, sample[i].shape, sizeof sample[i].shape);
        int64_t count = 1;
        for (int d = 0; d < sample[i].rank; d++)
            count *= sample[i].shape[d];
        ck_assert_int_eq(tensor->count, count);
        if (count > 0)
            ck_assert_mem_eq(tensor->data, sample[i].data,
                             (size_t)count * element_size[sample[i].dtype]);
        ck_assert_ptr_eq(jemi_safetensors_find(&file, sample[i].name), tensor);
    }
    ck_assert_uint_eq(file.n_metadata, COUNT(sample_metadata));
    for (int i = 0; i < COUNT(sample_metadata); i++) {
        ck_assert_str_eq(file.metadata[i].key, sample_metadata[i].key);
        ck_assert_str_eq(file.metadata[i].value, sample_metadata[i].value);
        ck_assert_ptr_eq(jemi_safetensors_metadata(&file, sample_metadata[i].key),
                         file.metadata[i].value);
    }
    ck_assert_ptr_null(jemi_safetensors_find(&file, "zz"));
    ck_assert_ptr_null(jemi_safetensors_find(&file, ""));
    ck_assert_ptr_null(jemi_safetensors_metadata(&file, "jem.digest"));
    ck_assert_ptr_null(jemi_safetensors_metadata(&file, "jem.digest.kind"));
    ck_assert_uint_eq((uintptr_t)file.tensors[0].data % 64, 0);
    jemi_safetensors_fini(&file);
    jemi_safetensors_fini(&file);
}
END_TEST

START_TEST(writes_nothing_too)
{
    ck_assert_int_eq(jemi_safetensors_write(path, NULL, 0, NULL, 0), JEM_OK);
    jemi_safetensors file;
    ck_assert_int_eq(jemi_safetensors_read(path, &file), JEM_OK);
    ck_assert(file.has_digest && file.n_tensors == 0 && file.n_metadata == 0);
    ck_assert_ptr_null(jemi_safetensors_find(&file, "x"));
    jemi_safetensors_fini(&file);
    ck_assert_int_eq(jemi_safetensors_read("/tmp/no/such", &file), JEM_EIO);
    ck_assert_int_eq(jemi_safetensors_read("/dev/null", &file), JEM_EIO);
}
END_TEST

/* ---- values --------------------------------------------------------------------------------- */

START_TEST(widens_every_half)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        unsigned char unaligned[3] = {0, (unsigned char)bits, (unsigned char)(bits >> 8)};
        jemi_safetensor tensor = {.name = "h", .dtype = JEMI_F16, .count = 1};
        tensor.data = unaligned + 1;
        float value;
        ck_assert_int_eq(jemi_safetensors_to_float(&tensor, &value), JEM_OK);
        const int exponent = (int)(bits >> 10 & 31);
        const double fraction = (double)(bits & 1023) / 1024;
        const double sign = bits & 0x8000 ? -1 : 1;
        if (exponent == 31)
            ck_assert(fraction > 0 ? isnan(value) : value == (float)(sign * INFINITY));
        else
            ck_assert(value ==
                      (float)(sign * (exponent == 0 ? ldexp(fraction, -14)
                                                    : ldexp(1 + fraction, exponent - 15))));
        ck_assert_int_eq(signbit(value) != 0, sign < 0);

        tensor.dtype = JEMI_BF16; // the upper half of a float
        ck_assert_int_eq(jemi_safetensors_to_float(&tensor, &value), JEM_OK);
        uint32_t wide;
        memcpy(&wide, &value, sizeof wide);
        ck_assert_uint_eq(wide, bits << 16);
    }
}
END_TEST

START_TEST(unaligned_values)
{
    unsigned char bytes[1 + sizeof weights];
    memcpy(bytes + 1, weights, sizeof weights);
    jemi_safetensor tensor = {.name = "t", .dtype = JEMI_F32, .count = 6, .data = bytes + 1};
    float values[6];
    int64_t integers[2];
    ck_assert_int_eq(jemi_safetensors_to_float(&tensor, values), JEM_OK);
    ck_assert_mem_eq(values, weights, sizeof weights);
    ck_assert_int_eq(jemi_safetensors_to_int64(&tensor, integers), JEM_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "'t' holds F32; expected I64"));

    memcpy(bytes + 1, counters, sizeof counters);
    tensor.dtype = JEMI_I64;
    tensor.count = 2;
    ck_assert_int_eq(jemi_safetensors_to_int64(&tensor, integers), JEM_OK);
    ck_assert_mem_eq(integers, counters, sizeof counters);
    ck_assert_int_eq(jemi_safetensors_to_float(&tensor, values), JEM_EMISMATCH);

    tensor = (jemi_safetensor){.name = "none", .dtype = JEMI_I64};
    ck_assert_int_eq(jemi_safetensors_to_int64(&tensor, NULL), JEM_OK);
    tensor.dtype = JEMI_F32;
    ck_assert_int_eq(jemi_safetensors_to_float(&tensor, NULL), JEM_OK);
}
END_TEST

START_TEST(digest_is_crc64_xz)
{
    // Check value of the CRC catalogue (Greg Cook), and that pieces add up to the whole.
    ck_assert_uint_eq(jemi_digest(0, "123456789", 9), UINT64_C(0x995dc9bbdf1939fa));
    ck_assert_uint_eq(jemi_digest(0, NULL, 0), 0);
    unsigned char bytes[67];
    for (int i = 0; i < COUNT(bytes); i++)
        bytes[i] = (unsigned char)(37 * i + 5);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        ck_assert_uint_eq(jemi_digest(jemi_digest(0, bytes, cut), bytes + cut, sizeof bytes - cut),
                          jemi_digest(0, bytes, sizeof bytes));
}
END_TEST

START_TEST(utf8)
{
    ck_assert(jemi_utf8_valid("") && jemi_utf8_valid("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"));
    ck_assert(!jemi_utf8_valid("\xE4") && !jemi_utf8_valid("ab\xE2\x82"));
    ck_assert(!jemi_utf8_valid("\xF0\x9F\x98(") && !jemi_utf8_valid("\xF5\x80\x80\x80"));
}
END_TEST

/* ---- damage --------------------------------------------------------------------------------- */

START_TEST(every_flip_and_cut)
{
    write_sample();
    size_t size;
    unsigned char *bytes = support_read_file(path, &size);
    jemi_safetensors file;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        const jem_status status = jemi_safetensors_parse(bytes, size, &file);
        ck_assert_msg(status == JEM_EFORMAT || status == JEM_EUNSUPPORTED, "bit %zu: status %d",
                      bit, status);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut + 1); // its end is watched by sanitizers
        memcpy(copy, bytes, cut);
        ck_assert_msg(jemi_safetensors_parse(copy, cut, &file) == JEM_EFORMAT, "cut %zu", cut);
        free(copy);
    }
    ck_assert_int_eq(jemi_safetensors_parse(bytes, size, &file), JEM_OK);
    jemi_safetensors_fini(&file);
    free(bytes);
}
END_TEST

typedef struct refusal_row {
    const char *name;
    jemi_safetensor tensors[2];
    jemi_string_pair metadata[2];
    const char *word;
} refusal_row;

static const char long_name[257] = {[0 ... 255] = 'x'};

#define NO_DATA(n)                                                                                 \
    {                                                                                              \
        .name = n, .rank = 1, .shape = { 0 }                                                       \
    }
#define KV                                                                                         \
    {                                                                                              \
        {"k", "v"},                                                                                \
        {                                                                                          \
            "l", "v"                                                                               \
        }                                                                                          \
    }

static const refusal_row refusals[] = {
    {"name twice", {NO_DATA("a"), NO_DATA("a")}, KV, "'a' appears twice"},
    {"empty name", {NO_DATA("a"), NO_DATA("")}, KV, "0 bytes"},
    {"long name", {NO_DATA("a"), NO_DATA(long_name)}, KV, "256 bytes"},
    {"name is Latin-1", {NO_DATA("a"), NO_DATA("\xE4")}, KV, "UTF-8"},
    {"reserved name", {NO_DATA("a"), NO_DATA("__metadata__")}, KV, "__metadata__ appears twice"},
    {"size overflows",
     {NO_DATA("a"), {.name = "b", .rank = 2, .shape = {INT64_MAX, INT64_MAX}}},
     KV,
     "overflow"},
    {"key twice", {NO_DATA("a"), NO_DATA("b")}, {{"k", "v"}, {"k", "w"}}, "'k' appears twice"},
    {"value is Latin-1", {NO_DATA("a"), NO_DATA("b")}, {{"k", "v"}, {"l", "\xFC"}}, "UTF-8"},
    {"digest's key",
     {NO_DATA("a"), NO_DATA("b")},
     {{"k", "v"}, {"jem.digest", "0"}},
     "'jem.digest' appears twice"},
};

START_TEST(writer_refuses)
{
    const refusal_row *row = &refusals[_i];
    unlink(path);
    const jem_status status = jemi_safetensors_write(path, row->tensors, 2, row->metadata, 2);
    ck_assert_msg(status == JEM_EINVAL, "%s: %s", row->name, jemi_status_name(status));
    ck_assert_msg(strstr(jemi_last_message(), row->word) != NULL, "%s: '%s'", row->name,
                  jemi_last_message());
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(writer_refuses_large_header)
{
    char *value = malloc(JEMI_SAFETENSORS_HEADER_MAX + 1);
    memset(value, 'v', JEMI_SAFETENSORS_HEADER_MAX);
    value[JEMI_SAFETENSORS_HEADER_MAX] = '\0';
    const jemi_string_pair pair = {"k", value};
    ck_assert_int_eq(jemi_safetensors_write(path, NULL, 0, &pair, 1), JEM_EINVAL);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "at most 16777216"));
    value[JEMI_SAFETENSORS_HEADER_MAX - 200] = '\0';
    ck_assert_int_eq(jemi_safetensors_write(path, NULL, 0, &pair, 1), JEM_OK);
    free(value);
}
END_TEST

/* ---- for other programs --------------------------------------------------------------------- */

static int dump(const char *name)
{
    jemi_safetensors file;
    if (jemi_safetensors_read(name, &file) != JEM_OK) {
        printf("error %s\n", jemi_last_message());
        return EXIT_FAILURE;
    }
    printf("digest %d\n", file.has_digest);
    for (size_t i = 0; i < file.n_metadata; i++)
        printf("metadata %s=%s\n", file.metadata[i].key, file.metadata[i].value);
    for (size_t i = 0; i < file.n_tensors; i++) {
        const jemi_safetensor *tensor = &file.tensors[i];
        printf("tensor %s", tensor->name);
        for (int32_t d = 0; d < tensor->rank; d++)
            printf(" %" PRId64, tensor->shape[d]);
        printf(" :");
        int64_t *values = malloc((size_t)tensor->count * sizeof *values + 1);
        if (jemi_safetensors_to_int64(tensor, values) == JEM_OK)
            for (int64_t k = 0; k < tensor->count; k++)
                printf(" %" PRId64, values[k]);
        else if (jemi_safetensors_to_float(tensor, (float *)values) == JEM_OK)
            for (int64_t k = 0; k < tensor->count; k++)
                printf(" %a", (double)((float *)values)[k]);
        printf("\n");
        free(values);
    }
    jemi_safetensors_fini(&file);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return jemi_safetensors_write(argv[2], sample, COUNT(sample), sample_metadata,
                                      COUNT(sample_metadata)) == JEM_OK
                   ? EXIT_SUCCESS
                   : EXIT_FAILURE;
    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/sample.safetensors", folder);
    Suite *suite = suite_create("safetensors");
    TCase *tests = tcase_create("files");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, writes_nothing_too);
    tcase_add_test(tests, widens_every_half);
    tcase_add_test(tests, unaligned_values);
    tcase_add_test(tests, digest_is_crc64_xz);
    tcase_add_test(tests, utf8);
    tcase_add_test(tests, every_flip_and_cut);
    tcase_add_loop_test(tests, writer_refuses, 0, COUNT(refusals));
    tcase_add_test(tests, writer_refuses_large_header);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(path);
    rmdir(folder);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
