/*
 * The small rules that hold for all functions of the public API: n = 0 does nothing, not even to
 * the random streams; NULL can be destroyed; a call that succeeds sets no message; messages belong
 * to threads; the log goes to its receiver and nowhere else.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "support.h"

enum { ROWS = 4, FEATURES = 3, CLASSES = 3 };

static jem_model *model;
static jem_sampler *sampler;
static jem_optimizer *optimizer;
static float *x;

static void set_up(void)
{
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    const jem_sampler_config config = support_sampler_config(ROWS, 2);
    sampler = support_sampler(model, &config);
    optimizer = support_optimizer(model, 0.01f);
    x = support_uniform(ROWS * FEATURES, 1);
}

static void tear_down(void)
{
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    free(x);
}

// Everything that takes n, with no rows and no arrays.
static void call_all_with_no_rows(void)
{
    for (int32_t kind = JEM_SCORE_ENERGY; kind <= JEM_SCORE_GRADIENT_NORM; kind++)
        MUST(jem_score(model, kind, NULL, 0, NULL, NULL));
    MUST(jem_logits(model, 0, NULL, NULL));
    MUST(jem_energy(model, 0, NULL, NULL, NULL));
    MUST(jem_energy_grad(model, 0, NULL, NULL, NULL, NULL));
    MUST(jem_model_prepare(model, JEM_PREPARE_LOGITS, 0));
    MUST(jem_input_from_u8(model, 0, NULL, JEM_LAYOUT_NCHW, NULL));
    MUST(jem_input_to_u8(model, 0, NULL, JEM_LAYOUT_NHWC, NULL));
    MUST(jem_input_from_float(model, 0, NULL, NULL));
    MUST(jem_input_to_float(model, 0, NULL, NULL));
    MUST(jem_sampler_start(sampler, 0, NULL, NULL));
    MUST(jem_sgld_step(model, sampler, 0, NULL, NULL));
    MUST(jem_sampler_run(model, sampler, 0, NULL, NULL, 5, NULL, NULL));
    MUST(jem_sampler_draw(model, sampler, 0, NULL, NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, 0, NULL, NULL, NULL));
    MUST(jem_sampler_set_chains(sampler, 0, 0, NULL));
}

static uint64_t sampler_continuation(jem_sampler *s)
{
    float out[3 * ROWS * FEATURES];
    memcpy(out, x, ROWS * FEATURES * sizeof *x);
    MUST(jem_sgld_step(model, s, ROWS, NULL, out));
    MUST(jem_sampler_start(s, ROWS, NULL, out + ROWS * FEATURES));
    MUST(jem_sampler_draw(model, s, ROWS, out + 2 * ROWS * FEATURES, NULL, NULL, NULL));
    return support_hash(out, sizeof out);
}

START_TEST(test_no_rows)
{
    const jem_sampler_config config = support_sampler_config(ROWS, 2);
    jem_sampler *twin = support_sampler(model, &config);
    const uint64_t expected = sampler_continuation(twin);
    call_all_with_no_rows();
    ck_assert_msg(sampler_continuation(sampler) == expected, "n = 0 moved the random streams");
    jem_sampler_destroy(twin);
}
END_TEST

START_TEST(test_destroy_null)
{
    jem_model_destroy(NULL);
    jem_sampler_destroy(NULL);
    jem_optimizer_destroy(NULL);
}
END_TEST

static void *fresh_thread(void *unused)
{
    (void)unused;
    static char message[64];
    strncpy(message, jem_last_error(), sizeof message - 1);
    float out[ROWS * FEATURES];
    if (jem_logits(model, ROWS, x, out) != JEM_OK || jem_version_number() != 100 ||
        strcmp(jem_version_string(), "0.1.0") != 0 || jem_build_info()[0] != '{')
        return "a call failed";
    strncat(message, jem_last_error(), sizeof message - 1 - strlen(message));
    return message;
}

START_TEST(test_success_sets_no_message)
{
    support_stale_message(); // messages belong to threads
    pthread_t thread;
    void *message;
    ck_assert_int_eq(pthread_create(&thread, NULL, fresh_thread, NULL), 0);
    pthread_join(thread, &message);
    ck_assert_str_eq(message, "");
    float out[ROWS * FEATURES];
    REFUSED(JEM_EINVAL, "model", jem_logits(NULL, 1, x, out));
    const uint64_t before = support_hash(jem_last_error(), strlen(jem_last_error()));
    MUST(jem_logits(model, ROWS, x, out));
    ck_assert_uint_eq(support_hash(jem_last_error(), strlen(jem_last_error())), before);
}
END_TEST

// What the own kernels use here is what those of this process say of themselves.
START_TEST(test_build_info)
{
    char kernels[96];
    const char *info = jem_build_info();
    snprintf(kernels, sizeof kernels,
             "\"kernels\": {\"isa\": \"%s\", \"avx512\": %s, \"bf16\": %s}", jemi_isa_in_use(),
             jemi_avx512_available() ? "true" : "false", jemi_bf16_available() ? "true" : "false");
    ck_assert_msg(strstr(info, kernels) != NULL, "%s lacks %s", info, kernels);
    ck_assert_msg(info[strlen(info) - 1] == '}', "cut off: %s", info);
    ck_assert_ptr_eq(jem_build_info(), info);
}
END_TEST

typedef struct log_lines {
    int count;
    int longest;
    pthread_t thread;
} log_lines;

static void count_line(void *user, int32_t level, const char *line)
{
    log_lines *lines = user;
    lines->count++;
    lines->thread = pthread_self();
    const int length = (int)strlen(line);
    lines->longest = length > lines->longest ? length : lines->longest;
    ck_assert_int_ge(level, JEM_LOG_DEBUG);
    ck_assert_int_le(level, JEM_LOG_WARNING);
    ck_assert_ptr_null(strchr(line, '\n'));
}

static jem_status copy_metadata(char *buffer, size_t size, size_t *length)
{
    return jem_model_get_metadata(model, "author", buffer, size, length);
}

static jem_status copy_key(char *buffer, size_t size, size_t *length)
{
    return jem_model_metadata_key(model, NULL, buffer, size, length);
}

static jem_status copy_class_name(char *buffer, size_t size, size_t *length)
{
    return jem_model_get_class_name(model, 1, buffer, size, length);
}

static jem_status copy_note(char *buffer, size_t size, size_t *length)
{
    return jem_optimizer_get_note(optimizer, buffer, size, length);
}

typedef jem_status (*copy_text)(char *buffer, size_t size, size_t *length);
static const copy_text copies[] = {copy_metadata, copy_key, copy_class_name, copy_note};

// The block is as large as the call is told, so that a sanitizer sees a byte beyond it; in the second
// one a mark sees it in every build.
static void check_room(copy_text copy, size_t size, const char *text)
{
    size_t length = 0;
    char *exact = malloc(size), marked[32];
    memset(marked, 0x5a, sizeof marked);
    const bool fits = size > strlen(text);
    ck_assert_int_eq(copy(exact, size, &length), fits ? JEM_OK : JEM_EINVAL);
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_int_eq(copy(marked, size, &length), fits ? JEM_OK : JEM_EINVAL);
    if (fits)
        ck_assert_str_eq(exact, text);
    ck_assert_msg(marked[size] == 0x5a, "a byte beyond %zu of '%s'", size, text);
    free(exact);
}

START_TEST(test_texts_stay_inside_of_their_buffers)
{
    const char *texts[] = {"somebody", "author", "a class", "a note"};
    MUST(jem_model_set_metadata(model, "author", texts[0]));
    MUST(jem_model_set_class_name(model, 1, texts[2]));
    MUST(jem_optimizer_set_note(optimizer, texts[3]));
    for (size_t size = 1; size <= strlen(texts[_i]) + 2; size++)
        check_room(copies[_i], size, texts[_i]);
}
END_TEST

START_TEST(test_log)
{
    log_lines lines = {0};
    float out[ROWS * FEATURES];
    MUST(jem_set_log(count_line, &lines));
    MUST(jem_logits(model, ROWS, x, out)); // compiles a plan, which is worth a line
    ck_assert_int_ge(lines.count, 1);
    ck_assert_int_ge(lines.longest, 10);
    ck_assert(pthread_equal(lines.thread, pthread_self()));
    MUST(jem_set_log(NULL, NULL));
    const int before = lines.count;
    MUST(jem_logits(model, 1, x, out));
    ck_assert_int_eq(lines.count, before);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_no_rows);
    tcase_add_test(tcase, test_destroy_null);
    tcase_add_test(tcase, test_success_sets_no_message);
    tcase_add_test(tcase, test_build_info);
    tcase_add_loop_test(tcase, test_texts_stay_inside_of_their_buffers, 0, COUNT(copies));
    tcase_add_test(tcase, test_log);
}

int main(void)
{
    return support_main("API rules", add_tests);
}
