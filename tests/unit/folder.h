/*
 * A folder of its own for a test program, with one file in it: what test_file.c and
 * test_file_faults.c share.
 */
#ifndef JEM_TESTS_FOLDER_H
#define JEM_TESTS_FOLDER_H

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "io/file.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static char folder[] = "/tmp/jem-file-XXXXXX";
static char path[64]; /* folder/target */

static const char old_text[] = "the old contents";
static const char new_text[] = "NEW first part, NEW second part";

static inline void put(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

// What a file holds, "" if there is none.
static inline const char *get(const char *name)
{
    static char text[256];
    FILE *file = fopen(name, "r");
    const size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

static inline int count_entries(const char *directory)
{
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static inline void remove_entries(void)
{
    DIR *dir = opendir(folder);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static inline void start(bool exists)
{
    unlink(path);
    if (exists)
        put(path, old_text);
}

static inline jem_status write_new(const char *target)
{
    const jemi_part parts[] = {{new_text, 16}, {NULL, 0}, {new_text + 16, sizeof new_text - 17}};
    return jemi_file_write_atomic(target, parts, COUNT(parts));
}

// What a library must leave as it found it.
typedef struct surroundings {
    sigset_t mask;
    int descriptors;
} surroundings;

static inline surroundings look_around(void)
{
    surroundings s = {.descriptors = count_entries("/proc/self/fd")};
    pthread_sigmask(SIG_SETMASK, NULL, &s.mask);
    return s;
}

static inline void check_surroundings(const surroundings *before)
{
    const surroundings now = look_around();
    for (int number = 1; number < 64; number++)
        ck_assert_int_eq(sigismember(&now.mask, number), sigismember(&before->mask, number));
    ck_assert_int_eq(now.descriptors, before->descriptors);
}

static inline int run_in_folder(Suite *suite)
{
    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/target", folder);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_entries();
    rmdir(folder);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
