/*
 * Files in memory for the fuzzers of the command's readers, packed by gzip or not.
 */
#ifndef JEM_FUZZ_DATA_FILES_H
#define JEM_FUZZ_DATA_FILES_H

#include "fuzz.h"

/** A file without a folder, filled anew for each input; `path` may be opened at any time. */
typedef struct fuzz_file {
    int fd;
    char path[64];
} fuzz_file;

fuzz_file fuzz_file_open(const char *name);
void fuzz_file_fill(const fuzz_file *file, const uint8_t *data, size_t size);

/** An empty folder, removed at exit with the files that are in it. */
const char *fuzz_folder(void);

/** Writes a file of the folder. */
void fuzz_folder_fill(const char *name, const uint8_t *data, size_t size);

/** Packs the bytes by gzip, in place, unless that makes them too many. */
void fuzz_pack(fuzz_input *input);

/** All bytes but the first, packed if that one is odd. Valid until the next call. */
void fuzz_unwrap(const uint8_t *data, size_t size, fuzz_input *content);

#endif
