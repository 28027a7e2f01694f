/*
 * How the architectures are put together: a parsed arch string, and a builder that appends nodes
 * and parameters to a graph, works out shapes, and refuses what would not fit.
 *
 * The builder's status is sticky: after the first failure every call is a no-op that returns node
 * 0, so an architecture reads as the list of its layers and is checked once, at its end.
 */
#ifndef JEMI_NN_BUILD_H
#define JEMI_NN_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/graph.h"

/* Row values and parameter vectors are held below this many floats: then every product of two
 * sizes, and the count of multiply-adds, fits into 63 bits. */
#define JEMI_SIZE_LIMIT (INT64_C(1) << 31)

enum { JEMI_ARCH_NUMBERS_MAX = 64, JEMI_ARCH_OPTIONS = 3 };

typedef struct jemi_builder {
    jemi_graph *graph;
    const struct jemi_arch *arch;
    int32_t nodes_cap, params_cap, states_cap;
    int64_t mask_size; /* elements of a row that are dropped out or kept, so far */
    jem_status status;
} jemi_builder;

struct jemi_arch_family;

typedef enum jemi_norm {
    JEMI_NORM_NONE,
    JEMI_NORM_BATCH,
    JEMI_NORM_GROUP,
    JEMI_NORM_SPECTRAL, /* of the weights; no nodes */
} jemi_norm;

/* As a count of groups: one per channel. */
enum { JEMI_GROUPS_INSTANCE = 0 };

/** An arch string, understood: "wrn-10-2:act=silu" is family wrn, numbers {10, 2}, act silu. */
typedef struct jemi_arch {
    const struct jemi_arch_family *family;
    int32_t numbers[JEMI_ARCH_NUMBERS_MAX];
    int32_t n_numbers;
    const char *act_name;
    jemi_act act;
    float slope;
    char norm_name[16]; /* "" = none */
    jemi_norm norm;
    int32_t groups;                /* of JEMI_NORM_GROUP */
    int32_t dropout;               /* rate in 1/10000 */
    bool given[JEMI_ARCH_OPTIONS]; /* an option may not be given twice */
} jemi_arch;

/** Appends the whole network, head included, to a builder that holds the input node. */
typedef void (*jemi_arch_build_fn)(jemi_builder *builder, const jemi_arch *arch, int64_t classes);

/** @return JEM_OK, or JEM_EINVAL for a string that is no arch. */
jem_status jemi_arch_parse(jemi_arch *arch, const char *string);

/** Writes the full form: the activation and all other options that are not none; JEM_EINVAL when
 *  it is longer than `size`. */
jem_status jemi_arch_format(const jemi_arch *arch, char *out, size_t size);

/** Appends the network of a parsed arch. */
void jemi_arch_build(jemi_builder *builder, const jemi_arch *arch, int64_t classes);

void jemi_build_mlp(jemi_builder *builder, const jemi_arch *arch, int64_t classes);
void jemi_build_cnn(jemi_builder *builder, const jemi_arch *arch, int64_t classes);
void jemi_build_wrn(jemi_builder *builder, const jemi_arch *arch, int64_t classes);

/* Each appends one node that reads node `x` and returns its index. `name` and what follows it are
 * printf's; ".weight" and ".bias" are appended to it. */

int32_t jemi_build_input(jemi_builder *builder, jemi_shape shape);

/** Padding kernel / 2: at stride 1 an odd kernel keeps height and width. */
int32_t jemi_build_conv(jemi_builder *builder, int32_t x, int64_t channels, int32_t kernel,
                        int32_t stride, const char *name, ...)
    __attribute__((format(printf, 6, 7)));
int32_t jemi_build_linear(jemi_builder *builder, int32_t x, int64_t features, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
int32_t jemi_build_act(jemi_builder *builder, int32_t x);
/** The normalisation layer of the arch; `x` itself where it has none. */
int32_t jemi_build_norm(jemi_builder *builder, int32_t x, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
/** `x` itself at rate 0. */
int32_t jemi_build_dropout(jemi_builder *builder, int32_t x);
int32_t jemi_build_avgpool(jemi_builder *builder, int32_t x, int64_t window_h, int64_t window_w);
int32_t jemi_build_add(jemi_builder *builder, int32_t x, int32_t y);

/** After the last node: gives the state its place behind the parameters. */
void jemi_build_finish(jemi_builder *builder);

/** Shape of a node that exists; an empty shape after a failure. */
jemi_shape jemi_build_shape(const jemi_builder *builder, int32_t x);

#endif
