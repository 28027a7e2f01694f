/*
 * Links are followed one by one, since realpath() knows no path whose last link dangles. Those of
 * /proc/.../fd are no links by name: they lead to an open file wherever it lies, even if it has no
 * name any more, so nothing can take its place there.
 */
#include "io/file_target.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/status.h"
#include "base/text.h"

enum { LINKS_MAX = 40 }; // as Linux follows

static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

const char *jemi_target_name(const jemi_target *target)
{
    return target->path + directory_length(target->path);
}

static const char *directory_of(const char *path, char directory[PATH_MAX])
{
    const size_t length = directory_length(path);
    if (length == 0)
        return strcpy(directory, ".");
    memcpy(directory, path, length);
    directory[length > 1 ? length - 1 : 1] = '\0'; // "/" keeps its slash
    return directory;
}

const char *jemi_target_directory(const jemi_target *target, char directory[PATH_MAX])
{
    return directory_of(target->path, directory);
}

// ---- open descriptors --------------------------------------------------------------------------

static bool is_of_proc(const char *directory)
{
    struct statfs fs;
    return statfs(directory, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

// The number of our descriptor that a link in `directory` stands for, or -1.
static int own_descriptor(const char *directory, const char *name)
{
    char real[PATH_MAX], own[PATH_MAX];
    int64_t number;
    const bool here = realpath(directory, real) != NULL && realpath("/proc/self/fd", own) != NULL &&
                      strcmp(real, own) == 0;
    return here && jemi_parse_int(name, 0, INT_MAX, &number) ? (int)number : -1;
}

// ---- links -------------------------------------------------------------------------------------

// `link` is what the link at path says, relative to where it lies.
static bool go_to(char path[PATH_MAX], const char *link, size_t length)
{
    const size_t kept = link[0] == '/' ? 0 : directory_length(path);
    if (kept + length >= PATH_MAX)
        return false;
    memcpy(path + kept, link, length);
    path[kept + length] = '\0';
    return true;
}

// Whether the path led to a link of /proc is told; it stays the last one then.
static jem_status follow_links(jemi_target *target, const char *path, bool *of_proc)
{
    char link[PATH_MAX], directory[PATH_MAX];
    for (int links = 0; links < LINKS_MAX; links++) {
        const ssize_t length = readlink(target->path, link, sizeof link);
        if (length < 0) // it is no link, or it is not there
            return errno == EINVAL || errno == ENOENT ? JEM_OK
                                                      : jemi_fail_errno(errno, "write", path);
        directory_of(target->path, directory);
        *of_proc = is_of_proc(directory);
        if (*of_proc) {
            target->descriptor = own_descriptor(directory, jemi_target_name(target));
            return JEM_OK;
        }
        if (!go_to(target->path, link, (size_t)length))
            return jemi_fail_errno(ENAMETOOLONG, "follow the link", path);
    }
    return jemi_fail_errno(ELOOP, "follow the link", path);
}

jem_status jemi_target_find(jemi_target *target, const char *path)
{
    bool of_proc = false;
    target->kind = JEMI_TARGET_NEW;
    target->descriptor = -1;
    target->path[0] = '\0';
    if (strlen(path) >= PATH_MAX)
        return jemi_fail_errno(ENAMETOOLONG, "write", path);
    strcpy(target->path, path);
    // The kernel judges first: it may forbid to follow a link that readlink() would read.
    const bool exists = stat(path, &target->st) == 0;
    if (!exists && errno != ENOENT)
        return jemi_fail_errno(errno, "write", path);
    JEMI_TRY(follow_links(target, path, &of_proc));
    if (*jemi_target_name(target) == '\0' || (exists && S_ISDIR(target->st.st_mode)))
        return jemi_fail_errno(path[0] == '\0' ? ENOENT : EISDIR, "write", path);
    if (exists)
        target->kind =
            S_ISREG(target->st.st_mode) && !of_proc ? JEMI_TARGET_FILE : JEMI_TARGET_STREAM;
    return JEM_OK;
}

// ---- comparing ---------------------------------------------------------------------------------

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

// Directories that are not there either are compared by their names.
static bool same_directory(const jemi_target *a, const jemi_target *b)
{
    char directory_a[PATH_MAX], directory_b[PATH_MAX];
    struct stat st_a, st_b;
    jemi_target_directory(a, directory_a);
    jemi_target_directory(b, directory_b);
    const bool exists = stat(directory_a, &st_a) == 0;
    if (exists != (stat(directory_b, &st_b) == 0))
        return false;
    return exists ? same_file(&st_a, &st_b) : strcmp(directory_a, directory_b) == 0;
}

bool jemi_target_same(const jemi_target *a, const jemi_target *b)
{
    const bool is_new = a->kind == JEMI_TARGET_NEW;
    if (is_new != (b->kind == JEMI_TARGET_NEW))
        return false;
    if (is_new)
        return strcmp(jemi_target_name(a), jemi_target_name(b)) == 0 && same_directory(a, b);
    return S_ISREG(a->st.st_mode) && same_file(&a->st, &b->st);
}
