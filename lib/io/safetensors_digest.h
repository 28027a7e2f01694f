/*
 * The digest within a safetensors file of libjem.
 */
#ifndef JEMI_IO_SAFETENSORS_DIGEST_H
#define JEMI_IO_SAFETENSORS_DIGEST_H

#include <jem/jem.h>

#include "io/safetensors_parts.h"

/**
 * Checks the digest, if there is one, and takes its two keys out of the metadata. Data that has not
 * been read is read from the source in pieces, which are not kept.
 *
 * @param remedy  As of jemi_safetensors_load().
 * @return JEM_OK; JEM_EFORMAT; JEM_EUNSUPPORTED for one of another kind; JEM_EIO.
 */
jem_status jemi_safetensors_check_digest(jemi_safetensors *file, const char *remedy);

#endif
