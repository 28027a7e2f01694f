/*
 * Reading whole files: a reader gets the complete contents or nothing.
 */
#ifndef JEMI_IO_FILE_READ_H
#define JEMI_IO_FILE_READ_H

#include <stddef.h>

#include <jem/jem.h>

/**
 * Reads all of a regular file, pipe or device.
 *
 * @param size_max  More bytes than this are JEM_EFORMAT; nothing larger is allocated for them.
 * @param data      Out. The contents, for jemi_free(); never NULL on JEM_OK, NULL otherwise.
 * @return JEM_OK, JEM_EIO, JEM_EFORMAT, JEM_ENOMEM.
 */
jem_status jemi_file_read(const char *path, size_t size_max, void **data, size_t *size);

#endif
