/*
 * lib/io/file: after every failure that an operating system can report, the target is the old file
 * or the new one, whole, and nothing lies beside it.
 *
 * This program defines the C library's file calls itself, so the library's calls come here; a fault
 * that is armed is reported in place of one of them. Unarmed, they go on to the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/memory.h"
#include "base/status.h"
#include "folder.h"

/* ---- faults --------------------------------------------------------------------------------- */

typedef enum call {
    NO_CALL,
    ANY,
    OPEN,
    OPENAT,
    LSTAT,
    FSTAT,
    WRITE,
    FCHOWN,
    FCHMOD,
    FSYNC,
    CLOSE,
    RENAMEAT,
    LINKAT
} call;

enum { SHORT = -1, NOTHING = -2 }; /* instead of an errno: one byte; none */

static struct {
    call call;
    int nth; /* from 1; 0 = every */
    bool on; /* and all after it */
    int error;
    int n_calls; /* of that kind so far */
} fault;

static int fault_of(call made)
{
    if (fault.call != ANY && fault.call != made)
        return 0;
    fault.n_calls++;
    const bool hit =
        fault.nth == 0 || fault.nth == fault.n_calls || (fault.on && fault.n_calls > fault.nth);
    return hit ? fault.error : 0;
}

// True: the caller returns -1 with errno set.
static bool fails(call made)
{
    const int error = fault_of(made);
    if (error > 0)
        errno = error;
    return error > 0;
}

#define MODE_OF(flags, mode)                                                                       \
    do {                                                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        (mode) = (flags)&O_CREAT ? va_arg(rest, int) : 0;                                          \
        va_end(rest);                                                                              \
    } while (0)

int open(const char *name, int flags, ...)
{
    int mode;
    MODE_OF(flags, mode);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

static char temp_name[256]; // the last that was asked for

int openat(int dir, const char *name, int flags, ...)
{
    snprintf(temp_name, sizeof temp_name, "%s", name);
    int mode;
    MODE_OF(flags, mode);
    return fails(OPENAT) ? -1 : (int)syscall(SYS_openat, dir, name, flags, mode);
}

int lstat(const char *name, struct stat *st)
{
    return fails(LSTAT) ? -1 : fstatat(AT_FDCWD, name, st, AT_SYMLINK_NOFOLLOW);
}

int fstat(int fd, struct stat *st)
{
    return fails(FSTAT) ? -1 : (int)syscall(SYS_fstat, fd, st);
}

ssize_t write(int fd, const void *data, size_t size)
{
    const int error = fault_of(WRITE);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return error == NOTHING ? 0 : syscall(SYS_write, fd, data, error == SHORT ? 1 : size);
}

int fchown(int fd, uid_t owner, gid_t group)
{
    return fails(FCHOWN) ? -1 : (int)syscall(SYS_fchown, fd, owner, group);
}

int fchmod(int fd, mode_t mode)
{
    return fails(FCHMOD) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int fsync(int fd)
{
    return fails(FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

// As on Linux, the descriptor is closed whatever is said.
int close(int fd)
{
    const int result = (int)syscall(SYS_close, fd);
    return fails(CLOSE) ? -1 : result;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(RENAMEAT) ? -1 : (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(LINKAT) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

/* ---- writing -------------------------------------------------------------------------------- */

// write(path) under a fault.
static jem_status write_by(jem_status (*write_file)(const char *target), call which, int nth,
                           int error)
{
    const surroundings before = look_around();
    fault.call = which;
    fault.nth = nth;
    fault.error = error;
    fault.n_calls = 0;
    const jem_status status = write_file(path);
    fault.call = NO_CALL;
    check_surroundings(&before);
    return status;
}

static jem_status write_with(call which, int nth, int error)
{
    return write_by(write_new, which, nth, error);
}

typedef struct fault_row {
    const char *name;
    call call;
    int nth, error;
    jem_status status;
    bool replaced;
    const char *word;
} fault_row;

static const fault_row faults[] = {
    {"none", NO_CALL, 1, 0, JEM_OK, true, ""},
    {"look at the target", LSTAT, 1, EACCES, JEM_OK, true, ""}, // the second look decides
    {"look at the target again", LSTAT, 2, EACCES, JEM_EIO, false, "Permission denied"},
    {"open the directory", OPEN, 1, EMFILE, JEM_EIO, false, "open the directory of"},
    {"open the directory, interrupted", OPEN, 1, EINTR, JEM_OK, true, ""},
    {"create the temporary file", OPENAT, 1, EROFS, JEM_EIO, false, "temporary file beside"},
    {"create it on a full disk", OPENAT, 1, ENOSPC, JEM_EIO, false, "No space left"},
    {"create it, interrupted", OPENAT, 1, EINTR, JEM_OK, true, ""},
    {"its name is taken", OPENAT, 1, EEXIST, JEM_OK, true, ""},
    {"all names are taken", OPENAT, 0, EEXIST, JEM_EIO, false, "File exists"},
    {"keep the owner", FCHOWN, 1, EPERM, JEM_OK, true, ""},
    {"keep the permissions", FCHMOD, 1, EPERM, JEM_EIO, false, "keep the permissions of"},
    {"first write", WRITE, 1, EIO, JEM_EIO, false, "Input/output error"},
    {"first write, full disk", WRITE, 1, ENOSPC, JEM_EIO, false, "No space left on device"},
    {"first write, quota", WRITE, 1, EDQUOT, JEM_EIO, false, "quota"},
    {"first write, interrupted", WRITE, 1, EINTR, JEM_OK, true, ""},
    {"first write, short", WRITE, 1, SHORT, JEM_OK, true, ""},
    {"all writes short", WRITE, 0, SHORT, JEM_OK, true, ""},
    {"write of nothing", WRITE, 1, NOTHING, JEM_EIO, false, "cannot write"},
    {"first write, errno of the future", WRITE, 1, 4095, JEM_EIO, false, "error 4095"},
    {"second write", WRITE, 2, EIO, JEM_EIO, false, "Input/output error"},
    {"second write, full disk", WRITE, 2, ENOSPC, JEM_EIO, false, "No space left"},
    {"second write, interrupted", WRITE, 2, EINTR, JEM_OK, true, ""},
    {"fsync", FSYNC, 1, EIO, JEM_EIO, false, "cannot write"},
    {"fsync, full disk", FSYNC, 1, ENOSPC, JEM_EIO, false, "No space left"},
    {"fsync, interrupted", FSYNC, 1, EINTR, JEM_OK, true, ""},
    {"close", CLOSE, 1, EIO, JEM_EIO, false, "cannot close"},
    {"close, quota", CLOSE, 1, EDQUOT, JEM_EIO, false, "cannot close"},
    {"close, interrupted", CLOSE, 1, EINTR, JEM_OK, true, ""},
    {"rename", RENAMEAT, 1, EIO, JEM_EIO, false, "cannot replace"},
    {"rename on a full disk", RENAMEAT, 1, ENOSPC, JEM_EIO, false, "cannot replace"},
    {"fsync of the directory", FSYNC, 2, EIO, JEM_EIO, true, "make sure of the new name"},
    {"fsync of the directory, interrupted", FSYNC, 2, EINTR, JEM_OK, true, ""},
    {"fsync of a directory that has none", FSYNC, 2, EINVAL, JEM_OK, true, ""},
};

START_TEST(fault_is_survived)
{
    const fault_row *row = &faults[_i];
    start(true);
    const jem_status status = write_with(row->call, row->nth, row->error);
    ck_assert_msg(status == row->status, "%s: %s %s", row->name, jemi_status_name(status),
                  jemi_last_message());
    if (status != JEM_OK) {
        ck_assert_msg(strstr(jemi_last_message(), row->word) != NULL, "%s: %s", row->name,
                      jemi_last_message());
        ck_assert_ptr_nonnull(strstr(jemi_last_message(), path));
    }
    ck_assert_msg(strcmp(get(path), row->replaced ? new_text : old_text) == 0, "%s: '%s'",
                  row->name, get(path));
    ck_assert_msg(count_entries(folder) == 1, "%s: temporary file left", row->name);
}
END_TEST

// The table above cannot forget a call: here each call made fails, whichever it is, once and from
// then on.
static const int errors[] = {EIO, ENOSPC, EACCES, ENOENT, EDQUOT, EINTR};

static void fail_each_call(int error, bool exists)
{
    const char *before = exists ? old_text : "";
    for (int nth = 1;; nth++) {
        start(exists);
        const jem_status status = write_with(ANY, nth, error);
        const bool reached = fault.n_calls >= nth;
        const char *text = get(path);
        const bool is_new = strcmp(text, new_text) == 0;
        ck_assert_msg(is_new || (status == JEM_EIO && strcmp(text, before) == 0),
                      "call %d, errno %d: %s, '%s'", nth, error, jemi_status_name(status), text);
        if (is_new && status != JEM_OK)
            ck_assert_ptr_nonnull(strstr(jemi_last_message(), "make sure of the new name"));
        ck_assert_msg(count_entries(folder) == (exists || is_new), "call %d: temporary left", nth);
        if (!reached) {
            ck_assert_int_eq(status, JEM_OK);
            ck_assert_int_ge(nth, 10);
            return;
        }
    }
}

START_TEST(any_call_fails)
{
    for (int exists = 0; exists < 2; exists++) {
        fault.on = false;
        fail_each_call(errors[_i], exists != 0);
        fault.on = errors[_i] != EINTR; // that for ever is nobody's
        fail_each_call(errors[_i], exists != 0);
    }
}
END_TEST

/* ---- keeping what was there ----------------------------------------------------------------- */

static const char older_text[] = "the contents before the old ones";
static char kept[80]; /* path.prev */

static void start_keeping(void)
{
    snprintf(kept, sizeof kept, "%s" JEMI_FILE_PREVIOUS, path);
    start(true);
    unlink(kept);
    put(kept, older_text);
}

static jem_status write_keeping(const char *target)
{
    const jemi_part part = {new_text, sizeof new_text - 1};
    return jemi_file_write_keeping(target, &part, 1);
}

static bool is_text(const char *name, const char *text)
{
    return strcmp(get(name), text) == 0;
}

START_TEST(keeps_what_was_there)
{
    start_keeping();
    ck_assert_int_eq(write_by(write_keeping, NO_CALL, 0, 0), JEM_OK);
    ck_assert(is_text(path, new_text) && is_text(kept, old_text));
    ck_assert_int_eq(count_entries(folder), 2);
    // As a kill between the two renames leaves it: both names are of one file.
    unlink(kept);
    ck_assert_int_eq(link(path, kept), 0);
    ck_assert_int_eq(write_keeping(path), JEM_OK);
    ck_assert(is_text(path, new_text) && is_text(kept, new_text));
    ck_assert_int_eq(count_entries(folder), 2);
    unlink(path);
    ck_assert_int_eq(write_keeping(path), JEM_OK); // nothing to keep
    ck_assert_int_eq(count_entries(folder), 2);
    unlink(kept);
}
END_TEST

START_TEST(file_system_without_links)
{
    static const int refusals[] = {EPERM, ENOTSUP, ENOSYS, EMLINK};
    for (int i = 0; i < COUNT(refusals); i++) {
        start_keeping();
        ck_assert_int_eq(write_by(write_keeping, LINKAT, 0, refusals[i]), JEM_OK);
        ck_assert(is_text(path, new_text) && is_text(kept, old_text));
        ck_assert_int_eq(count_entries(folder), 2);
    }
    unlink(kept);
}
END_TEST

START_TEST(any_call_fails_while_keeping)
{
    const int error = errors[_i];
    for (int nth = 1, reached = 1; reached; nth++) {
        start_keeping();
        const jem_status status = write_by(write_keeping, ANY, nth, error);
        reached = fault.n_calls >= nth;
        const bool is_new = is_text(path, new_text);
        ck_assert_msg(is_new || (status == JEM_EIO && is_text(path, old_text)),
                      "call %d, errno %d: '%s'", nth, error, get(path));
        const bool denied = error == ENOENT && nth == 2; // then nothing seemed to be there to keep
        ck_assert_msg(is_text(kept, old_text) || ((!is_new || denied) && is_text(kept, older_text)),
                      "call %d, errno %d: kept '%s'", nth, error, get(kept));
        ck_assert_msg(count_entries(folder) == 2, "call %d: temporary left", nth);
        ck_assert(reached || (status == JEM_OK && nth > 14));
    }
    unlink(kept);
}
END_TEST

START_TEST(target_in_the_root)
{
    const surroundings before = look_around();
    fault.call = OPENAT; // so that nothing is made there
    fault.nth = 1;
    fault.error = EROFS;
    fault.n_calls = 0;
    const jem_status status = write_new("/jem-test-target");
    fault.call = NO_CALL;
    check_surroundings(&before);
    ck_assert_int_eq(status, JEM_EIO);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "temporary file beside '/jem-test-target'"));
}
END_TEST

// A temporary file of the next number, as a killed process of our id may have left it.
START_TEST(stale_temporary_file)
{
    start(true);
    ck_assert_int_eq(write_new(path), JEM_OK);
    int number;
    char stale[512];
    ck_assert_int_eq(sscanf(strrchr(temp_name, '-'), "-%d.tmp", &number), 1);
    const int front = (int)(strrchr(temp_name, '-') - temp_name);
    snprintf(stale, sizeof stale, "%s/%.*s-%d.tmp", folder, front, temp_name, number + 1);
    put(stale, "stale");
    ck_assert_int_eq(write_new(path), JEM_OK);
    ck_assert_str_eq(get(path), new_text);
    ck_assert_str_eq(get(stale), "stale");
    unlink(stale);
    ck_assert_int_eq(count_entries(folder), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_faults");
    TCase *tests = tcase_create("faults");
    tcase_add_loop_test(tests, fault_is_survived, 0, COUNT(faults));
    tcase_add_loop_test(tests, any_call_fails, 0, COUNT(errors));
    tcase_add_test(tests, keeps_what_was_there);
    tcase_add_test(tests, file_system_without_links);
    tcase_add_loop_test(tests, any_call_fails_while_keeping, 0, COUNT(errors));
    tcase_add_test(tests, target_in_the_root);
    tcase_add_test(tests, stale_temporary_file);
    suite_add_tcase(suite, tests);
    return run_in_folder(suite);
}
