/*
 * Figures of merit: of a classifier's probabilities, of outlier scores, of uncertainties, of
 * samples. jem.h defines each of them. Arguments are checked; struct_size is left alone.
 */
#ifndef JEMI_DETECT_METRICS_H
#define JEMI_DETECT_METRICS_H

#include "detect/curve.h"

/** Logits to be judged, and how. */
typedef struct jemi_labelled_logits {
    int64_t n;
    int32_t classes, bins;
    const float *logits;   /* (n, classes) */
    const int64_t *labels; /* (n) */
    double temperature;
} jemi_labelled_logits;

jem_status jemi_classification_metrics(const jemi_labelled_logits *from, jem_classification *out);
jem_status jemi_classification_intervals(const jemi_labelled_logits *from,
                                         const jem_bootstrap_config *bootstrap,
                                         jem_classification *low, jem_classification *high);
/** `kind` is a JEM_BINS_*. The arrays are (bins). */
jem_status jemi_reliability(const jemi_labelled_logits *from, int32_t kind, int64_t *count,
                            double *confidence, double *accuracy);

/** Outlier scores of both kinds of rows, none of them NaN. */
typedef struct jemi_detection_scores {
    int64_t n_in, n_out;
    const float *in, *out;
} jemi_detection_scores;

jem_status jemi_auroc(const jemi_detection_scores *scores, double *auroc);
jem_status jemi_detection_metrics(const jemi_detection_scores *scores, double tpr,
                                  jem_detection *out);
jem_status jemi_detection_intervals(const jemi_detection_scores *scores, double tpr,
                                    const jem_bootstrap_config *bootstrap, jem_detection *low,
                                    jem_detection *high);

jem_status jemi_roc_curve(const jemi_detection_scores *scores, jemi_curve *curve);

jem_status jemi_selective_metrics(int64_t n, const float *uncertainty, const float *loss,
                                  jem_selection *out);
jem_status jemi_risk_coverage_curve(int64_t n, const float *uncertainty, const float *loss,
                                    jemi_curve *curve);

/** Rows of features. */
typedef struct jemi_features {
    int64_t n, width;
    const float *x; /* (n, width) */
} jemi_features;

/** Both sets have the same width. */
jem_status jemi_frechet_distance(const jemi_features *a, const jemi_features *b, double *distance);
jem_status jemi_precision_recall(const jemi_features *real, const jemi_features *samples, int32_t k,
                                 double *precision, double *recall);

jem_status jemi_inception_score(int64_t n, int32_t classes, const float *logits, double *score);

#endif
