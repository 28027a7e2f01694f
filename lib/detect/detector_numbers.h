/*
 * The numbers of a stored detector. In the file they are strings: JSON numbers could not hold 64
 * bits.
 */
#ifndef JEMI_DETECT_DETECTOR_NUMBERS_H
#define JEMI_DETECT_DETECTOR_NUMBERS_H

#include "detect/belonging.h"
#include "model/attachment.h"

typedef struct jemi_detector_numbers {
    uint64_t format;
    jemi_belonging model;
    jem_detector_config config;
    jem_score_config scores;
    double fpr, confidence; /* of the thresholds */
    int64_t n_fitted;
    int64_t rank; /* 0: there are no statistics */
    int64_t vim_rank;
    float residual_variance, unit_residual_variance, vim_scale, react_clip;
    int32_t combine, n_groups;
} jemi_detector_numbers;

enum { JEMI_DETECTOR_FORMAT = 1, JEMI_DETECTOR_NUMBERS = 36, JEMI_DETECTOR_NUMBER_SIZE = 32 };

/** Number i < JEMI_DETECTOR_NUMBERS as a pair of strings, the second in `text`. */
jemi_string_pair jemi_detector_number_format(const jemi_detector_numbers *numbers, int i,
                                             char text[JEMI_DETECTOR_NUMBER_SIZE]);

/** JEM_EFORMAT: one is missing or out of its range; JEM_EUNSUPPORTED: of a later format. */
jem_status jemi_detector_numbers_read(jemi_detector_numbers *numbers, const jemi_attached *parts);

#endif
