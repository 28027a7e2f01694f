/*
 * Blocks of attacks are no larger than those of detectors, so a look is one call.
 */
#include "detect/attack_detector.h"

#include <math.h>

static void judge(const jemi_front *front, const jem_detector *detector, int64_t i)
{
    const jemi_calibration *calibration = &jemi_detector_learnt(detector)->calibration;
    const jemi_detector_work *work = &front->scored;
    jemi_attacked *row = front->rows[i];
    const float score = jemi_calibration_combine(calibration, work->scores + i * detector->n_kinds,
                                                 work->rejected[i], NULL);
    row->cost = (double)score - (double)jemi_calibration_threshold(calibration, work->labels[i]);
    row->reached = !jemi_calibration_flags(calibration, work->labels[i], score);
}

jem_status jemi_attack_look_at_detector(jemi_front *front, int plane, int grads)
{
    const jemi_attack *attack = front->attack;
    const jem_detector *detector = attack->config->detector;
    const float *points = front->planes[plane];
    if (front->n == 0)
        return JEM_OK;
    JEMI_TRY(jemi_detector_score_rows(detector, attack->model, attack->runner, -1, front->n, points,
                                      &front->scored));
    for (int64_t i = 0; i < front->n; i++)
        judge(front, detector, i);
    if (grads < 0)
        return JEM_OK;
    return jemi_detector_gradient_rows(&front->gradient, detector, attack->model, attack->runner,
                                       -1, front->n, points, &front->scored, front->planes[grads]);
}
