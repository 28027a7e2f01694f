/*
 * Writing by POSIX calls.
 *
 * A file without a name (O_TMPFILE) in the target's directory, or where there are none one with a
 * temporary name, is filled, fsynced and closed before it gets the target's name; then the
 * directory is fsynced. Until that nothing has touched the old file. Only a rename can replace it,
 * and that wants a name, which a nameless file gets for the moment between two calls. Where the old
 * file is to be kept, a second name for it is made first, so that its own never vanishes.
 */
#define _GNU_SOURCE // O_TMPFILE, O_PATH

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/status.h"
#include "base/text.h"
#include "io/held_signals.h"

// Runs `call` again as long as a signal interrupts it.
#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

static const char *name_of(const jemi_writer *w)
{
    return jemi_target_name(&w->target);
}

static bool replaces(const jemi_writer *w)
{
    return w->target.kind == JEMI_TARGET_FILE;
}

// ---- opening -----------------------------------------------------------------------------------

// A descriptor of ours is written where it stands: /dev/stdout after what was printed before.
static jem_status open_stream(jemi_writer *w)
{
    if (w->target.descriptor >= 0)
        w->fd = fcntl(w->target.descriptor, F_DUPFD_CLOEXEC, 3);
    else
        RETRY(w->fd, open(w->path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC));
    return w->fd >= 0 ? JEM_OK : jemi_fail_errno(errno, "open", w->path);
}

// One that may be written but not listed can be entered all the same; it cannot be fsynced.
static jem_status open_directory(jemi_writer *w)
{
    char directory[PATH_MAX];
    jemi_target_directory(&w->target, directory);
    RETRY(w->dir, open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (w->dir < 0 && errno == EACCES)
        RETRY(w->dir, open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
    return w->dir >= 0 ? JEM_OK : jemi_fail_errno(errno, "open the directory of", w->path);
}

// A new file gets the host's umask; one that replaces another is private until it has the other's
// permissions.
static unsigned first_mode(const jemi_writer *w)
{
    return replaces(w) ? 0600 : 0666;
}

// The name of an open file by which it can be linked.
enum { FD_PATH_SIZE = 32 };
static const char *fd_path(int fd, char path[FD_PATH_SIZE])
{
    jemi_format(path, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
    return path;
}

// -1 where the file system has no files without names, or /proc is missing, by which they are named.
static int open_unnamed(const jemi_writer *w)
{
    char path[FD_PATH_SIZE];
    int fd;
    RETRY(fd, openat(w->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, first_mode(w)));
    if (fd < 0 || faccessat(AT_FDCWD, fd_path(fd, path), F_OK, 0) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    flock(fd, LOCK_EX | LOCK_NB); // nobody else can have it yet
    return fd;
}

static jem_status copy_permissions(const jemi_writer *w)
{
    const struct stat *old = &w->target.st;
    if (!replaces(w))
        return JEM_OK;
    // Only root can keep a foreign owner; a file that changes hands is better than none.
    const int owner_kept = fchown(w->fd, old->st_uid, old->st_gid);
    (void)owner_kept;
    // Some file systems have one mode for all files, and refuse others.
    struct stat now;
    const bool same = fstat(w->fd, &now) == 0 && (now.st_mode & 0777) == (old->st_mode & 0777);
    if (!same && fchmod(w->fd, old->st_mode & 0777) != 0)
        return jemi_fail_errno(errno, "keep the permissions of", w->path);
    return JEM_OK;
}

static jem_status open_new_file(jemi_writer *w)
{
    JEMI_TRY(open_directory(w));
    jemi_temp_clean(w->dir, name_of(w));
    w->fd = open_unnamed(w);
    if (w->fd < 0) {
        w->fd = jemi_temp_create(w->dir, name_of(w), first_mode(w), w->temp);
        w->named = w->fd >= 0;
    }
    // Now and not at the end, where a lack of descriptors would cost what was written.
    if (w->fd >= 0)
        w->lock = fcntl(w->fd, F_DUPFD_CLOEXEC, 3);
    if (w->fd < 0 || w->lock < 0)
        return jemi_fail_errno(errno, "create a temporary file beside", w->path);
    return copy_permissions(w);
}

static bool is_stream(const jemi_writer *w)
{
    return w->target.kind == JEMI_TARGET_STREAM;
}

static jem_status open_writer(jemi_writer *w, const char *path, bool keeps)
{
    w->path = path;
    w->keeps = keeps;
    w->dir = w->fd = w->lock = -1;
    w->named = false;
    jem_status status = jemi_target_find(&w->target, path);
    if (status == JEM_OK)
        status = is_stream(w) ? open_stream(w) : open_new_file(w);
    if (status != JEM_OK)
        jemi_writer_discard(w);
    return status;
}

jem_status jemi_writer_open(jemi_writer *w, const char *path)
{
    return open_writer(w, path, false);
}

static void close_all(jemi_writer *w)
{
    int *const descriptors[] = {&w->fd, &w->lock, &w->dir};
    for (int i = 0; i < 3; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
}

void jemi_writer_discard(jemi_writer *w)
{
    if (w->named)
        unlinkat(w->dir, w->temp, 0);
    w->named = false;
    close_all(w);
}

// ---- writing -----------------------------------------------------------------------------------

jem_status jemi_writer_write(jemi_writer *w, const void *data, size_t size)
{
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t n;
        RETRY(n, write(w->fd, at, size));
        if (n <= 0)
            return jemi_fail_errno(n < 0 ? errno : EIO, "write", w->path);
        at += n;
        size -= (size_t)n;
    }
    return JEM_OK;
}

// ---- the end -----------------------------------------------------------------------------------

// What is no file says EINVAL, or EROFS: it keeps nothing.
static jem_status sync_file(const jemi_writer *w)
{
    int failed;
    RETRY(failed, fsync(w->fd));
    if (failed == 0 || (is_stream(w) && (errno == EINVAL || errno == EROFS || errno == ENOTSUP)))
        return JEM_OK;
    return jemi_fail_errno(errno, "write", w->path);
}

// EINTR of close() on Linux: it is closed, and fsync has vouched for the data.
static jem_status close_file(jemi_writer *w)
{
    const int failed = close(w->fd);
    w->fd = -1;
    return failed == 0 || errno == EINTR ? JEM_OK : jemi_fail_errno(errno, "close", w->path);
}

// File systems that cannot fsync a directory say EINVAL, one that may not be listed EBADF; there is
// nothing more to do for them.
static jem_status sync_directory(const jemi_writer *w)
{
    int failed;
    RETRY(failed, fsync(w->dir));
    if (failed == 0 || errno == EINVAL || errno == EBADF)
        return JEM_OK;
    return jemi_fail_errno(errno, "make sure of the new name of the written", w->path);
}

static int link_unnamed(void *user, int dir, const char *name)
{
    const jemi_writer *w = user;
    char path[FD_PATH_SIZE];
    return linkat(AT_FDCWD, fd_path(w->lock, path), dir, name, AT_SYMLINK_FOLLOW);
}

static int link_old(void *user, int dir, const char *name)
{
    const jemi_writer *w = user;
    return linkat(dir, name_of(w), dir, name, 0);
}

// A second name for the old file, by way of a link, as renaming would leave a moment without the
// first. A rename onto another name of the same file does nothing, hence the unlink. ENOENT: nobody
// holds the old file, so another writer may have taken the link for left over.
static int link_previous(jemi_writer *w, const char *previous)
{
    enum { TRIES = 10 };
    char temp[JEMI_TEMP_SIZE];
    int failed = -1;
    for (int tries = 0; tries < TRIES && failed != 0; tries++) {
        if (jemi_temp_take(w->dir, name_of(w), link_old, w, temp) != 0)
            return -1;
        failed = renameat(w->dir, temp, w->dir, previous);
        const int error = errno;
        unlinkat(w->dir, temp, 0);
        errno = error;
        if (failed != 0 && error != ENOENT)
            return -1;
    }
    return failed;
}

static bool cannot_link(int error)
{
    return error == EPERM || error == ENOTSUP || error == ENOSYS || error == EMLINK;
}

static jem_status keep_previous(jemi_writer *w)
{
    char previous[NAME_MAX + 1];
    if (!w->keeps || !replaces(w))
        return JEM_OK;
    if (jemi_format(previous, sizeof previous, "%s" JEMI_FILE_PREVIOUS, name_of(w)) > NAME_MAX)
        return jemi_fail_errno(ENAMETOOLONG, "keep the previous", w->path);
    int failed = link_previous(w, previous);
    if (failed != 0 && cannot_link(errno))
        failed = renameat(w->dir, name_of(w), w->dir, previous);
    return failed == 0 ? JEM_OK : jemi_fail_errno(errno, "keep the previous", w->path);
}

// Only rename() can replace a file.
static int rename_over(jemi_writer *w)
{
    if (!w->named) {
        if (jemi_temp_take(w->dir, name_of(w), link_unnamed, w, w->temp) != 0)
            return -1;
        w->named = true;
    }
    const int failed = renameat(w->dir, w->temp, w->dir, name_of(w));
    w->named = failed != 0;
    return failed;
}

static jem_status take_name(jemi_writer *w)
{
    int failed = -1;
    JEMI_TRY(keep_previous(w));
    if (!w->named && !replaces(w))
        RETRY(failed, link_unnamed(w, w->dir, name_of(w)));
    if (w->named || replaces(w) || (failed != 0 && errno == EEXIST))
        failed = rename_over(w);
    return failed == 0 ? JEM_OK : jemi_fail_errno(errno, "replace", w->path);
}

static jem_status commit_file(jemi_writer *w)
{
    JEMI_TRY(sync_file(w));
    JEMI_TRY(close_file(w));
    JEMI_TRY(take_name(w));
    return sync_directory(w);
}

static jem_status commit_stream(jemi_writer *w)
{
    JEMI_TRY(sync_file(w));
    return close_file(w);
}

jem_status jemi_writer_commit(jemi_writer *w)
{
    const jem_status status = is_stream(w) ? commit_stream(w) : commit_file(w);
    jemi_writer_discard(w);
    return status;
}

// ---- whole files -------------------------------------------------------------------------------

static jem_status write_parts(jemi_writer *w, const jemi_part *parts, size_t n_parts)
{
    for (size_t i = 0; i < n_parts; i++)
        JEMI_TRY(jemi_writer_write(w, parts[i].data, parts[i].size));
    return JEM_OK;
}

static jem_status write_file(const char *path, bool keeps, const jemi_part *parts, size_t n_parts)
{
    jemi_writer w;
    jemi_held_signals signals;
    jemi_signals_hold(&signals);
    jem_status status = open_writer(&w, path, keeps);
    if (status == JEM_OK) {
        status = write_parts(&w, parts, n_parts);
        if (status == JEM_OK)
            status = jemi_writer_commit(&w);
        else
            jemi_writer_discard(&w);
    }
    jemi_signals_release(&signals);
    return status;
}

jem_status jemi_file_write_atomic(const char *path, const jemi_part *parts, size_t n_parts)
{
    return write_file(path, false, parts, n_parts);
}

jem_status jemi_file_write_keeping(const char *path, const jemi_part *parts, size_t n_parts)
{
    return write_file(path, true, parts, n_parts);
}

jem_status jemi_file_previous(const char *path, char *previous, size_t size)
{
    jemi_target target;
    JEMI_TRY(jemi_target_find(&target, path));
    if (jemi_format(previous, size, "%s" JEMI_FILE_PREVIOUS, target.path) >= (int)size)
        return jemi_fail_errno(ENAMETOOLONG, "open", path);
    return JEM_OK;
}

// A pipe is not opened, as its reader would see it end.
jem_status jemi_file_check(const char *path)
{
    jemi_target target;
    jemi_writer w;
    JEMI_TRY(jemi_target_find(&target, path));
    if (target.kind == JEMI_TARGET_STREAM)
        return access(path, W_OK) == 0 ? JEM_OK : jemi_fail_errno(errno, "write", path);
    if (strlen(jemi_target_name(&target)) > NAME_MAX)
        return jemi_fail_errno(ENAMETOOLONG, "write", path);
    JEMI_TRY(open_writer(&w, path, false));
    jemi_writer_discard(&w);
    return JEM_OK;
}

// ---- identity ----------------------------------------------------------------------------------

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
