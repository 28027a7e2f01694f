/*
 * Writing files by POSIX calls.
 *
 * A temporary file beside the target, in the same directory handle, is filled, fsynced and
 * closed before it takes the target's name; then the directory is fsynced. Until the rename nothing
 * has touched the old file; a failure before it removes the temporary one. Where the old file is to
 * be kept, a second name for it is made first, so that its own never vanishes. SIGXFSZ, which would
 * kill the host at its file size limit, is held back meanwhile, so that write() says EFBIG instead.
 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "base/text.h"

// JEM_EIO: "cannot <verb> '<path>': <reason>".
static jem_status fail_errno(const char *verb, const char *path, int error)
{
    return jemi_fail_errno(error, verb, path);
}

// Runs `call` again as long as a signal interrupts it.
#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

// ---- the file size signal ----------------------------------------------------------------------

typedef struct size_signal {
    sigset_t mask; // the host's
    bool pending;  // the host held one back already
} size_signal;

static bool size_signal_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGXFSZ) == 1;
}

static void size_signal_block(size_signal *s)
{
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGXFSZ);
    s->pending = size_signal_pending();
    pthread_sigmask(SIG_BLOCK, &block, &s->mask);
}

// Takes away the signal that our write caused, and only that.
static void size_signal_restore(const size_signal *s)
{
    if (!s->pending && size_signal_pending()) {
        sigset_t drain;
        sigemptyset(&drain);
        sigaddset(&drain, SIGXFSZ);
        sigtimedwait(&drain, NULL, &(struct timespec){0, 0});
    }
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

// ---- writing -----------------------------------------------------------------------------------

typedef struct writer {
    const char *path;    // as the caller said it, for messages
    char real[PATH_MAX]; // what it means; its last slash is cut
    const char *name;    // within the directory
    int dir;
    bool keeps; // the old file
    bool exists;
    struct stat old; // if it exists
    char temp[NAME_MAX + 1];
    int fd; // of the temporary file
} writer;

// A symbolic link is followed, as open() would: whoever linked "model" to a file on another disk
// wants the data there.
static jem_status resolve(const char *path, char real[PATH_MAX])
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        if (realpath(path, real) == NULL)
            return fail_errno("follow the link", path, errno);
    } else if (strlen(path) < PATH_MAX) {
        memcpy(real, path, strlen(path) + 1);
    } else {
        return fail_errno("write", path, ENAMETOOLONG);
    }
    return JEM_OK;
}

// Directories, devices, pipes and sockets are not replaced by a file.
static jem_status find_target(writer *w)
{
    JEMI_TRY(resolve(w->path, w->real));
    w->exists = lstat(w->real, &w->old) == 0;
    if (!w->exists && errno != ENOENT)
        return fail_errno("write", w->path, errno);
    if (w->exists && !S_ISREG(w->old.st_mode))
        return jemi_fail(JEM_EIO, "cannot write '%.300s': it exists and is no regular file",
                         w->path);
    return JEM_OK;
}

static jem_status open_directory(writer *w)
{
    char *slash = strrchr(w->real, '/');
    w->name = slash != NULL ? slash + 1 : w->real;
    if (*w->name == '\0')
        return fail_errno("write", w->path, *w->real == '\0' ? ENOENT : EISDIR);
    const char *dir = slash == NULL ? "." : slash == w->real ? "/" : w->real;
    if (slash != NULL)
        *slash = '\0';
    RETRY(w->dir, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return w->dir >= 0 ? JEM_OK : fail_errno("open the directory of", w->path, errno);
}

enum { NAME_TRIES = 1000 };

// ".name.<pid>-<number>.tmp"; the number skips what a killed process of the same id left.
static void make_temp_name(const writer *w, char temp[NAME_MAX + 1])
{
    static atomic_uint counter;
    const unsigned number = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    jemi_format(temp, NAME_MAX + 1, ".%.200s.%ld-%u.tmp", w->name, (long)getpid(), number);
}

static jem_status open_temp(writer *w)
{
    for (int tries = 0; tries < NAME_TRIES; tries++) {
        make_temp_name(w, w->temp);
        // A new file gets the host's umask; one that replaces another is private until it has
        // the other's permissions.
        RETRY(w->fd, openat(w->dir, w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                            w->exists ? 0600 : 0666));
        if (w->fd >= 0 || errno != EEXIST)
            break;
    }
    return w->fd >= 0 ? JEM_OK : fail_errno("create a temporary file beside", w->path, errno);
}

static jem_status copy_permissions(const writer *w)
{
    if (!w->exists)
        return JEM_OK;
    // Only root can keep a foreign owner; a file that changes hands is better than none.
    const int owner_kept = fchown(w->fd, w->old.st_uid, w->old.st_gid);
    (void)owner_kept;
    if (fchmod(w->fd, w->old.st_mode & 0777) != 0)
        return fail_errno("keep the permissions of", w->path, errno);
    return JEM_OK;
}

static jem_status write_part(const writer *w, const jemi_part *part)
{
    const unsigned char *at = part->data;
    for (size_t left = part->size; left > 0;) {
        ssize_t n;
        RETRY(n, write(w->fd, at, left));
        if (n <= 0)
            return fail_errno("write", w->path, n < 0 ? errno : EIO);
        at += n;
        left -= (size_t)n;
    }
    return JEM_OK;
}

static jem_status fill_temp(const writer *w, const jemi_part *parts, size_t n_parts)
{
    JEMI_TRY(copy_permissions(w));
    for (size_t i = 0; i < n_parts; i++)
        JEMI_TRY(write_part(w, &parts[i]));
    int failed;
    RETRY(failed, fsync(w->fd));
    return failed == 0 ? JEM_OK : fail_errno("write", w->path, errno);
}

// EINTR of close() on Linux: it is closed, and fsync has vouched for the data.
static jem_status close_temp(const writer *w, jem_status status)
{
    if (close(w->fd) == 0 || errno == EINTR || status != JEM_OK)
        return status;
    return fail_errno("close", w->path, errno);
}

// File systems that cannot fsync a directory say EINVAL; there is nothing more to do on them.
static jem_status sync_directory(const writer *w)
{
    int failed;
    RETRY(failed, fsync(w->dir));
    if (failed == 0 || errno == EINVAL)
        return JEM_OK;
    return fail_errno("make sure of the new name of the written", w->path, errno);
}

// A second name for the old file, by way of a link, as renaming would leave a moment without the
// first. A rename onto another name of the same file does nothing, hence the unlink.
static int link_previous(const writer *w, const char *previous)
{
    char temp[NAME_MAX + 1];
    int failed = -1;
    for (int tries = 0; tries < NAME_TRIES && failed != 0; tries++) {
        make_temp_name(w, temp);
        RETRY(failed, linkat(w->dir, w->name, w->dir, temp, 0));
        if (failed != 0 && errno != EEXIST)
            return failed;
    }
    if (failed == 0) {
        failed = renameat(w->dir, temp, w->dir, previous);
        const int error = errno;
        unlinkat(w->dir, temp, 0);
        errno = error;
    }
    return failed;
}

static bool cannot_link(int error)
{
    return error == EPERM || error == ENOTSUP || error == ENOSYS || error == EMLINK;
}

static jem_status keep_previous(const writer *w)
{
    char previous[NAME_MAX + 1];
    if (!w->keeps || !w->exists)
        return JEM_OK;
    if (jemi_format(previous, sizeof previous, "%s" JEMI_FILE_PREVIOUS, w->name) > NAME_MAX)
        return fail_errno("keep the previous", w->path, ENAMETOOLONG);
    int failed = link_previous(w, previous);
    if (failed != 0 && cannot_link(errno))
        failed = renameat(w->dir, w->name, w->dir, previous);
    return failed == 0 ? JEM_OK : fail_errno("keep the previous", w->path, errno);
}

static jem_status replace(writer *w, const jemi_part *parts, size_t n_parts)
{
    JEMI_TRY(open_temp(w));
    jem_status status = close_temp(w, fill_temp(w, parts, n_parts));
    if (status == JEM_OK)
        status = keep_previous(w);
    if (status == JEM_OK && renameat(w->dir, w->temp, w->dir, w->name) != 0)
        status = fail_errno("replace", w->path, errno);
    if (status != JEM_OK) {
        unlinkat(w->dir, w->temp, 0);
        return status;
    }
    return sync_directory(w);
}

static jem_status write_file(writer *w, const jemi_part *parts, size_t n_parts)
{
    JEMI_TRY(find_target(w));
    JEMI_TRY(open_directory(w));
    size_signal signal_before;
    size_signal_block(&signal_before);
    const jem_status status = replace(w, parts, n_parts);
    size_signal_restore(&signal_before);
    close(w->dir);
    return status;
}

jem_status jemi_file_write_atomic(const char *path, const jemi_part *parts, size_t n_parts)
{
    return write_file(&(writer){.path = path, .dir = -1, .fd = -1}, parts, n_parts);
}

jem_status jemi_file_write_keeping(const char *path, const jemi_part *parts, size_t n_parts)
{
    return write_file(&(writer){.path = path, .keeps = true, .dir = -1, .fd = -1}, parts, n_parts);
}

jem_status jemi_file_previous(const char *path, char *previous, size_t size)
{
    char real[PATH_MAX];
    JEMI_TRY(resolve(path, real));
    if (jemi_format(previous, size, "%s" JEMI_FILE_PREVIOUS, real) >= (int)size)
        return fail_errno("open", path, ENAMETOOLONG);
    return JEM_OK;
}

jemi_file_id jemi_file_identify(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (jemi_file_id){.exists = false};
    return (jemi_file_id){true, (uint64_t)st.st_dev, (uint64_t)st.st_ino};
}

bool jemi_file_is(const char *path, const jemi_file_id *file)
{
    const jemi_file_id now = jemi_file_identify(path);
    return file->exists && now.exists && now.device == file->device && now.number == file->number;
}
