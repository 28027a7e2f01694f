/*
 * The header of a safetensors file: its JSON grammar, and the rules that tie it to the data's size.
 * What jemi_header_read() accepts tiles the data without gap or overlap, and names nothing twice.
 */
#ifndef JEMI_IO_HEADER_H
#define JEMI_IO_HEADER_H

#include <jem/jem.h>

#include "io/safetensors_parts.h"

/* The digest's keys come first, in just these bytes, so that the place of its value is known. */
#define JEMI_DIGEST_KIND_KEY "jem.digest.kind"
#define JEMI_DIGEST_KEY      "jem.digest"
#define JEMI_DIGEST_KIND     "crc64-xz"
#define JEMI_DIGEST_PREFIX                                                                         \
    "{\"__metadata__\":{\"" JEMI_DIGEST_KIND_KEY "\":\"" JEMI_DIGEST_KIND "\",\"" JEMI_DIGEST_KEY  \
    "\":\""

enum { JEMI_DIGEST_PLACE = sizeof JEMI_DIGEST_PREFIX - 1, JEMI_DIGEST_LENGTH = 16 };

typedef struct jemi_header {
    jemi_safetensor *tensors; /* without data, in its order */
    size_t n_tensors;
    jemi_string_pair *metadata; /* in the order of the header */
    size_t n_metadata;
    size_t *tensors_by_name; /* permutations */
    size_t *metadata_by_key;
    char *text;       /* what all the strings point into */
    size_t data_size; /* of all tensors */
} jemi_header;

/** For a file whose size is not known: the data is as long as the tensors say. */
#define JEMI_DATA_SIZE_UNKNOWN SIZE_MAX

/** @return JEM_OK; JEM_EFORMAT, JEM_ENOMEM: nothing is held. */
jem_status jemi_header_read(jemi_header *header, const char *json, size_t size, size_t data_size);

/** Accepts a zeroed header. */
void jemi_header_fini(jemi_header *header);

typedef struct jemi_dtype_info {
    const char *name;
    size_t bits; /* of an element */
} jemi_dtype_info;

/** By jemi_dtype. After those whose values are read come the others of the format. */
extern const jemi_dtype_info jemi_dtypes[];

#endif
