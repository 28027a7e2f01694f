/*
 * Sized structs across the ABI: a program built against an older or newer jem.h hands in a struct
 * that is shorter or longer than ours. Only this file copes with the difference.
 */
#ifndef JEMI_BASE_CONFIG_H
#define JEMI_BASE_CONFIG_H

#include <stddef.h>

#include <jem/jem.h>

/**
 * The _init side: writes as much of `defaults` (`known` bytes, starting with its size_t
 * struct_size) as the caller's struct of `size` bytes holds, zeroes the rest, sets struct_size.
 */
jem_status jemi_config_init(void *config, size_t size, const void *defaults, size_t known,
                            const char *type);

/**
 * The reading side: copies the caller's struct over `own`, which holds the defaults and is `known`
 * bytes long. A non-zero tail that we do not know is JEM_EUNSUPPORTED.
 */
jem_status jemi_config_read(void *own, size_t known, const void *config, const char *type);

/** The field `reserved` of a config that was read: JEM_EUNSUPPORTED unless it is 0. */
jem_status jemi_config_check_reserved(int32_t reserved, const char *type);

/**
 * For configs that the library fills: JEM_EINVAL unless struct_size was set, JEM_EUNSUPPORTED when
 * it is too short for a field in which `own` is not as `defaults`, which it was copied from.
 */
jem_status jemi_config_check_room(const void *out, const void *own, const void *defaults,
                                  size_t known, const char *type);

/** For output structs: JEM_EINVAL unless struct_size was set. */
jem_status jemi_config_check_out(const void *out, const char *type);

/** Copies `own` out to the caller's struct of its own size, whose struct_size stays. */
void jemi_config_write(void *out, const void *own, size_t known);

#endif
