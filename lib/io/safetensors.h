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

#include "io/safetensors_parts.h"

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
