/*
 * lib/io/file: which targets are written and which refused, links, permissions, the host's file
 * size limit, kills and threads. Failing system calls are in test_file_faults.c.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/memory.h"
#include "base/status.h"
#include "folder.h"
#include "support.h"

// `name` within the folder, until the next call but three.
static const char *in_folder(const char *name)
{
    static char names[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    char *end = stpcpy(stpcpy(names[turn], folder), "/");
    memcpy(end, name, strlen(name) + 1);
    return names[turn];
}

/* ---- targets -------------------------------------------------------------------------------- */

typedef struct target_row {
    const char *name;
    const char *target; /* in the folder, or absolute */
    const char *word;
} target_row;

static const target_row bad_targets[] = {
    {"no directory", "none/target", "directory of"},
    {"a file as directory", "plain/target", "Not a directory"},
    {"a directory", "sub", "no regular file"},
    {"a directory with a slash", "sub/", "no regular file"},
    {"the folder itself", ".", "no regular file"},
    {"the root", "/", "no regular file"},
    {"a file with a slash", "plain/", "Not a directory"},
    {"a new name with a slash", "none/", "Is a directory"},
    {"a fifo", "fifo", "no regular file"},
    {"a full device", "/dev/full", "no regular file"},
    {"a device", "/dev/null", "no regular file"},
    {"a directory that takes no files", "/proc/jem-test", "temporary file beside"},
    {"a dangling link", "dangling", "follow the link"},
    {"a loop of links", "loop", "follow the link"},
    {"a link to a directory", "to-sub", "no regular file"},
    {"a link to a device", "to-full", "no regular file"},
};

static void make_targets(void)
{
    put(in_folder("plain"), old_text);
    ck_assert_int_eq(mkdir(in_folder("sub"), 0700), 0);
    put(in_folder("sub/inner"), old_text);
    ck_assert_int_eq(mkfifo(in_folder("fifo"), 0600), 0);
    ck_assert_int_eq(symlink("nowhere", in_folder("dangling")), 0);
    ck_assert_int_eq(symlink("loop", in_folder("loop")), 0);
    ck_assert_int_eq(symlink("sub", in_folder("to-sub")), 0);
    ck_assert_int_eq(symlink("/dev/full", in_folder("to-full")), 0);
    ck_assert_int_eq(symlink("sub/inner", in_folder("to-inner")), 0);
}

static void remove_targets(void)
{
    static const char *const names[] = {"plain",  "sub/inner", "fifo",     "dangling", "loop",
                                        "to-sub", "to-full",   "to-inner", "target"};
    for (int i = 0; i < COUNT(names); i++)
        unlink(in_folder(names[i]));
    rmdir(in_folder("sub"));
    ck_assert_int_eq(count_entries(folder), 0);
}

START_TEST(bad_target_is_refused)
{
    const target_row *row = &bad_targets[_i];
    unlink(path);
    make_targets();
    const int entries = count_entries(folder);
    const char *target = row->target[0] == '/' ? row->target : in_folder(row->target);
    ck_assert_msg(write_new(target) == JEM_EIO, "%s", row->name);
    ck_assert_msg(strstr(jemi_last_message(), row->word) != NULL, "%s: %s", row->name,
                  jemi_last_message());
    ck_assert_int_eq(count_entries(folder), entries);
    ck_assert_str_eq(get(in_folder("plain")), old_text);
    remove_targets();
}
END_TEST

START_TEST(long_and_empty_names)
{
    start(true);
    char name[5000];
    memset(name, 'x', sizeof name);
    name[4999] = '\0';
    ck_assert_int_eq(write_new(name), JEM_EIO); // longer than a path
    name[256] = '\0';
    ck_assert_int_eq(write_new(in_folder(name)), JEM_EIO); // longer than a name
    ck_assert_int_eq(write_new(""), JEM_EIO);
    ck_assert_int_eq(count_entries(folder), 1);
    name[255] = '\0'; // the longest name; its temporary one is cut
    ck_assert_msg(write_new(in_folder(name)) == JEM_OK, "%s", jemi_last_message());
    ck_assert_str_eq(get(in_folder(name)), new_text);
    unlink(in_folder(name));
}
END_TEST

START_TEST(link_is_followed)
{
    unlink(path);
    make_targets();
    ck_assert_msg(write_new(in_folder("to-inner")) == JEM_OK, "%s", jemi_last_message());
    struct stat st;
    ck_assert_int_eq(lstat(in_folder("to-inner"), &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_str_eq(get(in_folder("sub/inner")), new_text);
    ck_assert_int_eq(count_entries(in_folder("sub")), 1);
    remove_targets();
}
END_TEST

START_TEST(relative_path)
{
    start(false);
    char here[4096];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(write_new("target"), JEM_OK);
    ck_assert_int_eq(write_new("./target"), JEM_OK);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_str_eq(get(path), new_text);
}
END_TEST

START_TEST(permissions)
{
    struct stat st;
    const mode_t mask = umask(027);
    start(false);
    ck_assert_int_eq(write_new(path), JEM_OK);
    stat(path, &st);
    ck_assert_int_eq(st.st_mode & 07777, 0640); // 0666 less the umask
    chmod(path, 0604);
    ck_assert_int_eq(write_new(path), JEM_OK);
    stat(path, &st);
    ck_assert_int_eq(st.st_mode & 07777, 0604);
    umask(mask);
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(path, 65534, 65533), 0);
    ck_assert_int_eq(write_new(path), JEM_OK);
    stat(path, &st);
    ck_assert(st.st_uid == 65534 && st.st_gid == 65533);
}
END_TEST

/* ---- the file size limit ----------------------------------------------------------------- */

static jem_status write_above_limit(void)
{
    const surroundings around = look_around();
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 8, .rlim_max = before.rlim_max});
    const jem_status status = write_new(path); // no assertion here: Check writes, too
    setrlimit(RLIMIT_FSIZE, &before);
    check_surroundings(&around);
    return status;
}

static bool size_signal_is_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGXFSZ) == 1;
}

START_TEST(size_limit_does_not_kill)
{
    start(true);
    signal(SIGXFSZ, SIG_DFL);
    ck_assert_int_eq(write_above_limit(), JEM_EIO);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "File too large"));
    ck_assert_str_eq(get(path), old_text);
    ck_assert_int_eq(count_entries(folder), 1);
    ck_assert(!size_signal_is_pending());
}
END_TEST

START_TEST(blocked_size_signal_stays)
{
    start(true);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    ck_assert_int_eq(write_above_limit(), JEM_EIO); // ours is taken away
    ck_assert(!size_signal_is_pending());
    raise(SIGXFSZ); // the host's is not
    ck_assert_int_eq(write_above_limit(), JEM_EIO);
    ck_assert(size_signal_is_pending());
    int caught;
    sigwait(&block, &caught);
    pthread_sigmask(SIG_UNBLOCK, &block, NULL);
}
END_TEST

/* ---- kills and threads ------------------------------------------------------------------- */

enum { BIG = 1 << 18 };

static void write_pattern(char c, char *buffer)
{
    memset(buffer, c, BIG);
    const jemi_part parts[] = {{buffer, 1000}, {buffer + 1000, BIG - 1000}};
    if (jemi_file_write_atomic(path, parts, 2) != JEM_OK)
        _exit(1);
}

static void check_pattern(void)
{
    size_t size;
    char *data = support_read_file(path, &size);
    ck_assert_uint_eq(size, BIG);
    ck_assert_int_eq(memcmp(data, data + 1, BIG - 1), 0); // one character throughout
    free(data);
}

// 100 kills here; the crash tests of whole models do the many.
START_TEST(killed_while_writing)
{
    static char buffer[BIG];
    start(false);
    write_pattern('.', buffer);
    for (int kill_number = 0; kill_number < 100; kill_number++) {
        const pid_t child = fork();
        if (child == 0)
            for (char c = 'a';; c = c == 'z' ? 'a' : (char)(c + 1))
                write_pattern(c, buffer);
        usleep((useconds_t)(500 + 137 * kill_number % 7000));
        kill(child, SIGKILL);
        int state;
        waitpid(child, &state, 0);
        ck_assert(WIFSIGNALED(state));
        check_pattern();
    }
    remove_entries();
}
END_TEST

static void *write_often(void *user)
{
    char *buffer = malloc(BIG);
    for (int i = 0; i < 40; i++)
        write_pattern(*(char *)user, buffer);
    free(buffer);
    return NULL;
}

START_TEST(threads_write_one_file)
{
    start(false);
    pthread_t threads[4];
    char names[4] = {'a', 'b', 'c', 'd'};
    for (int i = 0; i < COUNT(threads); i++)
        pthread_create(&threads[i], NULL, write_often, &names[i]);
    for (int i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    check_pattern();
    ck_assert_int_eq(count_entries(folder), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, bad_target_is_refused, 0, COUNT(bad_targets));
    tcase_add_test(tests, long_and_empty_names);
    tcase_add_test(tests, link_is_followed);
    tcase_add_test(tests, relative_path);
    tcase_add_test(tests, permissions);
    tcase_add_test(tests, size_limit_does_not_kill);
    tcase_add_test(tests, blocked_size_signal_stays);
    tcase_add_test(tests, killed_while_writing);
    tcase_add_test(tests, threads_write_one_file);
    suite_add_tcase(suite, tests);
    return run_in_folder(suite);
}
