/*
 * Sources by POSIX calls.
 *
 * A file is opened without blocking, and only then asked what it is: between a look at the path and
 * its opening another file could take its place.
 */
#include "io/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/status.h"
#include "io/file_target.h"

// Runs `call` again as long as a signal interrupts it.
#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

static jem_status fail_kind(const jemi_source *source, const char *kind)
{
    return jemi_fail(JEM_EIO, "cannot read '%.300s': it is %s; expected a regular file or a pipe",
                     source->path, kind);
}

// Pipes that have no name lie in a file system of their own.
static bool is_anonymous(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

// Its writer may take its time. The flags belong to this opening of the pipe, not to others.
static jem_status make_waiting(const jemi_source *source)
{
    const int flags = fcntl(source->fd, F_GETFL);
    if (flags < 0 || fcntl(source->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return jemi_fail_errno(errno, "read", source->path);
    return JEM_OK;
}

// A duplicate shares its flags with the descriptor that it is of, whose owner has set them.
static jem_status open_pipe(jemi_source *source)
{
    if (!source->duplicated) {
        if (!is_anonymous(source->fd))
            return fail_kind(source, "a named pipe");
        JEMI_TRY(make_waiting(source));
    }
    source->is_pipe = true;
    source->size = JEMI_PIPE_MAX;
    return JEM_OK;
}

static jem_status identify(jemi_source *source)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0)
        return jemi_fail_errno(errno, "read", source->path);
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
        return open_pipe(source);
    if (S_ISDIR(st.st_mode))
        return jemi_fail_errno(EISDIR, "read", source->path);
    if (!S_ISREG(st.st_mode))
        return fail_kind(source, "a device or socket");
    const off_t at = source->duplicated ? lseek(source->fd, 0, SEEK_CUR) : 0;
    if (at < 0)
        return jemi_fail_errno(errno, "read", source->path);
    source->size = at < st.st_size ? (size_t)(st.st_size - at) : 0;
    return JEM_OK;
}

int jemi_source_descriptor(const char *path, bool *duplicated)
{
    int fd;
    *duplicated = false;
    RETRY(fd, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    const int error = errno;
    if (fd >= 0 || (error != EACCES && error != ENXIO))
        return fd;
    jemi_target target;
    if (jemi_target_find(&target, path) == JEM_OK && target.descriptor >= 0)
        fd = fcntl(target.descriptor, F_DUPFD_CLOEXEC, 3);
    *duplicated = fd >= 0;
    errno = error;
    return fd;
}

jem_status jemi_source_open(jemi_source *source, const char *path)
{
    *source = (jemi_source){.path = path};
    source->fd = jemi_source_descriptor(path, &source->duplicated);
    jem_status status = source->fd >= 0 ? identify(source) : jemi_fail_errno(errno, "open", path);
    if (status == JEM_OK)
        return JEM_OK;
    if (source->fd >= 0)
        close(source->fd);
    *source = (jemi_source){0};
    return status;
}

jem_status jemi_source_read(jemi_source *source, void *data, size_t size, size_t *got)
{
    for (*got = 0; *got < size;) {
        ssize_t n;
        RETRY(n, read(source->fd, (char *)data + *got, size - *got));
        if (n < 0)
            return jemi_fail_errno(errno, "read", source->path);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return JEM_OK;
}

jem_status jemi_source_skip(jemi_source *source, size_t size)
{
    if (!source->is_pipe) {
        if (lseek(source->fd, (off_t)size, SEEK_CUR) < 0)
            return jemi_fail_errno(errno, "read", source->path);
        return JEM_OK;
    }
    char scraps[4096];
    for (size_t got = 1; size > 0 && got > 0; size -= got)
        JEMI_TRY(
            jemi_source_read(source, scraps, size < sizeof scraps ? size : sizeof scraps, &got));
    return JEM_OK;
}

void jemi_source_close(jemi_source *source)
{
    if (source->path != NULL)
        close(source->fd);
    *source = (jemi_source){0};
}
