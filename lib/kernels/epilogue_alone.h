/*
 * The epilogue as a pass of its own.
 */
#ifndef JEMI_KERNELS_EPILOGUE_ALONE_H
#define JEMI_KERNELS_EPILOGUE_ALONE_H

#include "kernels/epilogue.h"

/** dst = src after the epilogue less its bias; `count` a multiple of 16. Serial. */
void jemi_epilogue_alone(float *dst, const float *src, int64_t count, const jemi_epilogue *then);

#endif
