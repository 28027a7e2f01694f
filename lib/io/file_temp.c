/*
 * The names are ".target.jem-<number>.tmp" with the lowest number that is free, so that those left
 * behind are found without a look at the whole directory.
 */
#include "io/file_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum {
    NUMBERS = 1000, // writers of one file at a time
    CLEANED = 8, // numbers looked at by jemi_temp_clean(); more are looked at when it is their turn
    LENGTH_MAX = 100 // bytes of the target's name, as some file systems have short names only
};

static void make_name(const char *name, int number, char temp[JEMI_TEMP_SIZE])
{
    int length = (int)strnlen(name, LENGTH_MAX);
    if (length == LENGTH_MAX)
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
            length--; // no half of a UTF-8 character
    jemi_format(temp, JEMI_TEMP_SIZE, ".%.*s.jem-%d.tmp", length, name, number);
}

// Locks over a network want a file that is open for writing.
static int open_left_over(int dir, const char *temp)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const int fd = openat(dir, temp, O_RDWR | flags);
    return fd >= 0 || errno != EACCES ? fd : openat(dir, temp, O_RDONLY | flags);
}

static bool leads_to(int dir, const char *temp, const struct stat *st)
{
    struct stat now;
    return fstatat(dir, temp, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == st->st_dev &&
           now.st_ino == st->st_ino;
}

// True if the name is free now. Its file may be somebody's target by the time that it is locked,
// but then the name has gone; and as long as we hold the lock, nobody else gives or takes it.
static bool remove_left_over(int dir, const char *temp)
{
    struct stat st;
    const int fd = open_left_over(dir, temp);
    if (fd < 0)
        return false;
    const bool removed = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                         flock(fd, LOCK_EX | LOCK_NB) == 0 && leads_to(dir, temp, &st) &&
                         unlinkat(dir, temp, 0) == 0;
    close(fd);
    return removed;
}

void jemi_temp_clean(int dir, const char *name)
{
    char temp[JEMI_TEMP_SIZE];
    for (int number = 0; number < CLEANED; number++) {
        make_name(name, number, temp);
        remove_left_over(dir, temp);
    }
}

int jemi_temp_take(int dir, const char *name, jemi_temp_fn take, void *user,
                   char temp[JEMI_TEMP_SIZE])
{
    for (int number = 0; number < NUMBERS; number++) {
        int error;
        make_name(name, number, temp);
        do
            error = take(user, dir, temp) == 0 ? 0 : errno;
        while (error == EINTR || (error == EEXIST && remove_left_over(dir, temp)));
        errno = error;
        if (error != EEXIST)
            return error == 0 ? 0 : -1;
    }
    return -1; // with EEXIST
}

typedef struct creation {
    unsigned mode;
    int fd;
} creation;

// Between creation and lock the file looks left over; who was quicker has the lock or removed it.
static int create(void *user, int dir, const char *temp)
{
    creation *c = user;
    struct stat st;
    c->fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, c->mode);
    if (c->fd < 0)
        return -1;
    const bool taken = flock(c->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!taken && (fstat(c->fd, &st) != 0 || st.st_nlink > 0))
        return 0; // where there are no locks, nothing is removed either
    close(c->fd);
    errno = EEXIST;
    return -1;
}

int jemi_temp_create(int dir, const char *name, unsigned mode, char temp[JEMI_TEMP_SIZE])
{
    creation c = {.mode = mode};
    return jemi_temp_take(dir, name, create, &c, temp) == 0 ? c.fd : -1;
}
