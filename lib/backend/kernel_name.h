/*
 * The kernels that compute convolutions and linear layers: a number inside of the library, a name
 * in its API.
 */
#ifndef JEMI_BACKEND_KERNEL_NAME_H
#define JEMI_BACKEND_KERNEL_NAME_H

#include <stdbool.h>

#include <jem/jem.h>

/** Digests of choices are made from these numbers, so they stay as they are. */
typedef enum jemi_kernel {
    JEMI_KERNEL_AUTO, /* chosen for each layer and direction */
    JEMI_KERNEL_ONEDNN,
    JEMI_KERNEL_WINOGRAD,
    JEMI_KERNEL_DIRECT,
    JEMI_KERNEL_DIRECT_BF16,
    JEMI_KERNEL_STEM,
    JEMI_KERNELS
} jemi_kernel;

/** What kernels are chosen by, beside the layer and the machine. */
typedef struct jemi_choosing {
    jemi_kernel kernel; /* taken where it fits, unless it is JEMI_KERNEL_AUTO */
    bool latency;       /* JEM_TUNED_LATENCY */
} jemi_choosing;

const char *jemi_kernel_name(jemi_kernel kernel);

/** JEM_EINVAL for a name that is none of them; the message lists those there are. */
jem_status jemi_kernel_read(const char *name, jemi_kernel *kernel);

#endif
