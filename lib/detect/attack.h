/*
 * Adversarial attacks: small changes of a row that change what the model says of it.
 */
#ifndef JEMI_DETECT_ATTACK_H
#define JEMI_DETECT_ATTACK_H

#include "base/progress.h"
#include "model/model.h"

/** Rows, and what comes of them; as in jem_attack(). */
typedef struct jemi_attack_rows {
    int64_t n;
    const float *x;
    const int64_t *labels; /* NULL = none */
    float *adversarial;
    uint8_t *success; /* may be NULL */
    float *distance;  /* may be NULL */
} jemi_attack_rows;

/** Fills in what the kind decides, steps and step_size, and says whether it can do what is asked. */
jem_status jemi_attack_complete(jem_attack_config *config);

/** @param config  Checked and completed. */
jem_status jemi_attack_run(const jem_model *model, const jem_attack_config *config,
                           const jemi_attack_rows *rows, jem_progress_fn progress, void *user);

#endif
