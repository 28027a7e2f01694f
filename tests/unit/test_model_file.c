/*
 * Models as files: what a round trip keeps, also under a locale with decimal commas; partial loads;
 * and files that are truncated, foreign, or lie about the network they hold: each has its status
 * and sentence, and costs no more memory than the file is long.
 */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/safetensors.h"
#include "support.h"

enum { FEATURES = 4, CLASSES = 3 };
static const char arch[] = "mlp-5:act=elu";

static char dir[200], path[256], second_path[256];

static void set_up(void)
{
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    snprintf(second_path, sizeof second_path, "%s/second.safetensors", dir);
}

static void tear_down(void)
{
    support_remove_dir(dir);
}

// ---- round trip ---------------------------------------------------------------------------------

static const char *const texts[] = {
    "plain", "", "quote \" and \\ and \n and \x01", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82", "[1]",
};

// A model with everything a file carries; `range` picks one of its two input maps.
static jem_model *rich_model(bool range)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = arch;
    config.channels = FEATURES;
    config.classes = CLASSES;
    config.input_low = -0.12345678f;
    config.input_high = 1.1e-3f;
    jem_model *model;
    MUST(jem_model_create(&model, &config, NULL));
    for (int i = 0; i < COUNT(texts); i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        MUST(jem_model_set_metadata(model, key, texts[i]));
    }
    MUST(jem_model_set_class_name(model, 0, texts[2]));
    MUST(jem_model_set_class_name(model, 2, texts[3]));
    const float mean[] = {0.1f, -2.5f, 1e-7f, 123456.7f}, std[] = {0.3f, 1e-5f, 7.0f, 1e5f};
    if (!range)
        MUST(jem_model_set_standardization(model, FEATURES, mean, std));
    return model;
}

static void check_same_texts(const jem_model *a, const jem_model *b)
{
    char left[64], right[64], key[16];
    for (int i = 0; i < COUNT(texts); i++) {
        snprintf(key, sizeof key, "key %d", i);
        MUST(jem_model_get_metadata(a, key, left, sizeof left, NULL));
        MUST(jem_model_get_metadata(b, key, right, sizeof right, NULL));
        ck_assert_str_eq(left, texts[i]);
        ck_assert_str_eq(right, texts[i]);
    }
    for (int32_t k = 0; k < CLASSES; k++) {
        MUST(jem_model_get_class_name(a, k, left, sizeof left, NULL));
        MUST(jem_model_get_class_name(b, k, right, sizeof right, NULL));
        ck_assert_str_eq(left, right);
    }
    ck_assert_int_eq(jem_model_get_metadata(b, "jem.arch", right, sizeof right, NULL),
                     JEM_ENOTFOUND);
}

static void check_same_models(const jem_model *a, const jem_model *b)
{
    ck_assert_str_eq(jem_model_arch(a), jem_model_arch(b));
    check_same_texts(a, b);
    float *x = support_uniform(7 * FEATURES, 2), left[7 * CLASSES], right[7 * CLASSES];
    MUST(jem_logits(a, 7, x, left));
    MUST(jem_logits(b, 7, x, right));
    support_same_bits(left, right, sizeof left, "logits");
    free(x);
    const uint8_t image[FEATURES] = {0, 1, 128, 255};
    MUST(jem_input_from_u8(a, 1, image, JEM_LAYOUT_NCHW, left));
    MUST(jem_input_from_u8(b, 1, image, JEM_LAYOUT_NCHW, right));
    support_same_bits(left, right, sizeof(float) * FEATURES, "input map");
}

static void check_round_trip(const jem_model *model)
{
    MUST(jem_model_save(model, path));
    jem_model *loaded, *parsed;
    MUST(jem_model_load(&loaded, path, NULL));
    check_same_models(model, loaded);
    size_t size, size_again;
    unsigned char *bytes = support_read_file(path, &size);
    MUST(jem_model_load_buffer(&parsed, bytes, size, NULL));
    check_same_models(model, parsed);
    MUST(jem_model_save(parsed, second_path));
    void *again = support_read_file(second_path, &size_again);
    ck_assert_uint_eq(size_again, size);
    support_same_bits(again, bytes, size, "a file saved, loaded and saved");
    free(again);
    free(bytes);
    jem_model_destroy(loaded);
    jem_model_destroy(parsed);
}

START_TEST(test_round_trip)
{
    jem_model *model = rich_model(_i == 0);
    check_round_trip(model);
    check_round_trip(model); // over the file that is there
    jem_model_destroy(model);
}
END_TEST

// A German locale in a directory of its own: the machine need not have one installed.
static bool enter_comma_locale(void)
{
    char command[512], number[8];
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", dir);
    const bool made = system(command) <= 1 << 8; // 1: warnings
    setenv("LOCPATH", dir, 1);
    const bool entered = made && setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    snprintf(number, sizeof number, "%.1f", 0.5);
    return entered && strcmp(number, "0,5") == 0;
}

static void leave_comma_locale(void)
{
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s/de_DE.UTF-8'", dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(test_comma_locale)
{
    jem_model *model = rich_model(_i == 0);
    char plain_path[256];
    snprintf(plain_path, sizeof plain_path, "%s/plain", dir);
    MUST(jem_model_save(model, plain_path));
    if (!enter_comma_locale()) {
        printf("SKIPPED: test_comma_locale: localedef cannot make de_DE.UTF-8 here\n");
        leave_comma_locale();
        jem_model_destroy(model);
        return;
    }
    check_round_trip(model);
    jem_model *loaded;
    MUST(jem_model_load(&loaded, plain_path, NULL));
    check_same_models(model, loaded);
    size_t size, plain_size;
    void *bytes = support_read_file(path, &size),
         *plain = support_read_file(plain_path, &plain_size);
    ck_assert_uint_eq(size, plain_size);
    support_same_bits(bytes, plain, size, "files saved under two locales");
    const float halves[] = {0.5f, -0.5f, 0.5f, 0.5f};
    REFUSED(JEM_EINVAL, "-0.5", jem_model_set_standardization(model, FEATURES, halves, halves));
    ck_assert_str_eq(setlocale(LC_NUMERIC, NULL), "de_DE.UTF-8");
    leave_comma_locale();
    free(bytes);
    free(plain);
    jem_model_destroy(loaded);
    jem_model_destroy(model);
}
END_TEST

// ---- partial loads ------------------------------------------------------------------------------

START_TEST(test_load_matching)
{
    jem_model *old = support_model("mlp-5-6", FEATURES, CLASSES, NULL);
    jem_model *new = support_model("mlp-5-6", FEATURES, CLASSES + 2, NULL);
    float *body = support_uniform(support_param_count(old), 77);
    MUST(jem_model_set_params(old, support_param_count(old), body));
    MUST(jem_model_save(old, path));
    float *before = support_params(new);
    int32_t matched = -1;
    MUST(jem_model_load_matching(new, path, &matched));
    ck_assert_int_eq(matched, 4);
    float *after = support_params(new);
    const size_t shared = 4 * 5 + 5 + 5 * 6 + 6, all = (size_t)support_param_count(new);
    support_same_bits(after, body, shared * sizeof *body, "the old body");
    support_same_bits(after + shared, before + shared, (all - shared) * sizeof *body,
                      "the new head");
    MUST(jem_model_load_matching(new, path, NULL));
    jem_model *stranger = support_model("cnn-3", 1, 2, NULL);
    matched = -1;
    REFUSED(JEM_EMISMATCH, "no tensor", jem_model_load_matching(stranger, path, &matched));
    ck_assert_int_eq(matched, -1);
    free(after);
    free(before);
    free(body);
    jem_model_destroy(stranger);
    jem_model_destroy(old);
    jem_model_destroy(new);
}
END_TEST

// ---- bad files ----------------------------------------------------------------------------------

START_TEST(test_truncations)
{
    jem_model *model = rich_model(false);
    MUST(jem_model_save(model, path));
    size_t size;
    unsigned char *bytes = support_read_file(path, &size);
    float *before = support_params(model);
    for (size_t length = 0; length < size; length++) {
        unsigned char *cut = malloc(length + 1); // of its length, so that a sanitizer watches it
        memcpy(cut, bytes, length);
        jem_model *loaded = model;
        REFUSED(JEM_EFORMAT, "", jem_model_load_buffer(&loaded, cut, length, NULL));
        ck_assert_ptr_null(loaded);
        free(cut);
        if (length % 97 != 0)
            continue;
        support_write_file(second_path, bytes, length);
        REFUSED(JEM_EFORMAT, "", jem_model_load(&loaded, second_path, NULL));
        REFUSED(JEM_EFORMAT, "", jem_model_load_matching(model, second_path, NULL));
    }
    float *after = support_params(model);
    support_same_bits(after, before, (size_t)support_param_count(model) * sizeof *after,
                      "parameters after refused loads");
    free(after);
    free(before);
    free(bytes);
    jem_model_destroy(model);
}
END_TEST

// The file of an mlp-2 for one channel and one class, as a list that a test may change.
typedef struct parts {
    jemi_string_pair pairs[12];
    size_t n_pairs;
    jemi_safetensor tensors[5];
    size_t n_tensors;
} parts;

static float values[2] = {0.5f, -0.5f};

static parts sound_parts(void)
{
    const parts sound = {
        .pairs = {{"jem.format", "1"},
                  {"jem.arch", "mlp-2"},
                  {"jem.channels", "1"},
                  {"jem.height", "1"},
                  {"jem.width", "1"},
                  {"jem.classes", "1"},
                  {"jem.input_low", "-1"},
                  {"jem.input_high", "1"}},
        .n_pairs = 8,
        .n_tensors = 4,
    };
    parts p = sound;
    jem_model *model = support_model("mlp-2", 1, 1, NULL);
    static char names[4][64];
    for (int32_t i = 0; i < 4; i++) {
        jem_tensor_info info = {.struct_size = sizeof info};
        MUST(jem_model_tensor(model, i, &info));
        memcpy(names[i], info.name, sizeof names[i]);
        p.tensors[i] = (jemi_safetensor){.name = names[i], .rank = info.rank, .data = values};
        memcpy(p.tensors[i].shape, info.shape, sizeof info.shape);
    }
    jem_model_destroy(model);
    return p;
}

static void set_pair(parts *p, const char *key, const char *value)
{
    size_t i = 0;
    while (i < p->n_pairs && strcmp(p->pairs[i].key, key) != 0)
        i++;
    if (value != NULL)
        p->pairs[i] = (jemi_string_pair){key, value};
    else
        p->pairs[i] = p->pairs[p->n_pairs - 1];
    p->n_pairs += i == p->n_pairs;
    p->n_pairs -= value == NULL;
}

typedef struct text_row {
    const char *key, *value; /* NULL: left out */
    jem_status status;
    const char *word;
} text_row;

static const text_row bad_texts[] = {
    {"jem.format", NULL, JEM_EFORMAT, "jem.format"},
    {"jem.format", "3", JEM_EUNSUPPORTED, "format '3'"},
    {"jem.arch", NULL, JEM_EFORMAT, "jem.arch"},
    {"jem.arch", "", JEM_EFORMAT, "mlp"},
    {"jem.arch", "transformer-96", JEM_EFORMAT, "transformer-96"},
    {"jem.arch", "mlp-3", JEM_EMISMATCH, "mlp-3"},
    {"jem.arch", "mlp-2-2", JEM_EMISMATCH, "no tensor"},
    {"jem.channels", NULL, JEM_EFORMAT, "jem.channels"},
    {"jem.channels", "0", JEM_EFORMAT, "expected 1..4096"},
    {"jem.channels", "-1", JEM_EFORMAT, "'-1'"},
    {"jem.channels", "4097", JEM_EFORMAT, "4097"},
    {"jem.channels", "1x", JEM_EFORMAT, "1x"},
    {"jem.channels", "", JEM_EFORMAT, "jem.channels"},
    {"jem.channels", "99999999999999999999", JEM_EFORMAT, "jem.channels"},
    {"jem.height", "1025", JEM_EFORMAT, "1..1024"},
    {"jem.width", "2", JEM_EMISMATCH, "shape"},
    {"jem.classes", "100001", JEM_EFORMAT, "1..100000"},
    {"jem.classes", "2", JEM_EMISMATCH, "shape"},
    {"jem.input_low", "nan", JEM_EFORMAT, "jem.input_low"},
    {"jem.input_low", "0,5", JEM_EFORMAT, "0,5"},
    {"jem.input_low", "1", JEM_EFORMAT, "low < high"},
    {"jem.input_high", "inf", JEM_EFORMAT, "jem.input_high"},
    {"jem.input_high", NULL, JEM_EFORMAT, "jem.input_high"},
    {"jem.temperature", "0", JEM_EFORMAT, "expected 0.01..100"},
    {"jem.temperature", "1e3", JEM_EFORMAT, "expected 0.01..100"},
    {"jem.temperature", "nan", JEM_EFORMAT, "jem.temperature"},
    {"jem.temperature", "warm", JEM_EFORMAT, "'warm'"},
    {"jem.class_names", "[]", JEM_EFORMAT, "class_names"},
    {"jem.class_names", "{\"0\": \"a\"}", JEM_EFORMAT, "class_names"},
    {"jem.class_names", "[\"a\", \"b\"]", JEM_EFORMAT, "class_names"},
    {"jem.class_names", "[7]", JEM_EFORMAT, "a string"},
    {"jem.class_names", "[\"a\"", JEM_EFORMAT, "class_names"},
    {"jem.mean", "[0.5]", JEM_EFORMAT, "jem.std"},
    {"jem.class_names", "[\"a\"] ]", JEM_EFORMAT, "class_names"},
    {"jem.class_names", "", JEM_EFORMAT, "class_names"},
};

typedef struct list_row {
    const char *mean, *std; /* of one channel */
    jem_status status;
} list_row;

static const list_row lists[] = {
    {"[0.5]", "[2]", JEM_OK},
    {"[-1e3]", "[1e-30]", JEM_OK},
    {"[0.5]", "[0]", JEM_EFORMAT},
    {"[0.5]", "[-1]", JEM_EFORMAT},
    {"[nan]", "[1]", JEM_EFORMAT},
    {"[0.5]", "[inf]", JEM_EFORMAT},
    {"[1e99]", "[1]", JEM_EFORMAT},
    {"[]", "[1]", JEM_EFORMAT},
    {"[0.5,]", "[1]", JEM_EFORMAT},
    {"[0.5,0.5]", "[1]", JEM_EFORMAT},
    {"[0.5]]", "[1]", JEM_EFORMAT},
    {"[0.5", "[1]", JEM_EFORMAT},
    {"0.5", "[1]", JEM_EFORMAT},
    {"", "[1]", JEM_EFORMAT},
    {"[\"x\"]", "[1]", JEM_EFORMAT},
    {"[0.00000000000000000000000000000000000000000000000000000000001]", "[1]", JEM_EFORMAT},
};

static void expect_parts(const parts *p, jem_status status, const char *word, const char *name)
{
    MUST(jemi_safetensors_write(path, p->tensors, p->n_tensors, p->pairs, p->n_pairs));
    jem_model *model = (jem_model *)&dir;
    support_stale_message();
    const jem_status got = jem_model_load(&model, path, NULL);
    if (status == JEM_OK)
        support_must(got, name, __FILE__, __LINE__);
    else
        support_refused(got, status, word, name, __FILE__, __LINE__);
    ck_assert_msg((model == NULL) == (status != JEM_OK), "%s: *out", name);
    jem_model_destroy(model);
}

START_TEST(test_bad_metadata)
{
    const parts sound = sound_parts();
    expect_parts(&sound, JEM_OK, NULL, "a sound file");
    for (int i = 0; i < COUNT(bad_texts); i++) {
        const text_row *row = &bad_texts[i];
        parts p = sound;
        set_pair(&p, row->key, row->value);
        expect_parts(&p, row->status, row->word, row->key);
    }
    for (int i = 0; i < COUNT(lists); i++) {
        parts p = sound;
        set_pair(&p, "jem.mean", lists[i].mean);
        set_pair(&p, "jem.std", lists[i].std);
        expect_parts(&p, lists[i].status, "array of 1", lists[i].mean);
    }
    parts later = sound;
    set_pair(&later, "jem.of_a_later_version", "7");
    expect_parts(&later, JEM_OK, NULL, "a key of a later version");
}
END_TEST

START_TEST(test_bad_tensors)
{
    static float not_finite[2] = {1.0f, NAN};
    static int64_t integers[2];
    const parts sound = sound_parts();
    parts p = sound;
    p.tensors[0].data = not_finite;
    expect_parts(&p, JEM_EFORMAT, "nan", "a NaN parameter");
    p = sound;
    p.tensors[0].dtype = JEMI_I64;
    p.tensors[0].data = integers;
    expect_parts(&p, JEM_EMISMATCH, p.tensors[0].name, "an integer parameter");
    p = sound;
    p.tensors[0].dtype = JEMI_BF16;
    expect_parts(&p, JEM_OK, NULL, "a bfloat16 parameter");
    p = sound;
    p.n_tensors = 3;
    expect_parts(&p, JEM_EMISMATCH, p.tensors[3].name, "a missing tensor");
    p = sound;
    p.tensors[4] = (jemi_safetensor){.name = "extra", .rank = 1, .shape = {2}, .data = values};
    p.n_tensors = 5;
    expect_parts(&p, JEM_EMISMATCH, "5 tensors", "a tensor too many");
    p = sound;
    p.tensors[1].rank = 2; // (2) as (2, 1)
    p.tensors[1].shape[1] = 1;
    expect_parts(&p, JEM_EMISMATCH, "shape", "another rank");
}
END_TEST

// ---- files that ask for too much ----------------------------------------------------------------

static size_t bytes_asked;

static void *sum_allocate(void *user, size_t alignment, size_t size)
{
    (void)user;
    bytes_asked += size;
    return aligned_alloc(alignment, size);
}

static void sum_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static const struct {
    const char *arch, *channels, *side, *classes;
} giants[] = {
    {"mlp-16384-16384-16384-16384", "4096", "1", "10"},
    {"mlp-16384", "4096", "16", "1"},
    {"wrn-1000-64", "3", "64", "10"},
    {"cnn-16384-16384", "4096", "64", "10"},
    {"mlp-2", "1", "1", "100000"},
    {"mlp-2", "4096", "1024", "10"},
};

START_TEST(test_giants_are_refused_first)
{
    MUST(jem_set_allocator(&(jem_allocator){sum_allocate, sum_release, NULL}));
    for (int i = 0; i < COUNT(giants); i++) {
        parts p = sound_parts();
        set_pair(&p, "jem.arch", giants[i].arch);
        set_pair(&p, "jem.channels", giants[i].channels);
        set_pair(&p, "jem.height", giants[i].side);
        set_pair(&p, "jem.width", giants[i].side);
        set_pair(&p, "jem.classes", giants[i].classes);
        MUST(jemi_safetensors_write(path, p.tensors, p.n_tensors, p.pairs, p.n_pairs));
        bytes_asked = 0;
        jem_model *model;
        const jem_status status = jem_model_load(&model, path, NULL);
        ck_assert_msg(status == JEM_EMISMATCH || status == JEM_EUNSUPPORTED, "%s: %s",
                      giants[i].arch, jem_status_string(status));
        ck_assert_ptr_null(model);
        // Class names may take 8 bytes per class, 800 kB; a network's list some hundred kB.
        ck_assert_msg(bytes_asked < 4 << 20, "%s: %zu bytes", giants[i].arch, bytes_asked);
    }
    MUST(jem_set_allocator(NULL));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_round_trip, 0, 2);
    tcase_add_loop_test(tcase, test_comma_locale, 0, 2);
    tcase_add_test(tcase, test_load_matching);
    tcase_add_test(tcase, test_truncations);
    tcase_add_test(tcase, test_bad_metadata);
    tcase_add_test(tcase, test_bad_tensors);
    tcase_add_test(tcase, test_giants_are_refused_first);
}

int main(void)
{
    return support_main("model files", add_tests);
}
