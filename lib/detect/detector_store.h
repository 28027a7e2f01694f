/*
 * A calibrated detector as arrays and strings, and back.
 */
#ifndef JEMI_DETECT_DETECTOR_STORE_H
#define JEMI_DETECT_DETECTOR_STORE_H

#include "detect/detector.h"
#include "model/attachment.h"

/** @param detector  Calibrated. */
jem_status jemi_detector_pack(jemi_attachment **out, const jem_detector *detector);

/**
 * Of a file nothing is trusted: what would lead out of an array, or to a NaN, is refused.
 *
 * @return JEM_OK; JEM_EFORMAT; JEM_EUNSUPPORTED: of a later version; JEM_ENOMEM. Whether it is the
 *         model's, which gives its shapes, is not looked at.
 */
jem_status jemi_detector_unpack(jem_detector **out, const jem_model *model,
                                const jemi_attached *parts);

#endif
