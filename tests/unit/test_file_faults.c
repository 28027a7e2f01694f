/*
 * lib/io/file: after every failure that an operating system can report, the target is the old file
 * or the new one, whole, and nothing lies beside it.
 *
 * This program defines the C library's file calls itself, so the library's calls come here; a fault
 * that is armed is reported in place of one of them. Unarmed, they go on to the kernel.
 */
#define _GNU_SOURCE // O_TMPFILE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/file.h>
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
    UNNAMED, /* openat() of a file without a name */
    CREATE,  /* openat() of one with a name */
    LOOK,    /* openat() of what may be left over */
    STAT,
    READLINK,
    FSTATAT,
    FACCESSAT,
    FCNTL,
    FLOCK,
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

static bool names_only; /* a file system without O_TMPFILE */

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

static call openat_of(int flags)
{
    return (flags & O_TMPFILE) == O_TMPFILE ? UNNAMED : flags & O_CREAT ? CREATE : LOOK;
}

int openat(int dir, const char *name, int flags, ...)
{
    int mode = 0;
    va_list rest;
    va_start(rest, flags);
    if (openat_of(flags) != LOOK)
        mode = va_arg(rest, int);
    va_end(rest);
    if (names_only && openat_of(flags) == UNNAMED) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails(openat_of(flags)) ? -1 : (int)syscall(SYS_openat, dir, name, flags, mode);
}

int stat(const char *name, struct stat *st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, name, st, 0);
}

ssize_t readlink(const char *name, char *link, size_t size)
{
    return fails(READLINK) ? -1 : syscall(SYS_readlinkat, AT_FDCWD, name, link, size);
}

int fstatat(int dir, const char *name, struct stat *st, int flags)
{
    return fails(FSTATAT) ? -1 : (int)syscall(SYS_newfstatat, dir, name, st, flags);
}

int faccessat(int dir, const char *name, int mode, int flags)
{
    (void)flags; // 0
    return fails(FACCESSAT) ? -1 : (int)syscall(SYS_faccessat, dir, name, mode);
}

int fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    const long argument = va_arg(rest, long);
    va_end(rest);
    return fails(FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

int flock(int fd, int operation)
{
    return fails(FLOCK) ? -1 : (int)syscall(SYS_flock, fd, operation);
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

typedef enum file_system { BOTH, WITH_UNNAMED, WITHOUT_UNNAMED } file_system;

typedef struct fault_row {
    const char *name;
    call call;
    int nth, error;
    jem_status status;
    bool replaced;
    const char *word;
    file_system on;
} fault_row;

static const fault_row faults[] = {
    {"none", NO_CALL, 1, 0, JEM_OK, true, "", BOTH},
    {"look at the target", STAT, 1, EACCES, JEM_EIO, false, "Permission denied", BOTH},
    {"the target goes away", STAT, 1, ENOENT, JEM_OK, true, "", BOTH},
    {"follow a link", READLINK, 1, EIO, JEM_EIO, false, "Input/output error", BOTH},
    {"open the directory", OPEN, 1, EMFILE, JEM_EIO, false, "open the directory of", BOTH},
    {"open the directory, interrupted", OPEN, 1, EINTR, JEM_OK, true, "", BOTH},
    {"look for what is left over", LOOK, 0, EIO, JEM_OK, true, "", BOTH},
    {"no file without a name", UNNAMED, 1, EISDIR, JEM_OK, true, "", BOTH},
    {"a file without a name, interrupted", UNNAMED, 1, EINTR, JEM_OK, true, "", BOTH},
    {"no /proc", FACCESSAT, 1, ENOENT, JEM_OK, true, "", BOTH},
    {"create the temporary file", CREATE, 1, EROFS, JEM_EIO, false, "temporary file beside",
     WITHOUT_UNNAMED},
    {"create it on a full disk", CREATE, 1, ENOSPC, JEM_EIO, false, "No space left",
     WITHOUT_UNNAMED},
    {"create it, interrupted", CREATE, 1, EINTR, JEM_OK, true, "", BOTH},
    {"its name is taken", CREATE, 1, EEXIST, JEM_OK, true, "", BOTH},
    {"all names are taken", CREATE, 0, EEXIST, JEM_EIO, false, "File exists", WITHOUT_UNNAMED},
    {"no locks", FLOCK, 0, ENOLCK, JEM_OK, true, "", BOTH},
    {"somebody else has the lock", FLOCK, 1, EWOULDBLOCK, JEM_OK, true, "", WITH_UNNAMED},
    {"keep the owner", FCHOWN, 1, EPERM, JEM_OK, true, "", BOTH},
    {"keep the permissions", FCHMOD, 1, EPERM, JEM_EIO, false, "keep the permissions of", BOTH},
    {"first write", WRITE, 1, EIO, JEM_EIO, false, "Input/output error", BOTH},
    {"first write, full disk", WRITE, 1, ENOSPC, JEM_EIO, false, "No space left on device", BOTH},
    {"first write, quota", WRITE, 1, EDQUOT, JEM_EIO, false, "quota", BOTH},
    {"first write, interrupted", WRITE, 1, EINTR, JEM_OK, true, "", BOTH},
    {"first write, short", WRITE, 1, SHORT, JEM_OK, true, "", BOTH},
    {"all writes short", WRITE, 0, SHORT, JEM_OK, true, "", BOTH},
    {"write of nothing", WRITE, 1, NOTHING, JEM_EIO, false, "cannot write", BOTH},
    {"first write, errno of the future", WRITE, 1, 4095, JEM_EIO, false, "error 4095", BOTH},
    {"second write", WRITE, 2, EIO, JEM_EIO, false, "Input/output error", BOTH},
    {"second write, full disk", WRITE, 2, ENOSPC, JEM_EIO, false, "No space left", BOTH},
    {"second write, interrupted", WRITE, 2, EINTR, JEM_OK, true, "", BOTH},
    {"fsync", FSYNC, 1, EIO, JEM_EIO, false, "cannot write", BOTH},
    {"fsync, full disk", FSYNC, 1, ENOSPC, JEM_EIO, false, "No space left", BOTH},
    {"fsync, interrupted", FSYNC, 1, EINTR, JEM_OK, true, "", BOTH},
    {"close", CLOSE, 1, EIO, JEM_EIO, false, "cannot close", BOTH},
    {"close, quota", CLOSE, 1, EDQUOT, JEM_EIO, false, "cannot close", BOTH},
    {"close, interrupted", CLOSE, 1, EINTR, JEM_OK, true, "", BOTH},
    {"one more descriptor", FCNTL, 1, EMFILE, JEM_EIO, false, "Too many open files", BOTH},
    {"name for a moment", LINKAT, 1, EIO, JEM_EIO, false, "cannot replace", WITH_UNNAMED},
    {"name for a moment, interrupted", LINKAT, 1, EINTR, JEM_OK, true, "", BOTH},
    {"name for a moment, taken", LINKAT, 1, EEXIST, JEM_OK, true, "", BOTH},
    {"name for a moment, all taken", LINKAT, 0, EEXIST, JEM_EIO, false, "File exists",
     WITH_UNNAMED},
    {"rename", RENAMEAT, 1, EIO, JEM_EIO, false, "cannot replace", BOTH},
    {"rename on a full disk", RENAMEAT, 1, ENOSPC, JEM_EIO, false, "cannot replace", BOTH},
    {"fsync of the directory", FSYNC, 2, EIO, JEM_EIO, true, "make sure of the new name", BOTH},
    {"fsync of the directory, interrupted", FSYNC, 2, EINTR, JEM_OK, true, "", BOTH},
    {"fsync of a directory that has none", FSYNC, 2, EINVAL, JEM_OK, true, "", BOTH},
};

static void survive_fault(const fault_row *row)
{
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

START_TEST(fault_is_survived)
{
    for (int i = 0; i < 2; i++) {
        names_only = i > 0;
        if (faults[_i].on != (names_only ? WITH_UNNAMED : WITHOUT_UNNAMED))
            survive_fault(&faults[_i]);
    }
    names_only = false;
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
    for (int i = 0; i < 4; i++) {
        const bool exists = (i & 1) != 0;
        names_only = i >= 2;
        fault.on = false;
        fail_each_call(errors[_i], exists);
        fault.on = errors[_i] != EINTR; // that for ever is nobody's
        fail_each_call(errors[_i], exists);
    }
    names_only = false;
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
    names_only = true; // there are no files without names either
    for (int i = 0; i < COUNT(refusals); i++) {
        start_keeping();
        ck_assert_int_eq(write_by(write_keeping, LINKAT, 0, refusals[i]), JEM_OK);
        ck_assert(is_text(path, new_text) && is_text(kept, old_text));
        ck_assert_int_eq(count_entries(folder), 2);
    }
    names_only = false;
    unlink(kept);
}
END_TEST

static void fail_each_call_while_keeping(int error)
{
    for (int nth = 1, reached = 1; reached; nth++) {
        start_keeping();
        const jem_status status = write_by(write_keeping, ANY, nth, error);
        reached = fault.n_calls >= nth;
        const bool is_new = is_text(path, new_text);
        ck_assert_msg(is_new || (status == JEM_EIO && is_text(path, old_text)),
                      "call %d, errno %d: '%s'", nth, error, get(path));
        const bool denied = error == ENOENT && nth == 1; // then nothing seemed to be there to keep
        ck_assert_msg(is_text(kept, old_text) || ((!is_new || denied) && is_text(kept, older_text)),
                      "call %d, errno %d: kept '%s'", nth, error, get(kept));
        ck_assert_msg(count_entries(folder) == 2, "call %d: temporary left", nth);
        ck_assert(reached || (status == JEM_OK && nth > 14));
    }
    unlink(kept);
}

START_TEST(any_call_fails_while_keeping)
{
    fail_each_call_while_keeping(errors[_i]);
    names_only = true;
    fail_each_call_while_keeping(errors[_i]);
    names_only = false;
}
END_TEST

static void *write_often(void *failed)
{
    for (int i = 0; i < 500; i++)
        *(bool *)failed |= write_new(path) != JEM_OK;
    return NULL;
}

START_TEST(threads_that_need_names)
{
    bool failed[3] = {false};
    pthread_t threads[3];
    names_only = true;
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, write_often, &failed[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    names_only = false;
    ck_assert(!failed[0] && !failed[1] && !failed[2] && count_entries(folder) == 1);
}
END_TEST

START_TEST(target_in_the_root)
{
    const surroundings before = look_around();
    names_only = true;
    fault.call = CREATE; // so that nothing is made there
    fault.nth = 1;
    fault.error = EROFS;
    fault.n_calls = 0;
    const jem_status status = write_new("/jem-test-target");
    fault.call = NO_CALL;
    names_only = false;
    check_surroundings(&before);
    ck_assert_int_eq(status, JEM_EIO);
    ck_assert_ptr_nonnull(strstr(jemi_last_message(), "temporary file beside '/jem-test-target'"));
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
    tcase_add_test(tests, threads_that_need_names);
    tcase_add_test(tests, target_in_the_root);
    suite_add_tcase(suite, tests);
    return run_in_folder(suite);
}
