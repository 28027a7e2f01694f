/*
 * Reading files by POSIX calls.
 */
#include "io/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

// JEM_EIO: "cannot <verb> '<path>': <reason>".
static jem_status fail_errno(const char *verb, const char *path, int error)
{
    char reason[96];
    if (strerror_r(error, reason, sizeof reason) != 0)
        jemi_format(reason, sizeof reason, "error %d", error);
    return jemi_fail(JEM_EIO, "cannot %s '%.300s': %s", verb, path, reason);
}

// Runs `call` again as long as a signal interrupts it.
#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

typedef struct contents {
    unsigned char *data;
    size_t size, capacity;
} contents;

static jem_status reserve(contents *c, size_t capacity)
{
    unsigned char *data = jemi_alloc(capacity, 1);
    if (data == NULL)
        return jemi_fail_memory("contents of a file");
    if (c->size > 0)
        memcpy(data, c->data, c->size);
    jemi_free(c->data);
    c->data = data;
    c->capacity = capacity;
    return JEM_OK;
}

static jem_status fail_size(const char *path, size_t size_max)
{
    return jemi_fail(JEM_EFORMAT, "'%.300s' is larger than the %zu bytes it may have", path,
                     size_max);
}

// Room for a whole regular file and one byte, by which its end is noticed; else for a start.
static jem_status reserve_first(int fd, const char *path, size_t size_max, contents *c)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno("read", path, errno);
    if (!S_ISREG(st.st_mode))
        return reserve(c, 64 << 10);
    if ((uintmax_t)st.st_size > size_max)
        return fail_size(path, size_max);
    return reserve(c, (size_t)st.st_size + 1);
}

// Twice as much, but no more than tells that there is too much.
static size_t grown(size_t capacity, size_t size_max)
{
    const size_t more = 2 * capacity; // no block is larger than half the address space
    return more <= size_max ? more : size_max + 1;
}

static jem_status read_all(int fd, const char *path, size_t size_max, contents *c)
{
    JEMI_TRY(reserve_first(fd, path, size_max, c));
    for (;;) {
        if (c->size > size_max)
            return fail_size(path, size_max);
        if (c->size == c->capacity)
            JEMI_TRY(reserve(c, grown(c->capacity, size_max)));
        ssize_t n;
        RETRY(n, read(fd, c->data + c->size, c->capacity - c->size));
        if (n < 0)
            return fail_errno("read", path, errno);
        if (n == 0)
            return JEM_OK;
        c->size += (size_t)n;
    }
}

jem_status jemi_file_read(const char *path, size_t size_max, void **data, size_t *size)
{
    *data = NULL;
    *size = 0;
    int fd;
    RETRY(fd, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (fd < 0)
        return fail_errno("open", path, errno);
    contents c = {0};
    const jem_status status = read_all(fd, path, size_max, &c);
    close(fd);
    if (status != JEM_OK) {
        jemi_free(c.data);
        return status;
    }
    *data = c.data;
    *size = c.size;
    return JEM_OK;
}
