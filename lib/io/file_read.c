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

// Pipes that have no name lie in a file system of their own.
static bool is_anonymous(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

/*
 * Its writer may take its time. The flags belong to this opening of the pipe, not to others; a
 * duplicate shares them with the descriptor that it is of, whose owner has set them.
 */
static int look_at_pipe(jemi_source *source, bool duplicated)
{
    source->kind =
        duplicated || is_anonymous(source->fd) ? JEMI_SOURCE_PIPE : JEMI_SOURCE_NAMED_PIPE;
    source->size = JEMI_PIPE_MAX;
    if (duplicated || source->kind == JEMI_SOURCE_NAMED_PIPE)
        return 0;
    const int flags = fcntl(source->fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(source->fd, F_SETFL, flags & ~O_NONBLOCK);
}

static int look_at_open(jemi_source *source, bool duplicated)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0)
        return -1;
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
        return look_at_pipe(source, duplicated);
    if (!S_ISREG(st.st_mode)) {
        source->kind = S_ISDIR(st.st_mode) ? JEMI_SOURCE_DIRECTORY : JEMI_SOURCE_DEVICE;
        return 0;
    }
    const off_t at = duplicated ? lseek(source->fd, 0, SEEK_CUR) : 0;
    if (at < 0)
        return -1;
    source->kind = JEMI_SOURCE_FILE;
    source->size = at < st.st_size ? (size_t)(st.st_size - at) : 0;
    return 0;
}

// The error of the opening is told, not that of looking for a descriptor.
static int open_or_duplicate(const char *path, bool *duplicated)
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

int jemi_source_look(jemi_source *source, const char *path)
{
    bool duplicated;
    *source = (jemi_source){.path = path, .fd = open_or_duplicate(path, &duplicated)};
    if (source->fd >= 0 && look_at_open(source, duplicated) == 0)
        return 0;
    const int error = errno;
    if (source->fd >= 0)
        close(source->fd);
    *source = (jemi_source){0};
    errno = error;
    return -1;
}

static jem_status check_kind(const jemi_source *source)
{
    switch (source->kind) {
    case JEMI_SOURCE_FILE:
    case JEMI_SOURCE_PIPE:
        return JEM_OK;
    case JEMI_SOURCE_DIRECTORY:
        return jemi_fail_errno(EISDIR, "read", source->path);
    case JEMI_SOURCE_NAMED_PIPE:
    case JEMI_SOURCE_DEVICE:
        break;
    }
    return jemi_fail(JEM_EIO, "cannot read '%.300s': it is %s; expected a regular file or a pipe",
                     source->path,
                     source->kind == JEMI_SOURCE_DEVICE ? "a device or socket" : "a named pipe");
}

jem_status jemi_source_open(jemi_source *source, const char *path)
{
    if (jemi_source_look(source, path) != 0)
        return jemi_fail_errno(errno, "open", path);
    const jem_status status = check_kind(source);
    if (status != JEM_OK)
        jemi_source_close(source);
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
    if (source->kind != JEMI_SOURCE_PIPE) {
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
