/*
 * lib/io/file: which targets are written and which refused, links, permissions, devices and pipes,
 * what killed writers leave, the host's file size limit, kills and threads. Failing system calls are in test_file_faults.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
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
    {"a directory", "sub", "Is a directory"},
    {"a directory with a slash", "sub/", "Is a directory"},
    {"the folder itself", ".", "Is a directory"},
    {"the root", "/", "Is a directory"},
    {"a file with a slash", "plain/", "Not a directory"},
    {"a new name with a slash", "none/", "Is a directory"},
    {"a full device", "/dev/full", "No space left"},
    {"a directory that takes no files", "/proc/jem-test", "temporary file beside"},
    {"a descriptor that is closed", "/dev/fd/999", "temporary file beside"},
    {"a link into no directory", "to-none", "directory of"},
    {"a loop of links", "loop", "symbolic links"},
    {"a link to a directory", "to-sub", "Is a directory"},
    {"a link to a device", "to-full", "No space left"},
};

static void make_targets(void)
{
    put(in_folder("plain"), old_text);
    ck_assert_int_eq(mkdir(in_folder("sub"), 0700), 0);
    put(in_folder("sub/inner"), old_text);
    ck_assert_int_eq(symlink("none/target", in_folder("to-none")), 0);
    ck_assert_int_eq(symlink("sub/new", in_folder("dangling")), 0);
    ck_assert_int_eq(symlink("loop", in_folder("loop")), 0);
    ck_assert_int_eq(symlink("sub", in_folder("to-sub")), 0);
    ck_assert_int_eq(symlink("/dev/full", in_folder("to-full")), 0);
    ck_assert_int_eq(symlink("sub/inner", in_folder("to-inner")), 0);
}

static void remove_targets(void)
{
    static const char *const names[] = {"plain",  "sub/inner", "to-none",  "dangling", "loop",
                                        "to-sub", "to-full",   "to-inner", "target",   "sub/new"};
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

// A writer that was opened needs no more descriptors to the end.
START_TEST(lack_of_descriptors_is_told_at_once)
{
    struct rlimit before, tight;
    put(path, old_text);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t free = 0;; free++) {
        const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(next);
        jemi_writer w;
        tight = (struct rlimit){(rlim_t)next + free, before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
        const jem_status opened = jemi_writer_open(&w, path);
        jem_status status = opened;
        if (opened == JEM_OK)
            status = jemi_writer_write(&w, new_text, strlen(new_text));
        if (status == JEM_OK)
            status = jemi_writer_commit(&w);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert_msg(opened != JEM_OK || status == JEM_OK, "%d free: %s", (int)free,
                      jemi_last_message());
        if (opened == JEM_OK)
            break;
        ck_assert_str_eq(get(path), old_text);
    }
    ck_assert_str_eq(get(path), new_text);
    ck_assert_int_eq(count_entries(folder), 1);
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

// The check before a long computation comes to the same answer as the writer.
START_TEST(checked_as_written)
{
    static const char *const good[] = {"plain", "to-inner", "dangling", "new", "/dev/full"};
    unlink(path);
    make_targets();
    const int entries = count_entries(folder);
    for (int i = 0; i < COUNT(bad_targets); i++) {
        const char *target = bad_targets[i].target;
        const bool full = strcmp(bad_targets[i].word, "No space left") == 0; // shows when written
        ck_assert_msg(jemi_file_check(target[0] == '/' ? target : in_folder(target)) ==
                          (full ? 0 : JEM_EIO),
                      "%s", bad_targets[i].name);
    }
    for (int i = 0; i < COUNT(good); i++)
        ck_assert_msg(jemi_file_check(good[i][0] == '/' ? good[i] : in_folder(good[i])) == JEM_OK,
                      "%s: %s", good[i], jemi_last_message());
    char name[257];
    memset(name, 'x', sizeof name);
    name[256] = '\0';
    ck_assert_int_eq(jemi_file_check(in_folder(name)), JEM_EIO);
    name[255] = '\0';
    ck_assert_int_eq(jemi_file_check(in_folder(name)), JEM_OK);
    ck_assert_int_eq(count_entries(folder), entries);
    ck_assert_str_eq(get(in_folder("plain")), old_text);
    remove_targets();
}
END_TEST

START_TEST(dangling_link_gets_its_target)
{
    unlink(path);
    make_targets();
    ck_assert_int_eq(symlink("dangling", path), 0); // a link to a link
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(write_new(path) == JEM_OK, "%s", jemi_last_message());
        ck_assert_str_eq(get(in_folder("sub/new")), new_text);
    }
    char link[64];
    ck_assert_int_eq(readlink(in_folder("dangling"), link, sizeof link), 7);
    ck_assert_int_eq(readlink(path, link, sizeof link), 8);
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

// A drop box: files may be put into it, but not listed. Root may do both, so a child becomes another.
START_TEST(directory_that_may_not_be_listed)
{
    const char *box = in_folder("box"), *inside = in_folder("box/new");
    if (geteuid() != 0)
        return;
    ck_assert(mkdir(box, 0700) == 0 && chown(box, 65534, 65534) == 0 && chmod(box, 0300) == 0);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(setgid(65534) != 0 || setuid(65534) != 0 || write_new(inside) != JEM_OK ||
              write_new(inside) != JEM_OK);
    int how;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert_int_eq(how, 0);
    ck_assert_str_eq(get(inside), new_text);
    ck_assert_int_eq(count_entries(box), 1);
    ck_assert(unlink(inside) == 0 && rmdir(box) == 0);
}
END_TEST

/* ---- what is no file ---------------------------------------------------------------------- */

static void *read_fifo(void *text)
{
    FILE *fifo = fopen(in_folder("fifo"), "r");
    const size_t n = fread(text, 1, 255, fifo);
    ((char *)text)[n] = '\0';
    fclose(fifo);
    return NULL;
}

START_TEST(fifo_is_written)
{
    char text[256];
    pthread_t reader;
    ck_assert_int_eq(mkfifo(in_folder("fifo"), 0600), 0);
    ck_assert_int_eq(jemi_file_check(in_folder("fifo")), JEM_OK); // and its reader sees no end
    pthread_create(&reader, NULL, read_fifo, text);
    ck_assert_msg(write_new(in_folder("fifo")) == JEM_OK, "%s", jemi_last_message());
    pthread_join(reader, NULL);
    ck_assert_str_eq(text, new_text);
    struct stat st;
    ck_assert(stat(in_folder("fifo"), &st) == 0 && S_ISFIFO(st.st_mode));
    unlink(in_folder("fifo"));
}
END_TEST

START_TEST(device_is_written_and_stays)
{
    struct stat before, now;
    ck_assert_int_eq(stat("/dev/null", &before), 0);
    ck_assert_int_eq(write_new("/dev/null"), JEM_OK);
    ck_assert_int_eq(stat("/dev/null", &now), 0);
    ck_assert(S_ISCHR(now.st_mode) && now.st_ino == before.st_ino);
}
END_TEST

// As /dev/stdout is: the file stays the one that was opened, and what was printed before stays.
START_TEST(descriptor_is_written_where_it_stands)
{
    char name[64], link_name[64];
    start(false);
    const int fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "before ", 7), 7);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    snprintf(link_name, sizeof link_name, "%s", in_folder("stdout"));
    ck_assert_int_eq(symlink(name, link_name), 0);
    ck_assert_msg(write_new(link_name) == JEM_OK, "%s", jemi_last_message());
    ck_assert_int_eq(write(fd, " after", 6), 6);
    char expected[128];
    snprintf(expected, sizeof expected, "before %s after", new_text);
    ck_assert_str_eq(get(path), expected);
    struct stat st, opened;
    ck_assert(lstat(link_name, &st) == 0 && S_ISLNK(st.st_mode));
    ck_assert(stat(path, &st) == 0 && fstat(fd, &opened) == 0 && st.st_ino == opened.st_ino);
    close(fd);
    unlink(link_name);
    ck_assert_int_eq(count_entries(folder), 1);
}
END_TEST

// SIGPIPE would end the host.
START_TEST(pipe_that_nobody_reads)
{
    int ends[2];
    char name[64];
    signal(SIGPIPE, SIG_DFL);
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[1]);
    const surroundings before = look_around();
    ck_assert_int_eq(write_new(name), JEM_EIO);
    check_surroundings(&before);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "Broken pipe"));
    close(ends[1]);
}
END_TEST

/* ---- what killed writers leave ------------------------------------------------------------- */

static const char *left_over(int number)
{
    char name[64];
    snprintf(name, sizeof name, ".target.jem-%d.tmp", number);
    return in_folder(name);
}

START_TEST(left_over_is_removed)
{
    for (int exists = 0; exists < 2; exists++) {
        start(exists);
        put(left_over(0), "half");
        put(left_over(3), "");
        put(in_folder(".other.jem-0.tmp"), "of another target");
        ck_assert_int_eq(write_new(path), JEM_OK);
        ck_assert_int_eq(count_entries(folder), 2);
        ck_assert_str_eq(get(path), new_text);
    }
    unlink(in_folder(".other.jem-0.tmp"));
}
END_TEST

// Its writer lives, in whatever container.
START_TEST(held_file_stays)
{
    start(true);
    put(left_over(0), "being written");
    const int fd = open(left_over(0), O_RDONLY);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    ck_assert_int_eq(symlink("target", left_over(1)), 0); // nor is a link followed or removed
    ck_assert_int_eq(write_new(path), JEM_OK);
    ck_assert_str_eq(get(left_over(0)), "being written");
    ck_assert_str_eq(get(path), new_text);
    ck_assert_int_eq(count_entries(folder), 3);
    close(fd);
    unlink(left_over(1));
    ck_assert_int_eq(write_new(path), JEM_OK);
    ck_assert_int_eq(count_entries(folder), 1);
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
        ck_assert_int_le(count_entries(folder), 2);
    }
    write_pattern('.', buffer);
    ck_assert_int_eq(count_entries(folder), 1);
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
    tcase_add_test(tests, checked_as_written);
    tcase_add_test(tests, dangling_link_gets_its_target);
    tcase_add_test(tests, relative_path);
    tcase_add_test(tests, permissions);
    tcase_add_test(tests, directory_that_may_not_be_listed);
    tcase_add_test(tests, fifo_is_written);
    tcase_add_test(tests, device_is_written_and_stays);
    tcase_add_test(tests, descriptor_is_written_where_it_stands);
    tcase_add_test(tests, pipe_that_nobody_reads);
    tcase_add_test(tests, lack_of_descriptors_is_told_at_once);
    tcase_add_test(tests, left_over_is_removed);
    tcase_add_test(tests, held_file_stays);
    tcase_add_test(tests, size_limit_does_not_kill);
    tcase_add_test(tests, blocked_size_signal_stays);
    tcase_add_test(tests, killed_while_writing);
    tcase_add_test(tests, threads_write_one_file);
    suite_add_tcase(suite, tests);
    return run_in_folder(suite);
}
