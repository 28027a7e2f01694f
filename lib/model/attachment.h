/*
 * Named arrays and strings that travel with the parameters they belong to, in memory and in model
 * files. What they mean is known to whoever attaches them.
 */
#ifndef JEMI_MODEL_ATTACHMENT_H
#define JEMI_MODEL_ATTACHMENT_H

#include "io/safetensors.h"

/** What the names of such arrays and the keys of such strings begin with. */
#define JEMI_ATTACHED_ARRAY  "detector."
#define JEMI_ATTACHED_STRING "jem.detector."

/** Immutable, and shared by all who hold a reference. */
typedef struct jemi_attachment jemi_attachment;

/** The parts of one: of the caller, or borrowed from an attachment. */
typedef struct jemi_attached {
    size_t n_arrays, n_strings;
    jemi_safetensor *arrays; /* F32 or I64, aligned */
    jemi_string_pair *strings;
} jemi_attached;

/** Copies all parts. Whoever has asked for it holds the first reference. */
jem_status jemi_attachment_create(jemi_attachment **out, const jemi_attached *parts);

/** One more reference, to the same. Accepts NULL, as the next. */
jemi_attachment *jemi_attachment_share(jemi_attachment *attachment);
void jemi_attachment_release(jemi_attachment *attachment);

const jemi_attached *jemi_attachment_parts(const jemi_attachment *attachment);
size_t jemi_attachment_bytes(const jemi_attachment *attachment);

/** Of that name or key, or NULL. */
const jemi_safetensor *jemi_attached_array(const jemi_attached *parts, const char *name);
const char *jemi_attached_string(const jemi_attached *parts, const char *key);

/** Whether a file's array is one of these rather than a parameter. */
bool jemi_attached_owns(const char *name);

/** Those of a file that has been read; *out is NULL where it has none. JEM_EFORMAT: of another type. */
jem_status jemi_attachment_read(jemi_attachment **out, const jemi_safetensors *file);

#endif
