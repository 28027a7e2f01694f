/*
 * safetensors files: named tensors and strings.
 *
 *     u64 little-endian N | N bytes of JSON header, space-padded | data of the tensors, no gaps
 *
 * Reading is strict: whatever jemi_safetensors_parse() accepts has one meaning and lies inside the
 * buffer. Files that libjem writes carry a digest over all their bytes in the first two metadata
 * keys, "jem.digest.kind" and "jem.digest". Once it has been found right, these two keys, which
 * belong to the container, are not listed among the metadata.
 */
#ifndef JEMI_IO_SAFETENSORS_H
#define JEMI_IO_SAFETENSORS_H

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

/**
 * Reads a complete file from memory, and checks its digest if it has one. The tensors point into
 * `data`, which must outlive `out`.
 *
 * Time is O(size + header * log header), memory a small multiple of the header's length.
 *
 * @param out  Out. Zeroed on failure; else for jemi_safetensors_fini().
 * @return JEM_OK; JEM_EFORMAT; JEM_EUNSUPPORTED for a digest that is not known here; JEM_ENOMEM.
 */
jem_status jemi_safetensors_parse(const void *data, size_t size, jemi_safetensors *out);

/**
 * Reads the header of a file and leaves the file open: whether the tensors are those that the
 * caller wants can be seen before their data costs time and memory. They have no data yet.
 *
 * Nothing is read that the eight bytes before or the size of the file belie. Digests are not
 * looked at.
 *
 * @param path  Must outlive `out`.
 * @return also JEM_EIO, for whatever is no regular file or pipe too.
 */
jem_status jemi_safetensors_open(const char *path, jemi_safetensors *out);

/**
 * Ends the reading of an opened file: the tensors get their data, and the digest, if there is one,
 * is checked. For a file in memory that has been done already.
 *
 * @param fits    What the caller has found in the header. Another status than JEM_OK, with its
 *                message, is returned without reading anything, unless the digest tells that the
 *                header is not what was written: then that is the fault to report.
 * @param remedy  A clause added to the message about a wrong digest, or "".
 */
jem_status jemi_safetensors_load(jemi_safetensors *file, jem_status fits, const char *remedy);

/** Copies a tensor's bytes out of a file. Tensors of an opened one are to be asked for in their
 *  order. JEM_EIO, JEM_EFORMAT (the file has become shorter). */
jem_status jemi_safetensors_pull(jemi_safetensors *file, const jemi_safetensor *tensor,
                                 void *bytes);

/** jemi_safetensors_open() and _load() at once. */
jem_status jemi_safetensors_read(const char *path, jemi_safetensors *out);

/** Accepts a zeroed or finished one. */
void jemi_safetensors_fini(jemi_safetensors *file);

/** The tensor of that name, or NULL. O(log n). */
const jemi_safetensor *jemi_safetensors_find(const jemi_safetensors *file, const char *name);

/** The metadata string of that key, or NULL. O(log n). */
const char *jemi_safetensors_metadata(const jemi_safetensors *file, const char *key);

/** Whether jemi_safetensors_to_float() takes them. */
bool jemi_dtype_is_float(jemi_dtype dtype);
const char *jemi_dtype_name(jemi_dtype dtype);

/**
 * Copies `tensor->count` values out as float. JEM_EMISMATCH for other numbers than floating-point;
 * JEM_EFORMAT for a finite F64 beyond the range of floats.
 */
jem_status jemi_safetensors_to_float(const jemi_safetensor *tensor, float *values);

/** Copies `tensor->count` values out; JEM_EMISMATCH unless the tensor is I64. */
jem_status jemi_safetensors_to_int64(const jemi_safetensor *tensor, int64_t *values);

/**
 * Writes a file, crash-safe as jemi_file_write_atomic(): metadata and tensors in the order given,
 * data starting at a multiple of 64 bytes, with a digest.
 *
 * @param metadata  Without the digest's keys.
 * @return JEM_OK; JEM_EIO; JEM_ENOMEM; JEM_EINVAL for what the reader would refuse (a name twice,
 *         strings that are not UTF-8, a header above its limit).
 */
jem_status jemi_safetensors_write(const char *path, const jemi_safetensor *tensors,
                                  size_t n_tensors, const jemi_string_pair *metadata,
                                  size_t n_metadata);

/** The same, but the file before stays, as jemi_file_write_keeping() says. */
jem_status jemi_safetensors_write_keeping(const char *path, const jemi_safetensor *tensors,
                                          size_t n_tensors, const jemi_string_pair *metadata,
                                          size_t n_metadata);

#endif
