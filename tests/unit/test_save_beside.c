/*
 * While a model is being written, which may take seconds on a slow disk, other threads read and set
 * its names and metadata. The file has those from when the save began.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

enum { FEATURES = 3, CLASSES = 2, WAIT_SECONDS = 60 };

static pthread_barrier_t writing;
static atomic_bool stands_still;

// This program's own: what the library waits for longest.
int fsync(int fd)
{
    (void)fd;
    if (atomic_exchange(&stands_still, false)) {
        pthread_barrier_wait(&writing);
        pthread_barrier_wait(&writing);
    }
    return 0;
}

static jem_model *model;
static char path[256];

static void *save(void *unused)
{
    (void)unused;
    return jem_model_save(model, path) == JEM_OK ? NULL : "saving failed";
}

static void expect_text(const jem_model *of, const char *key, const char *expected)
{
    char text[40];
    MUST(jem_model_get_metadata(of, key, text, sizeof text, NULL));
    ck_assert_str_eq(text, expected);
}

START_TEST(test_names_while_saving)
{
    char dir[200], name[40];
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model", dir);
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    MUST(jem_model_set_metadata(model, "first", "old"));
    MUST(jem_model_set_metadata(model, "second", ""));
    pthread_barrier_init(&writing, NULL, 2);
    atomic_store(&stands_still, true);
    pthread_t thread;
    void *fault;
    ck_assert_int_eq(pthread_create(&thread, NULL, save, NULL), 0);
    alarm(WAIT_SECONDS); // a lock that is held over the writing shows as a hang
    pthread_barrier_wait(&writing);
    expect_text(model, "first", "old");
    MUST(jem_model_set_metadata(model, "first", "new"));
    MUST(jem_model_set_metadata(model, "second", NULL));
    MUST(jem_model_set_class_name(model, 0, "cat"));
    MUST(jem_model_get_class_name(model, 0, name, sizeof name, NULL));
    pthread_barrier_wait(&writing);
    pthread_join(thread, &fault);
    alarm(0);
    ck_assert_msg(fault == NULL, "%s", (const char *)fault);
    jem_model *loaded;
    MUST(jem_model_load(&loaded, path, NULL));
    expect_text(loaded, "first", "old");
    expect_text(loaded, "second", "");
    expect_text(model, "first", "new");
    jem_model_destroy(loaded);
    jem_model_destroy(model);
    pthread_barrier_destroy(&writing);
    support_remove_dir(dir);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_names_while_saving);
}

int main(void)
{
    return support_main("save_beside", add_tests);
}
