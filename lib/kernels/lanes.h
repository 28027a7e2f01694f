/*
 * The 16 of nChw16c.
 */
#ifndef JEMI_KERNELS_LANES_H
#define JEMI_KERNELS_LANES_H

enum { JEMI_LANES = 16 }; /* channels of a block of nChw16c, floats of a vector */

#endif
