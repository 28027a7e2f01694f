/*
 * Out-of-distribution test sets made from a test set: noise, constants, and test images mixed or
 * mistreated. Row i of a set depends on its name, the seed and i only.
 */
#ifndef JEM_CLI_OOD_H
#define JEM_CLI_OOD_H

#include "data.h"

typedef struct cli_ood {
    const cli_data *data; /* the test set */
    const jem_model *model;
    float *low, *high; /* the range of each input element */
    float *partner;    /* one row of scratch */
    uint64_t seed;
} cli_ood;

typedef struct cli_ood_set {
    const char *name;
    const char *meaning;
    bool (*applies)(const cli_data *data);
    /** `row` holds test row i and becomes row i of the set. */
    cli_status (*make)(const cli_ood *ood, int64_t i, float *row, cli_error *err);
} cli_ood_set;

extern const cli_ood_set cli_ood_sets[];
extern const int cli_ood_n_sets;

/** NULL for an unknown name. */
const cli_ood_set *cli_ood_find(const char *name);

cli_status cli_ood_begin(cli_ood *ood, const cli_data *data, const jem_model *model, uint64_t seed,
                         cli_error *err);
void cli_ood_end(cli_ood *ood);

/** Rows first..first+n-1 of a set. */
cli_status cli_ood_rows(const cli_ood *ood, const cli_ood_set *set, int64_t first, int64_t n,
                        float *x, cli_error *err);

#endif
