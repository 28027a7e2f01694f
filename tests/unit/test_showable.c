/*
 * Text from strangers in messages and lines of the log: what could steer a terminal, begin another
 * line or turn the writing direction is replaced, the rest stays.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "support.h"

typedef struct text_row {
    const char *text, *shown;
} text_row;

static const text_row rows[] = {
    {"", ""},
    {"plain ~ \x21", "plain ~ !"},
    {"\x1b[31mred\x1b[0m", "?[31mred?[0m"},
    {"a\nb\tc\rd\x7f"
     "e\x01",
     "a?b?c?d?e?"},
    {"\xC2\x80\xC2\x9B\xC2\x9F\xC2\xA0|", "???\xC2\xA0|"}, // C1 ends before the hard space
    {"\x9b"
     "31m",
     "?31m"}, // C1 as a raw byte
    {"\xE2\x80\xAA\xE2\x80\xAE\xE2\x81\xA6\xE2\x81\xA9", "????"},
    {"\xE2\x80\x8D\xE2\x80\x8E\xE2\x80\x8F\xE2\x80\x90", "\xE2\x80\x8D??\xE2\x80\x90"},
    {"\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAF", "\xE2\x80\xA7??\xE2\x80\xAF"},
    {"\xE2\x81\xA5\xE2\x81\xAA", "\xE2\x81\xA5\xE2\x81\xAA"}, // beside the isolates
    {"\xD8\x9B\xD8\x9C\xD8\x9D", "\xD8\x9B?\xD8\x9D"},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"\xC3(\xFF\xC0\xAF|\xED\xA0\x80|\xF4\x90\x80\x80", "?(???|???|????"},
    {"cut \xE2\x82", "cut ??"},
};

START_TEST(test_filter)
{
    char text[64];
    strcpy(text, rows[_i].text);
    jemi_utf8_make_showable(text);
    ck_assert_str_eq(text, rows[_i].shown);
}
END_TEST

static char line[256];

static void receive(void *user, int32_t level, const char *text)
{
    (void)user;
    (void)level;
    snprintf(line, sizeof line, "%s", text);
}

START_TEST(test_messages_and_log)
{
    const text_row *row = &rows[_i];
    ck_assert_int_eq(jemi_fail(JEM_EFORMAT, "name '%s'", row->text), JEM_EFORMAT);
    char expected[64];
    snprintf(expected, sizeof expected, "name '%s'", row->shown);
    ck_assert_str_eq(jem_last_error(), expected);
    jemi_fail_in_file(JEM_EFORMAT, row->text);
    ck_assert_ptr_nonnull(strstr(jem_last_error(), expected));
    ck_assert_ptr_nonnull(strstr(jem_last_error(), row->shown));
    jemi_fail_errno(2, "open", row->text);
    ck_assert_ptr_nonnull(strstr(jem_last_error(), row->shown));
    MUST(jem_set_log(receive, NULL));
    jemi_log(JEM_LOG_INFO, "%s", row->text);
    MUST(jem_set_log(NULL, NULL));
    ck_assert_str_eq(line, row->shown);
}
END_TEST

// A failure that is put aside comes back whole; the next one has no errno of the one before.
START_TEST(test_errno)
{
    ck_assert_int_eq(jemi_fail_errno(13, "open", "/x"), JEM_EIO);
    ck_assert_int_eq(jem_last_errno(), 13);
    ck_assert_str_eq(jem_last_error(), "cannot open '/x': Permission denied");
    const jemi_failure failure = jemi_failure_save(JEM_EIO);
    jemi_fail(JEM_EINVAL, "another");
    ck_assert_int_eq(jem_last_errno(), 0);
    ck_assert_int_eq(jemi_failure_restore(&failure), JEM_EIO);
    ck_assert_int_eq(jem_last_errno(), 13);
    ck_assert_str_eq(jem_last_error(), "cannot open '/x': Permission denied");
    ck_assert_int_eq(jemi_fail_in_file(JEM_EIO, "/y"), JEM_EIO); // names its file already
    ck_assert_ptr_null(strstr(jem_last_error(), "/y"));
    ck_assert_int_eq(jem_last_errno(), 13);
}
END_TEST

START_TEST(test_long_path)
{
    char path[1000];
    memset(path, 'd', sizeof path);
    strcpy(path + sizeof path - 20, "/model.safetensors");
    jemi_fail_errno(2, "open", path);
    ck_assert_ptr_nonnull(strstr(jem_last_error(), "/model.safetensors': No such file"));
    jemi_fail(JEM_EFORMAT, "what is wrong");
    jemi_fail_in_file(JEM_EFORMAT, path);
    ck_assert_ptr_nonnull(strstr(jem_last_error(), "/model.safetensors': what is wrong"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_filter, 0, COUNT(rows));
    tcase_add_loop_test(tcase, test_messages_and_log, 0, COUNT(rows));
    tcase_add_test(tcase, test_errno);
    tcase_add_test(tcase, test_long_path);
}

int main(void)
{
    return support_main("showable text", add);
}
