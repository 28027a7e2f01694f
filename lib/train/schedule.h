/*
 * The learning rate of a step, a pure function of the config.
 */
#ifndef JEMI_TRAIN_SCHEDULE_H
#define JEMI_TRAIN_SCHEDULE_H

#include <jem/jem.h>

/**
 * lr of step `step` = 0, 1, .. by the formulas at jem_optimizer_config. `progress` is s where
 * total_steps is 0.
 */
float jemi_schedule_rate(const jem_optimizer_config *config, int64_t step, float progress);

#endif
