/*
 * Checkpoints that are damaged, and files that cannot be written whole: the one before is found,
 * and neither full disks nor kills cost more than what was not yet saved.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint_run.h"

static int log_lines; // of warnings, since the test began

static void start(void)
{
    log_lines = 0;
    set_up();
}

static void count_line(void *user, int32_t level, const char *line)
{
    (void)user, (void)line;
    log_lines += level >= JEM_LOG_WARNING;
}

// ---- damage -------------------------------------------------------------------------------------

START_TEST(test_every_damage_is_refused)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0), other = run;
    toy_steps(&run, 5);
    MUST(save(&run));
    size_t size;
    char *bytes = support_read_file(path, &size);
    other = toy_make(&toy_recipes[GUARDED], &exec, 1);
    toy_steps(&other, 3);
    const uint64_t before = toy_hash(&other, true);
    for (size_t i = 0; i < size; i += i < 200 || i + 200 > size ? 1 : 7) {
        bytes[i] ^= (char)(1 << i % 8);
        support_write_file(path, bytes, size);
        bytes[i] ^= (char)(1 << i % 8);
        ck_assert_msg(load(&other) != JEM_OK, "a flipped bit in byte %zu", i);
        support_write_file(path, bytes, i);
        ck_assert_msg(load(&other) != JEM_OK, "cut after %zu", i);
    }
    ck_assert_uint_eq(toy_hash(&other, true), before);
    toy_steps(&other, 2);
    support_write_file(path, bytes, size);
    MUST(load(&other));
    ck_assert_uint_eq(toy_hash(&other, true), toy_hash(&run, true));
    free(bytes);
    toy_free(&run);
    toy_free(&other);
}
END_TEST

START_TEST(test_the_one_before)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 3);
    MUST(save(&run));
    const uint64_t first = toy_hash(&run, true);
    ck_assert_int_ne(access(previous, F_OK), 0);
    toy_steps(&run, 3);
    MUST(save(&run));
    const uint64_t second = toy_hash(&run, true);
    MUST(jem_set_log(count_line, NULL));
    MUST(load(&run));
    ck_assert_uint_eq(toy_hash(&run, true), second);
    ck_assert_int_eq(log_lines, 0);
    ck_assert_int_eq(truncate(path, 500), 0);
    MUST(load(&run));
    ck_assert_uint_eq(toy_hash(&run, true), first);
    ck_assert_int_eq(log_lines, 1);
    ck_assert_int_eq(unlink(path), 0);
    MUST(load(&run));
    ck_assert_int_eq(log_lines, 2);
    ck_assert_int_eq(truncate(previous, 500), 0);
    REFUSED(JEM_EIO, "No such file", load(&run)); // of the one that was asked for
    REFUSED(JEM_EIO, previous, load(&run));       // and what became of the other
    MUST(jem_set_log(NULL, NULL));
    toy_free(&run);
}
END_TEST

// What only cannot be read for now may be good, as here what lay in the directory's place.
START_TEST(test_no_way_back_without_need)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    for (int i = 0; i < 2; i++) {
        toy_steps(&run, 3);
        MUST(save(&run));
    }
    char elsewhere[320];
    snprintf(elsewhere, sizeof elsewhere, "%s/other", folder);
    ck_assert_int_eq(rename(path, elsewhere), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    const uint64_t before = toy_hash(&run, true);
    REFUSED(JEM_EIO, "directory", load(&run));
    ck_assert_uint_eq(toy_hash(&run, true), before);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rename(elsewhere, path), 0);
    toy_steps(&run, 3);
    MUST(save(&run));
    ck_assert_int_eq(truncate(path, 500), 0);
    MUST(load(&run));
    ck_assert_int_eq(run.optimizer->steps, 6); // kept by the save
    toy_free(&run);
}
END_TEST

// Whatever is damaged later, one of two generations is whole.
START_TEST(test_damage_is_never_kept)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    for (int i = 0; i < 2; i++) {
        toy_steps(&run, 3);
        MUST(save(&run));
    }
    ck_assert_int_eq(truncate(path, 500), 0);
    MUST(load(&run));
    ck_assert_int_eq(run.optimizer->steps, 3);
    char elsewhere[320];
    snprintf(elsewhere, sizeof elsewhere, "%s/other", folder);
    MUST(jem_checkpoint_save(elsewhere, run.model, run.optimizer, run.sampler));
    toy_steps(&run, 4);
    MUST(save(&run)); // in place of the damaged one
    ck_assert_int_eq(truncate(path, 500), 0);
    MUST(load(&run));
    ck_assert_int_eq(run.optimizer->steps, 3);
    for (int i = 0; i < 2; i++) {
        toy_steps(&run, 5);
        MUST(save(&run));
    }
    ck_assert_int_eq(truncate(path, 500), 0); // good ones are kept again
    MUST(load(&run));
    ck_assert_int_eq(run.optimizer->steps, 8);
    toy_free(&run);
}
END_TEST

START_TEST(test_through_a_link)
{
    toy_run run = toy_make(&toy_recipes[0], &exec, 0);
    char link_name[310], kept[320];
    snprintf(link_name, sizeof link_name, "%s/link", folder);
    snprintf(kept, sizeof kept, "%s.prev", link_name);
    ck_assert_int_eq(symlink("c", link_name), 0);
    for (int i = 0; i < 2; i++) {
        toy_steps(&run, 1);
        const jem_status status =
            jem_checkpoint_save(i == 0 ? path : link_name, run.model, run.optimizer, run.sampler);
        MUST(status);
    }
    ck_assert_int_eq(access(previous, F_OK), 0);
    ck_assert_int_ne(access(kept, F_OK), 0);
    ck_assert_int_eq(truncate(path, 9), 0);
    MUST(jem_checkpoint_load(link_name, run.model, run.optimizer, run.sampler));
    ck_assert_int_eq(run.optimizer->steps, 1);
    toy_free(&run);
}
END_TEST

// ---- full disks, kills --------------------------------------------------------------------------

static void check_survival(toy_run *run, uint64_t last)
{
    const jem_status status = save(run);
    ck_assert_int_eq(status, JEM_EIO);
    ck_assert_ptr_nonnull(strstr(jem_last_error(), path));
    toy_run again = toy_make(&toy_recipes[CLASSES], &exec, 3);
    MUST(load(&again));
    ck_assert_uint_eq(toy_hash(&again, true), last);
    toy_free(&again);
    toy_steps(run, 1);
}

START_TEST(test_file_size_limit)
{
    toy_run run = toy_make(&toy_recipes[CLASSES], &exec, 0);
    toy_steps(&run, 3);
    MUST(save(&run));
    const uint64_t last = toy_hash(&run, true);
    toy_steps(&run, 3);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 3000, .rlim_max = before.rlim_max});
    check_survival(&run, last);
    setrlimit(RLIMIT_FSIZE, &before);
    MUST(save(&run));
    toy_free(&run);
}
END_TEST

// Takes all the room that is left.
static void fill_up(const char *name)
{
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    char block[512] = {0};
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
}

START_TEST(test_full_file_system)
{
    char filler[310];
    snprintf(filler, sizeof filler, "%s/filler", folder);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=64k") != 0)
        return; // only root may; the limit above has shown the same
    toy_run run = toy_make(&toy_recipes[CLASSES], &exec, 0);
    toy_steps(&run, 3);
    MUST(save(&run));
    const uint64_t last = toy_hash(&run, true);
    toy_steps(&run, 3);
    fill_up(filler);
    check_survival(&run, last);
    unlink(filler);
    MUST(save(&run));
    toy_free(&run);
    umount(folder);
}
END_TEST

// Microseconds in which a child begins, saves once and ends: under a sanitizer or on a busy machine
// many times what they are elsewhere.
static double child_that_saves(toy_run *run)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const pid_t child = fork();
    if (child == 0)
        _exit(save(run) != JEM_OK);
    int state;
    waitpid(child, &state, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    return 1e6 * (double)(end.tv_sec - begin.tv_sec) + 1e-3 * (double)(end.tv_nsec - begin.tv_nsec);
}

// Kills at any moment of an endless series of saves: what is there loads, and is one of them.
START_TEST(test_killed_while_saving)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 1);
    MUST(save(&run));
    const double one_save = child_that_saves(&run);
    for (int kill_number = 0; kill_number < 150; kill_number++) {
        const pid_t child = fork();
        if (child == 0)
            for (;;) {
                run.optimizer->steps++;
                if (save(&run) != JEM_OK)
                    _exit(1);
            }
        usleep((useconds_t)(one_save * (1 + kill_number % 40) / 15));
        kill(child, SIGKILL);
        int state;
        waitpid(child, &state, 0);
        ck_assert(WIFSIGNALED(state));
        const int64_t before = run.optimizer->steps;
        MUST(jem_set_log(count_line, NULL));
        MUST(load(&run));
        MUST(jem_set_log(NULL, NULL));
        ck_assert_int_eq(log_lines, 0); // never the one before
        ck_assert_int_ge(run.optimizer->steps, before);
    }
    ck_assert_int_gt(run.optimizer->steps, 20);
    toy_free(&run);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start, tear_down);
    tcase_add_test(tcase, test_every_damage_is_refused);
    tcase_add_test(tcase, test_the_one_before);
    tcase_add_test(tcase, test_no_way_back_without_need);
    tcase_add_test(tcase, test_damage_is_never_kept);
    tcase_add_test(tcase, test_through_a_link);
    tcase_add_test(tcase, test_file_size_limit);
    tcase_add_test(tcase, test_full_file_system);
    tcase_add_test(tcase, test_killed_while_saving);
}

int main(void)
{
    return support_main("checkpoint damage", add_tests);
}
