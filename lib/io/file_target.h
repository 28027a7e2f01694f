/*
 * Where writing to a path leads: to a new file, to a file that is replaced, or to a device or pipe
 * that is opened and written. Whoever checks a path before a long computation asks here, as the
 * writer does, so that both come to the same answer.
 */
#ifndef JEMI_IO_FILE_TARGET_H
#define JEMI_IO_FILE_TARGET_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include <jem/jem.h>

typedef enum jemi_target_kind {
    JEMI_TARGET_NEW,   /* there is nothing yet */
    JEMI_TARGET_FILE,  /* a regular file, which gets a successor */
    JEMI_TARGET_STREAM /* a device, a pipe, or any file by way of an open descriptor */
} jemi_target_kind;

typedef struct jemi_target {
    jemi_target_kind kind;
    int descriptor;      /* that of this process which the path stands for, as /dev/stdout; or -1 */
    char path[PATH_MAX]; /* no link any more, unless it is a stream */
    struct stat st;      /* unless it is new */
} jemi_target;

/**
 * Follows `path` to what it means. A symbolic link is followed also where its target does not exist
 * yet, as open() would do it.
 *
 * @return JEM_OK; JEM_EIO for directories, loops of links and paths that cannot be looked at, where
 *         target->path is as far as it could be followed.
 */
jem_status jemi_target_find(jemi_target *target, const char *path);

/** Do both lead to one file, or to one name that is not taken yet? Never for devices and pipes. */
bool jemi_target_same(const jemi_target *a, const jemi_target *b);

/** The directory that holds the target; returns `directory`. For files, new or not. */
const char *jemi_target_directory(const jemi_target *target, char directory[PATH_MAX]);

/** The target's name within its directory. */
const char *jemi_target_name(const jemi_target *target);

#endif
