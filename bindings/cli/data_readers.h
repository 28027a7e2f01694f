/*
 * What data.c asks of a file format, and paths inside a directory of data.
 */
#ifndef JEM_CLI_DATA_READERS_H
#define JEM_CLI_DATA_READERS_H

#include "data.h"

typedef struct cli_data_reader {
    /** Does `path` look like this format? Only names are looked at. */
    bool (*recognises)(const char *path);
    /** Fills `data`, whose layout is set; on failure the caller frees what is in it. */
    cli_status (*load)(cli_data *data, const char *path, cli_split split, cli_error *err);
    /** Is there a test split, or are its rows those for training? Only names are looked at. */
    bool (*has_test)(const char *path);
} cli_data_reader;

extern const cli_data_reader cli_data_npy;
extern const cli_data_reader cli_data_cifar;
extern const cli_data_reader cli_data_idx;

enum { CLI_PATH_MAX = 4096 };

/** directory/name; returns `out`. */
const char *cli_path_join(const char *directory, const char *name, char out[CLI_PATH_MAX]);

bool cli_path_is_file(const char *path);
bool cli_path_is_directory(const char *path);

/** Is there a regular file `name`, or `name`.gz, in `directory`? Its path is in `out` then. */
bool cli_path_find(const char *directory, const char *name, char out[CLI_PATH_MAX]);

/** The same without the path. */
bool cli_path_has(const char *directory, const char *name);

#endif
