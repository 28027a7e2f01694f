/*
 * Inputs of the fuzzers that read safetensors: the header's text, a NUL, the data. The length
 * before the header and the digest in it are made to fit, or else nearly every mutation would end
 * there.
 */
#ifndef JEM_FUZZ_FRAME_H
#define JEM_FUZZ_FRAME_H

#include "fuzz.h"

/** The file of an input, malloc'd, in a block of its size. */
uint8_t *frame_make(const uint8_t *data, size_t size, size_t *file_size);

/** The input of a file. */
void frame_undo(const uint8_t *file, size_t file_size, fuzz_input *input);

/** A file without a name, of these bytes: its path, good until the next call. */
const char *frame_path(const uint8_t *file, size_t size);

/** A header of about `size` bytes: metadata of ever other keys, and tensors without elements. */
void frame_large(size_t size, const char *front, fuzz_input *input);

extern const char *const frame_words[];

#endif
