/*
 * Data sets: labelled images or feature rows from IDX, CIFAR or .npy files.
 *
 * 8-bit images stay 8-bit in memory and become inputs row by row, by the model's input range;
 * all other rows are taken as the floats that they are. All rows are (C, H, W).
 */
#ifndef JEM_CLI_DATA_H
#define JEM_CLI_DATA_H

#include "cli.h"

typedef enum cli_split { CLI_TRAIN, CLI_TEST } cli_split;

typedef struct cli_data {
    const char *path;        /* what the user called it */
    int32_t layout;          /* of arrays, a JEM_LAYOUT_; 0 = the user did not say */
    bool layout_is_doubtful; /* and the shape does not tell it either */
    bool has_test;           /* the set that this is a split of has a test split of its own */
    int64_t n;
    int32_t channels, height, width;
    uint8_t *bytes;                 /* either these */
    float *floats;                  /* or these; (n, C, H, W) */
    int64_t *labels;                /* NULL = unlabelled */
    int32_t classes;                /* of the data set, if its format or name tells, else 0 */
    const char *const *class_names; /* `classes` of them, or NULL */
} cli_data;

/** Reads a split of what `path` names; see CLI_DATA_HELP. `layout` is the value of --layout. */
cli_status cli_data_load(cli_data *data, const char *path, cli_split split, int32_t layout,
                         cli_error *err);
void cli_data_free(cli_data *data);

/** Does `path` look like data? Nothing is read. */
bool cli_data_exists(const char *path);

/** The forms of a path, as a paragraph for a help text. */
#define CLI_DATA_HELP                                                                              \
    "Data: fashion-mnist (Debian package dataset-fashion-mnist); a directory or prefix of IDX "    \
    "files (train-images-idx3-ubyte, t10k-images-idx3-ubyte and labels; MNIST, KMNIST, EMNIST); "  \
    "the binary version of CIFAR-10 or CIFAR-100, its directory or archive; or a directory with "  \
    "X.npy and y.npy, used for training and test alike unless X_test.npy and y_test.npy exist. X " \
    "is (n, C, H, W), (n, H, W) or (n, features): u1 holds 8-bit images, other numbers are taken " \
    "as they are; y is (n), integers. All of them plain or packed by gzip."

/** Keeps the first `n` rows, if there are more. */
void cli_data_limit(cli_data *data, int64_t n);

/** Moves the rows that are chosen to `out`, in the order they have. @param chosen  In. (n). */
cli_status cli_data_take_out(cli_data *data, const bool *chosen, cli_data *out, cli_error *err);

/** Elements per row. */
int64_t cli_data_row_size(const cli_data *data);

/** The classes a model of this data needs: as the data set says, else the highest label plus 1. */
cli_status cli_data_count_classes(const cli_data *data, int32_t *classes, cli_error *err);

/** Refuses arrays whose channels may stand first or last; where there is a model, it tells. */
cli_status cli_data_check_layout(const cli_data *data, cli_error *err);

/** Makes the data unlabelled. */
void cli_data_drop_labels(cli_data *data);

/** Are the rows of the model's shape, and the labels, if any, within its classes? */
cli_status cli_data_check_model(const cli_data *data, const jem_model *model, cli_error *err);

/** The same; but a model of one class has no use for labels, and drops them. */
cli_status cli_data_suit_model(cli_data *data, const jem_model *model, cli_error *err);

/** Are its rows features rather than pixels? */
bool cli_data_is_table(const cli_data *data);

/** Lowest and highest value of float rows; refuses NaN and infinity. */
cli_status cli_data_float_range(const cli_data *data, float *low, float *high, cli_error *err);

/** Inputs of the n rows whose numbers are in `rows`; NULL means first, first + 1, ... */
cli_status cli_data_inputs(const cli_data *data, const jem_model *model, const int64_t *rows,
                           int64_t first, int64_t n, float *x, cli_error *err);

#endif
