/*
 * The limit on instruction sets: what is refused, and that kernels, oneDNN and the texts that name
 * them follow it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "support.h"

static bool info_says(const char *key, const char *value)
{
    char text[96];
    snprintf(text, sizeof text, "\"%s\": \"%s\"", key, value);
    return strstr(jem_build_info(), text) != NULL;
}

START_TEST(test_limit)
{
    const char *fastest = jemi_isa_name(0);
    ck_assert_str_eq(jem_isa(), fastest);
    REFUSED(JEM_EUNSUPPORTED, "'mmx'", jem_limit_isa("mmx"));
    for (int set = 0; set < jemi_isa_count(); set++)
        REFUSED(JEM_EUNSUPPORTED, jemi_isa_name(set), jem_limit_isa(""));
    MUST(jem_limit_isa(NULL));
    MUST(jem_limit_isa(fastest));

    jem_model *model = support_model("mlp-4", 3, 2, NULL);
    REFUSED(JEM_EBUSY, "handles", jem_limit_isa("portable"));
    ck_assert_str_eq(jem_isa(), fastest);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_what_follows)
{
    const int set = jemi_isa_count() > 2 ? 1 : jemi_isa_count() - 1;
    const char *name = jemi_isa_name(set);
    MUST(jem_limit_isa(name));
    ck_assert_str_eq(jem_isa(), name);
    ck_assert_str_eq(jemi_isa_in_use(), name);
    ck_assert_msg(info_says("isa", name), "%s", jem_build_info());
#if JEM_HAVE_ONEDNN
    if (strcmp(name, "avx2") == 0) // once for our kernels, once for oneDNN
        ck_assert_msg(strstr(strstr(jem_build_info(), "\"onednn\": {"), "\"isa\": \"avx2\"") <
                          strstr(jem_build_info(), "\"kernels\""),
                      "%s", jem_build_info());
    const char *other = jemi_isa_name(set == 0 ? 0 : set - 1);
    if (set > 0)
        REFUSED(JEM_EBUSY, "oneDNN", jem_limit_isa(other));
    ck_assert_str_eq(jem_isa(), name);
#endif
    jem_model *model = support_model("mlp-4", 3, 2, NULL);
    float x[3] = {0}, logits[2];
    MUST(jem_logits(model, 1, x, logits));
    jem_model_destroy(model);
}
END_TEST

// The text of one set stays where it is, whatever comes after.
START_TEST(test_texts_stay)
{
    const char *before = jem_build_info();
    const jem_status status = jem_limit_isa("portable");
    ck_assert(status == JEM_OK || (JEM_HAVE_ONEDNN && status == JEM_EBUSY));
    if (status == JEM_OK && jemi_isa_count() > 1)
        ck_assert_ptr_ne(jem_build_info(), before);
    MUST(jem_limit_isa(NULL));
    ck_assert_ptr_eq(jem_build_info(), before);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_limit);
    const char *fork = getenv("CK_FORK");
    if (fork != NULL && strcmp(fork, "no") == 0) // oneDNN can be limited once in a process
        return;
    tcase_add_test(tcase, test_what_follows);
    tcase_add_test(tcase, test_texts_stay);
}

int main(void)
{
    return support_main("a limit on instruction sets", add_tests);
}
