/*
 * lib/io/file_read: what is a source and what is refused at once, and every failure that an
 * operating system can report.
 *
 * This program defines the C library's file calls itself, so the library's calls come here; a fault
 * that is armed is reported in place of one of them. Unarmed, they go on to the kernel.
 */
#define _GNU_SOURCE // memfd_create

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/status.h"
#include "folder.h"
#include "io/file_read.h"

/* ---- faults --------------------------------------------------------------------------------- */

typedef enum call { NO_CALL, OPEN, FSTAT, FCNTL, READ, LSEEK } call;

enum { SHORT = -1 }; /* instead of an errno: one byte at a time */

static struct {
    call call;
    int nth; /* from 1; 0 = every */
    int error;
    int n_calls; /* of that kind so far */
} fault;

static int fault_of(call made)
{
    if (fault.call != made)
        return 0;
    fault.n_calls++;
    return fault.nth == 0 || fault.nth == fault.n_calls ? fault.error : 0;
}

static bool fails(call made)
{
    const int error = fault_of(made);
    if (error > 0)
        errno = error;
    return error > 0;
}

int open(const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

int fstat(int fd, struct stat *st)
{
    return fails(FSTAT) ? -1 : (int)syscall(SYS_fstat, fd, st);
}

int fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    const long argument = va_arg(rest, long);
    va_end(rest);
    return fails(FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

ssize_t read(int fd, void *data, size_t size)
{
    const int error = fault_of(READ);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_read, fd, data, error == SHORT && size > 1 ? 1 : size);
}

off_t lseek(int fd, off_t offset, int whence)
{
    return fails(LSEEK) ? -1 : (off_t)syscall(SYS_lseek, fd, offset, whence);
}

/* ---- regular files -------------------------------------------------------------------------- */

typedef struct fault_row {
    const char *name;
    call call;
    int nth, error;
    jem_status status;
    const char *word;
} fault_row;

static const fault_row faults[] = {
    {"none", NO_CALL, 0, 0, JEM_OK, ""},
    {"open fails", OPEN, 1, EMFILE, JEM_EIO, "cannot open"},
    {"open is interrupted", OPEN, 1, EINTR, JEM_OK, ""},
    {"fstat fails", FSTAT, 1, EIO, JEM_EIO, "cannot open"},
    {"read fails", READ, 1, EIO, JEM_EIO, "Input/output error"},
    {"second read fails", READ, 2, ESTALE, JEM_EIO, "cannot read"},
    {"read is interrupted", READ, 1, EINTR, JEM_OK, ""},
    {"reads are short", READ, 0, SHORT, JEM_OK, ""},
    {"lseek fails", LSEEK, 1, EIO, JEM_EIO, "cannot read"},
};

// Four bytes, four passed over, and the rest, which is shorter than asked for.
static jem_status read_in_pieces(char text[64], size_t *size)
{
    jemi_source source;
    size_t more = 0;
    JEMI_TRY(jemi_source_open(&source, path));
    jem_status status = jemi_source_read(&source, text, 4, size);
    if (status == JEM_OK)
        status = jemi_source_skip(&source, 4);
    if (status == JEM_OK)
        status = jemi_source_read(&source, text + 4, 50, &more);
    *size += more;
    jemi_source_close(&source);
    return status;
}

START_TEST(faults_of_a_regular_file)
{
    const fault_row *row = &faults[_i];
    put(path, old_text);
    const int descriptors = count_entries("/proc/self/fd");
    fault.call = row->call;
    fault.nth = row->nth;
    fault.error = row->error;
    fault.n_calls = 0;
    char text[64] = "";
    size_t size = 0;
    const jem_status status = read_in_pieces(text, &size);
    fault.call = NO_CALL;
    ck_assert_msg(status == row->status, "%s: %s", row->name, jemi_last_message());
    ck_assert_int_eq(count_entries("/proc/self/fd"), descriptors);
    if (status != JEM_OK) {
        ck_assert_int_eq(jemi_last_errno(), row->error);
        ck_assert_msg(strstr(jemi_last_message(), row->word) != NULL, "%s: %s", row->name,
                      jemi_last_message());
        ck_assert_ptr_nonnull(strstr(jemi_last_message(), path));
        return;
    }
    ck_assert_uint_eq(size, sizeof old_text - 1 - 4);
    ck_assert_str_eq(text, "the contents"); // without "old "
}
END_TEST

/* ---- what is no regular file ---------------------------------------------------------------- */

typedef struct refused_row {
    const char *path;
    const char *word;
    int error;
} refused_row;

static const refused_row refused[] = {
    {"/tmp/jem/none", "cannot open '/tmp/jem/none': No such file or directory", ENOENT},
    {"/etc/passwd/none", "Not a directory", ENOTDIR},
    {"", "No such file", ENOENT},
    {"/tmp", "cannot read '/tmp': Is a directory", EISDIR},
    {"/dev/zero", "'/dev/zero': it is a device", 0},
    {"/dev/full", "it is a device", 0},
    {"/dev/null", "it is a device", 0},
    {"/dev/tty", "", -1}, // without a terminal it cannot even be opened
    {"fifo", "it is a named pipe", 0},
    {"written fifo", "it is a named pipe", 0},
    {"socket", "cannot open", ENXIO},
};

static const char *prepare(const char *name)
{
    static char full[sizeof((struct sockaddr_un *)0)->sun_path];
    if (name[0] == '/' || name[0] == '\0')
        return name;
    snprintf(full, sizeof full, "%s/%s", folder, name);
    if (strcmp(name, "socket") == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, full, strlen(full));
        ck_assert_int_eq(
            bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address), 0);
        return full;
    }
    ck_assert_int_eq(mkfifo(full, 0600), 0);
    if (strcmp(name, "written fifo") == 0) // by somebody who never writes
        ck_assert_int_ge(open(full, O_RDWR), 0);
    return full;
}

// None of these may block: the test has 10 seconds.
START_TEST(other_files_are_refused_at_once)
{
    const refused_row *row = &refused[_i];
    const char *name = prepare(row->path);
    const int descriptors = count_entries("/proc/self/fd");
    jemi_source source = {.path = name};
    ck_assert_int_eq(jemi_source_open(&source, name), JEM_EIO);
    ck_assert_ptr_null(source.path);
    jemi_source_close(&source);
    ck_assert_int_eq(count_entries("/proc/self/fd"), descriptors);
    ck_assert_msg(strstr(jemi_last_message(), row->word) != NULL, "%s", jemi_last_message());
    if (row->error >= 0)
        ck_assert_int_eq(jemi_last_errno(), row->error);
    if (row->path[0] != '/')
        unlink(name);
}
END_TEST

/* ---- pipes ---------------------------------------------------------------------------------- */

static int ends[2];

// Late, and in pieces.
static void *feed(void *user)
{
    for (const char *at = user; *at != '\0'; at++) {
        usleep(2000);
        ck_assert_int_eq(write(ends[1], at, 1), 1);
    }
    close(ends[1]);
    return NULL;
}

START_TEST(anonymous_pipe_is_waited_for)
{
    static char text[] = "0123456789";
    char name[32], got_text[16] = "";
    size_t got;
    ck_assert_int_eq(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    pthread_t feeder;
    pthread_create(&feeder, NULL, feed, text);
    jemi_source source;
    ck_assert_int_eq(jemi_source_open(&source, name), JEM_OK);
    ck_assert(source.kind == JEMI_SOURCE_PIPE && source.size == JEMI_PIPE_MAX);
    ck_assert_int_eq(jemi_source_read(&source, got_text, 2, &got), JEM_OK);
    ck_assert_int_eq(jemi_source_skip(&source, 3), JEM_OK);
    ck_assert_int_eq(jemi_source_read(&source, got_text + 2, 10, &got), JEM_OK);
    ck_assert_uint_eq(got, 5);
    ck_assert_str_eq(got_text, "0156789");
    ck_assert_int_eq(jemi_source_skip(&source, 3), JEM_OK); // beyond the end
    jemi_source_close(&source);
    pthread_join(feeder, NULL);
    close(ends[0]);
}
END_TEST

START_TEST(pipe_that_cannot_be_told_to_wait)
{
    char name[32];
    ck_assert_int_eq(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    for (int nth = 1; nth <= 2; nth++) {
        fault.call = FCNTL;
        fault.nth = nth;
        fault.error = EBADF;
        fault.n_calls = 0;
        jemi_source source;
        ck_assert_int_eq(jemi_source_open(&source, name), JEM_EIO);
        ck_assert_int_eq(jemi_last_errno(), EBADF);
        fault.call = NO_CALL;
    }
    close(ends[0]);
    close(ends[1]);
}
END_TEST

// It cannot be opened by its name, as a pipe can.
START_TEST(open_socket_is_read)
{
    char name[32], text[16] = "";
    size_t got;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    ck_assert_int_eq(write(ends[1], "01234", 5), 5);
    close(ends[1]);
    jemi_source source;
    ck_assert_msg(jemi_source_open(&source, name) == JEM_OK, "%s", jemi_last_message());
    ck_assert(source.kind == JEMI_SOURCE_PIPE && source.fd != ends[0]);
    ck_assert_int_eq(jemi_source_skip(&source, 2), JEM_OK);
    ck_assert_int_eq(jemi_source_read(&source, text, 10, &got), JEM_OK);
    ck_assert_str_eq(text, "234");
    jemi_source_close(&source);
    close(ends[0]);
}
END_TEST

// What another user opened for this process is read from where it stands.
START_TEST(descriptor_that_cannot_be_opened_again)
{
    char name[32], text[16] = "";
    size_t got;
    const int fd = memfd_create("foreign", 0);
    ck_assert_int_eq(write(fd, "012345", 6), 6);
    ck_assert_int_eq(lseek(fd, 2, SEEK_SET), 2);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    fault.call = OPEN;
    fault.nth = 1;
    fault.error = EACCES;
    fault.n_calls = 0;
    jemi_source source;
    ck_assert_msg(jemi_source_open(&source, name) == JEM_OK, "%s", jemi_last_message());
    fault.call = NO_CALL;
    ck_assert_uint_eq(source.size, 4);
    ck_assert_int_eq(jemi_source_read(&source, text, 10, &got), JEM_OK);
    ck_assert_str_eq(text, "2345");
    jemi_source_close(&source);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_read");
    TCase *tests = tcase_create("file_read");
    tcase_set_timeout(tests, 10);
    tcase_add_loop_test(tests, faults_of_a_regular_file, 0, COUNT(faults));
    tcase_add_loop_test(tests, other_files_are_refused_at_once, 0, COUNT(refused));
    tcase_add_test(tests, anonymous_pipe_is_waited_for);
    tcase_add_test(tests, pipe_that_cannot_be_told_to_wait);
    tcase_add_test(tests, open_socket_is_read);
    tcase_add_test(tests, descriptor_that_cannot_be_opened_again);
    suite_add_tcase(suite, tests);
    return run_in_folder(suite);
}
