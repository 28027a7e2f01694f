/*
 * lib/model/strings against a naive list: what is there, in which order, after any mixture of
 * setting, replacing and removing; and keys in any order do not make it slow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "model/strings.h"
#include "support.h"

enum { KEYS = 60 };

typedef struct naive {
    char values[KEYS][16]; /* "" = none */
    int places[KEYS];      /* in the order of the first setting */
    bool removes;          /* then where keys come back is not laid down */
} naive;

static void check_same(const jemi_strings *strings, const naive *n)
{
    size_t count = 0;
    int last = -1;
    for (const jemi_string_entry *e = jemi_strings_next(strings, NULL); e != NULL;
         e = jemi_strings_next(strings, e), count++) {
        const int key = atoi(e->key);
        ck_assert_str_eq(e->value, n->values[key]);
        ck_assert(n->removes || n->places[key] > last);
        last = n->places[key];
    }
    ck_assert_uint_eq(count, strings->count);
    for (int key = 0; key < KEYS; key++) {
        char text[16];
        snprintf(text, sizeof text, "%d", key);
        const char *value = jemi_strings_get(strings, text);
        ck_assert_int_eq(value != NULL, n->values[key][0] != '\0');
        if (value != NULL) {
            ck_assert_str_eq(value, n->values[key]);
            count--;
        }
    }
    ck_assert_uint_eq(count, 0);
}

START_TEST(test_against_a_list)
{
    uint64_t seed = (uint64_t)_i;
    jemi_strings strings = {0}, copy = {0};
    naive n = {.removes = _i > 0};
    int n_set = 0;
    for (int step = 0; step < 2000; step++) {
        const int key = (int)(support_next(&seed) % KEYS);
        const bool removes = support_next(&seed) % 10 < (unsigned)_i;
        char text[16];
        snprintf(text, sizeof text, "%d", key);
        if (n.values[key][0] == '\0')
            n.places[key] = n_set++;
        snprintf(n.values[key], sizeof n.values[key], "v%d", step);
        if (removes)
            n.values[key][0] = '\0';
        MUST(jemi_strings_set(&strings, text, removes ? NULL : n.values[key]));
        if (step % 50 == 0)
            check_same(&strings, &n);
    }
    MUST(jemi_strings_copy(&copy, &strings));
    check_same(&copy, &n);
    jemi_strings_fini(&strings);
    jemi_strings_fini(&copy);
    ck_assert(jemi_memory_set_allocator(NULL));
}
END_TEST

static int64_t n_left;

static void *limited(void *user, size_t alignment, size_t size)
{
    (void)user;
    return n_left-- > 0 ? aligned_alloc(alignment, size) : NULL;
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

START_TEST(test_no_memory)
{
    ck_assert(jemi_memory_set_allocator(&(jem_allocator){limited, release, NULL}));
    n_left = 2;
    jemi_strings strings = {0};
    MUST(jemi_strings_set(&strings, "a", "1"));
    MUST(jemi_strings_set(&strings, "a", "2"));
    REFUSED(JEM_ENOMEM, "metadata", jemi_strings_set(&strings, "a", "3"));
    REFUSED(JEM_ENOMEM, "metadata", jemi_strings_set(&strings, "b", "3"));
    ck_assert_uint_eq(strings.count, 1);
    ck_assert_str_eq(jemi_strings_get(&strings, "a"), "2");
    ck_assert_ptr_null(jemi_strings_get(&strings, "b"));
    jemi_strings_fini(&strings);
    ck_assert(jemi_memory_set_allocator(NULL));
}
END_TEST

enum { N = 200000 };

// Rising, falling or scattered ones.
static const char *name_of(int kind, int i, char key[16])
{
    const unsigned place = (unsigned)(kind == 0 ? i : N - i);
    snprintf(key, 16, "%08x", kind == 2 ? place * 2654435761u : place);
    return key;
}

// Set, read and removed. A list of so many would take minutes.
START_TEST(test_many)
{
    const clock_t start = clock();
    jemi_strings strings = {0};
    char key[16];
    for (int i = 0; i < N; i++) {
        MUST(jemi_strings_set(&strings, name_of(_i, i, key), "v"));
        ck_assert_ptr_nonnull(jemi_strings_get(&strings, key));
    }
    ck_assert_uint_eq(strings.count, N);
    for (int i = 0; i < N; i++)
        MUST(jemi_strings_set(&strings, name_of(_i, i, key), NULL));
    ck_assert_uint_eq(strings.count, 0);
    ck_assert_double_lt((double)(clock() - start) / CLOCKS_PER_SEC, 20.0);
    jemi_strings_fini(&strings);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_against_a_list, 0, 10);
    tcase_add_test(tcase, test_no_memory);
    tcase_add_loop_test(tcase, test_many, 0, 3);
}

int main(void)
{
    return support_main("strings", add);
}
