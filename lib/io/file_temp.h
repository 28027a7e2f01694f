/*
 * Names beside a target that are taken for a moment, while a new file waits for its own.
 *
 * Who writes holds a lock (flock) on the file that such a name leads to. A file that nobody holds
 * was left by a process that was killed, on whatever host and under whatever number it ran; it is
 * removed by whoever writes the same target next.
 */
#ifndef JEMI_IO_FILE_TEMP_H
#define JEMI_IO_FILE_TEMP_H

#include <limits.h>

enum { JEMI_TEMP_SIZE = NAME_MAX + 1 };

/** Gives a file the name; 0, or -1 with errno: EEXIST lets another name be tried. */
typedef int (*jemi_temp_fn)(void *user, int dir, const char *temp);

/**
 * Calls `take` with one name after the other, until one is free.
 *
 * @param name  Of the target, within the directory `dir`.
 * @param temp  Out. The name that was taken.
 * @return 0, or -1 with errno.
 */
int jemi_temp_take(int dir, const char *name, jemi_temp_fn take, void *user,
                   char temp[JEMI_TEMP_SIZE]);

/** Removes what killed processes left beside the target. */
void jemi_temp_clean(int dir, const char *name);

/** Creates an empty file for writing, with the lock that says that its writer lives. -1, errno. */
int jemi_temp_create(int dir, const char *name, unsigned mode, char temp[JEMI_TEMP_SIZE]);

#endif
