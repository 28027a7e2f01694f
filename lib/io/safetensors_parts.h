/*
 * What a safetensors file consists of, tensors and pairs of strings, and their lookup by name.
 */
#ifndef JEMI_IO_SAFETENSORS_PARTS_H
#define JEMI_IO_SAFETENSORS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/file_read.h"

enum { JEMI_SAFETENSORS_RANK_MAX = 8, JEMI_SAFETENSORS_NAME_MAX = 255 };

#define JEMI_SAFETENSORS_HEADER_MAX ((size_t)16 << 20)

/** Those that are read, others that are not known, and behind these the other known ones. */
typedef enum jemi_dtype {
    JEMI_F32 = 0,
    JEMI_F16,
    JEMI_BF16,
    JEMI_F64,
    JEMI_I64,
    JEMI_OTHER_DTYPE
} jemi_dtype;

typedef struct jemi_safetensor {
    const char *name; /* UTF-8, 1..255 bytes */
    jemi_dtype dtype;
    int32_t rank; /* 0..8; rank 0 holds one element */
    int64_t shape[JEMI_SAFETENSORS_RANK_MAX];
    const void *data; /* may be unaligned: copy out by the functions below */
    /* Set by the reader, not read by the writer: */
    int64_t count;       /* elements, may be 0 */
    size_t begin, bytes; /* its place within the data */
} jemi_safetensor;

typedef struct jemi_string_pair {
    const char *key;
    const char *value;
} jemi_string_pair;

typedef struct jemi_safetensors {
    jemi_safetensor *tensors; /* in the order of their data */
    size_t n_tensors;
    jemi_string_pair *metadata; /* in the order of the header */
    size_t n_metadata;
    bool has_digest; /* and it was right */
    /* Private. */
    size_t *tensors_by_name;
    size_t *metadata_by_key;
    char *text;                 /* all names, keys and values */
    const unsigned char *front; /* the file up to its data */
    size_t front_size, data_size;
    const unsigned char *data; /* NULL = not read */
    jemi_source source;        /* open until all is read */
    size_t at;                 /* of the source, within the data */
    void *owned[2];            /* front and data of a file */
} jemi_safetensors;

/** Says that a file has more bytes than its tensors; JEM_EFORMAT. */
jem_status jemi_safetensors_fail_goes_on(const jemi_safetensors *file);

/** The tensor of that name, or NULL. O(log n). */
const jemi_safetensor *jemi_safetensors_find(const jemi_safetensors *file, const char *name);

/** The metadata string of that key, or NULL. O(log n). */
const char *jemi_safetensors_metadata(const jemi_safetensors *file, const char *key);

#endif
