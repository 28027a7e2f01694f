/*
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011), by Random123.
 *
 *     key     = mix64(seed, purpose, epoch)
 *     counter = (element / 4, row, step low, step high)
 *
 * A number depends on nothing else: neither on threads nor on what was drawn before. Every purpose
 * has its own key, so no two uses share a stream.
 */
#ifndef JEMI_BASE_RANDOM_H
#define JEMI_BASE_RANDOM_H

#include <stdint.h>

typedef enum jemi_purpose {
    JEMI_RANDOM_INIT = 1,         /* initial parameters: row = tensor */
    JEMI_RANDOM_SLOTS = 2,        /* which replay slots a draw takes: step = draw */
    JEMI_RANDOM_REINIT = 3,       /* whether a drawn slot restarts: row = slot, step = draw */
    JEMI_RANDOM_START_CHOICE = 4, /* uniform or Gaussian, which class: row = slot, step = draw */
    JEMI_RANDOM_START = 5,        /* the start itself */
    JEMI_RANDOM_CHAIN_ROW = 6,    /* Langevin noise of the caller's rows */
    JEMI_RANDOM_CHAIN_SLOT = 7,   /* Langevin noise of replay slots */
    JEMI_RANDOM_NOISE_DATA = 8,   /* input noise: row, step = update */
    JEMI_RANDOM_NOISE_LABELLED = 9,
    JEMI_RANDOM_START_ROW = 10, /* starts drawn for the caller */
    JEMI_RANDOM_START_ROW_CHOICE = 11,
    JEMI_RANDOM_START_FACTOR = 12, /* along the kept directions of a Gaussian start */
    JEMI_RANDOM_START_ROW_FACTOR = 13,
    JEMI_RANDOM_FIT = 14,              /* test matrices of the range finder: row = class */
    JEMI_RANDOM_AUGMENT_LABELLED = 15, /* shift and reflection: row, step = update */
    JEMI_RANDOM_AUGMENT_DATA = 16,
    JEMI_RANDOM_DROPOUT_LABELLED = 17, /* masks: row, step = update */
    JEMI_RANDOM_DROPOUT_DATA = 18,
    JEMI_RANDOM_DROPOUT_SAMPLES = 19,
    JEMI_RANDOM_BOOTSTRAP =
        20, /* rows of classification, or in-distribution ones: step = resample */
    JEMI_RANDOM_BOOTSTRAP_OUT = 21,  /* out-of-distribution rows */
    JEMI_RANDOM_NOISE_OUTLIERS = 22, /* the three of the outliers of a step, as those above */
    JEMI_RANDOM_AUGMENT_OUTLIERS = 23,
    JEMI_RANDOM_DROPOUT_OUTLIERS = 24,
    JEMI_RANDOM_DIRECTIONS = 25,  /* test matrix for the leading directions of features */
    JEMI_RANDOM_CALIBRATION = 26, /* which held-out rows calibrate the combination: row */
    JEMI_RANDOM_ATTACK = 27,      /* starts and proposals: row, step = moment of the attack */
    JEMI_RANDOM_REFINE = 28,      /* noise of a refinement that an attack sees: epoch = sample */
    JEMI_RANDOM_VERDICT = 29, /* noise of the refinement that decides, which no attack has seen */
} jemi_purpose;

typedef struct jemi_random_key {
    uint32_t v[2];
} jemi_random_key;

jemi_random_key jemi_random_key_make(uint64_t seed, jemi_purpose purpose, uint32_t epoch);

/** The four numbers of one counter. */
void jemi_random_u32x4(jemi_random_key key, uint32_t block, uint32_t row, uint64_t step,
                       uint32_t out[4]);

/** The first of them. */
uint32_t jemi_random_u32(jemi_random_key key, uint32_t block, uint32_t row, uint64_t step);

/** The open interval (0, 1), 23 bits: one more and the largest would round to 1. */
static inline float jemi_unit_from_u32(uint32_t bits)
{
    return ((float)(int32_t)(bits >> 9) + 0.5f) * 0x1p-23f;
}

/** 0 .. bound - 1, bound >= 1, by multiplication: bias below 2^-32. */
static inline uint32_t jemi_below_from_u32(uint32_t bits, uint32_t bound)
{
    return (uint32_t)(((uint64_t)bits * bound) >> 32);
}

#endif
