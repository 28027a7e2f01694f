/*
 * The closed-form derivatives of outlier scores against central differences of the scores
 * themselves, at points that are not kinks.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "detect/feature_fit.h"
#include "detect/score_kinds.h"
#include "kernels/noise.h"
#include "support.h"

// Relative, of the largest derivative: differences have curvature, and maps of features are float.
static const double tolerance = 1e-3;

static void fill_normal(float *x, int64_t count, uint64_t seed)
{
    jemi_fill_normal(x, count, jemi_random_key_make(seed, JEMI_RANDOM_ATTACK, 0), 0, 0);
}

static void compare(const char *kind, int64_t n, const double *got, const double *expected)
{
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - expected[i]) <= tolerance * largest + 1e-12,
                      "%s: derivative %d is %g, by differences %g", kind, (int)i, got[i],
                      expected[i]);
}

// ---- of logits ---------------------------------------------------------------------------------

enum { LOGITS = 7 };

static double score_beside(const jemi_score_kind *kind, const jem_score_config *config,
                           const float *logits, int64_t k, float step)
{
    float moved[LOGITS];
    memcpy(moved, logits, sizeof moved);
    moved[k] += step;
    return kind->of_logits(config, LOGITS, moved);
}

static void check_logits(const jemi_score_kind *kind, const jem_score_config *config,
                         const float *logits)
{
    const float step = 0x1p-8f;
    double got[LOGITS], expected[LOGITS];
    kind->grad_of_logits(config, LOGITS, logits, got);
    for (int64_t k = 0; k < LOGITS; k++)
        expected[k] = (score_beside(kind, config, logits, k, step) -
                       score_beside(kind, config, logits, k, -step)) /
                      (2.0 * (double)step);
    compare(kind->name, LOGITS, got, expected);
}

// Multiples of 1/128 that all differ: a step is half as much, and exact.
static void fill_logits(float *logits, uint64_t seed)
{
    fill_normal(logits, LOGITS, seed);
    for (int64_t k = 0; k < LOGITS; k++)
        logits[k] = floorf(16.0f * 3.0f * logits[k]) / 16.0f + (float)k / 128.0f;
}

START_TEST(derivatives_by_logits)
{
    static const float temperatures[] = {1.0f, 0.5f, 4.0f};
    const jemi_score_kind *kind = jemi_score_kind_find(_i + 1);
    if (kind->source != JEM_SOURCE_LOGITS)
        return;
    for (size_t t = 0; t < sizeof temperatures / sizeof *temperatures; t++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            jem_score_config config;
            float logits[LOGITS];
            MUST(jem_score_config_init(&config, sizeof config));
            config.temperature = temperatures[t];
            config.gen_gamma = 0.3f;
            config.gen_classes = seed % 2 == 0 ? 100 : 3;
            fill_logits(logits, seed);
            check_logits(kind, &config, logits);
        }
}
END_TEST

// 1 - p is 1e-17 there, which 1 minus a double cannot be.
START_TEST(derivatives_of_a_sure_classifier)
{
    jem_score_config config;
    const float logits[LOGITS] = {38.0f, 0.0f, -1.0f, -2.0f, -3.0f, -4.0f, -5.0f};
    MUST(jem_score_config_init(&config, sizeof config));
    check_logits(jemi_score_kind_find(JEM_SCORE_GEN), &config, logits);
    double slopes[LOGITS];
    jemi_gradient_max_softmax(&config, LOGITS, logits, slopes);
    NEAR(slopes[0] / -exp(-38.0),
         slopes[1] / exp(-38.0) * (1.0 + exp(-1.0) + exp(-2.0) + exp(-3.0) + exp(-4.0) + exp(-5.0)),
         1e-9);
}
END_TEST

// ---- of features -------------------------------------------------------------------------------

enum { WIDTH = 12, CLASSES = 4, TRAINING = 300, STRIDE = 16 };

typedef struct world {
    jemi_feature_stats stats;
    jemi_feature_maps maps;
    float weights[CLASSES * WIDTH], bias[CLASSES];
    float features[STRIDE], logits[CLASSES];
    jem_score_config config;
} world;

// Classes around means of their own; with a rank below the width something lies beside the basis.
static void create_world(world *w, int32_t rank, uint64_t seed)
{
    static float x[TRAINING * STRIDE], logits[TRAINING * CLASSES];
    static int64_t labels[TRAINING];
    float means[CLASSES * WIDTH], noise[TRAINING * WIDTH];
    memset(w, 0, sizeof *w);
    fill_normal(means, CLASSES * WIDTH, seed);
    fill_normal(noise, TRAINING * WIDTH, seed + 1);
    fill_normal(w->weights, CLASSES * WIDTH, seed + 2);
    fill_normal(logits, TRAINING * CLASSES, seed + 3);
    for (int i = 0; i < TRAINING; i++) {
        labels[i] = i % CLASSES;
        for (int e = 0; e < WIDTH; e++)
            x[i * STRIDE + e] = 1.0f + means[i % CLASSES * WIDTH + e] +
                                0.7f * noise[i * WIDTH + e] / (1.0f + 0.1f * (float)e);
    }
    jemi_progress progress = {0};
    MUST(jemi_feature_stats_fit(&w->stats,
                                &(jemi_feature_request){.tied = true,
                                                        .background = true,
                                                        .unit = true,
                                                        .bank = true,
                                                        .rank_max = rank,
                                                        .bank_bytes = 1 << 16,
                                                        .react_percentile = 60.0},
                                &(jemi_feature_rows){.n = TRAINING,
                                                     .width = WIDTH,
                                                     .stride = STRIDE,
                                                     .features = x,
                                                     .n_classes = CLASSES,
                                                     .logits = logits,
                                                     .labels = labels},
                                &progress));
    MUST(jemi_feature_maps_create(&w->maps, &w->stats, 1));
    MUST(jem_score_config_init(&w->config, sizeof w->config));
    w->config.nci_norm_weight = 0.1f;
    w->config.neighbours = 3;
    fill_normal(w->features, WIDTH, seed + 4);
    fill_normal(w->logits, CLASSES, seed + 5);
}

static void destroy_world(world *w)
{
    jemi_feature_maps_fini(&w->maps);
    jemi_feature_stats_fini(&w->stats);
}

static jemi_feature_row row_of(world *w)
{
    jemi_feature_maps_fill(&w->maps, &w->stats, 0, 1, w->features);
    return (jemi_feature_row){.stats = &w->stats,
                              .maps = &w->maps,
                              .features = w->features,
                              .logits = w->logits,
                              .head_weights = w->weights,
                              .head_bias = w->bias};
}

static double difference(world *w, const jemi_score_kind *kind, float *value)
{
    const float step = 0x1p-8f, here = *value;
    *value = here + step;
    const float above = *value;
    jemi_feature_row row = row_of(w);
    const double high = kind->of_features(&w->config, &row);
    *value = here - step;
    row = row_of(w);
    const double low = kind->of_features(&w->config, &row), apart = (double)above - (double)*value;
    *value = here;
    return (high - low) / apart;
}

static const float *neighbour_at(world *w, int64_t e, float step)
{
    const float here = w->features[e];
    w->features[e] = here + step;
    row_of(w);
    w->features[e] = here;
    return jemi_bank_neighbour(&w->stats.bank, w->maps.unit_z, w->config.neighbours);
}

// Within a step of the point another training row may become the k-th nearest.
static bool has_kink(world *w, const jemi_score_kind *kind)
{
    if (kind->kind != JEM_SCORE_KNN)
        return false;
    for (int64_t e = 0; e < WIDTH; e++)
        if (neighbour_at(w, e, 0x1p-8f) != neighbour_at(w, e, -0x1p-8f))
            return true;
    return false;
}

static void check_features(world *w, const jemi_score_kind *kind)
{
    double features[WIDTH] = {0}, z[WIDTH] = {0}, logits[CLASSES] = {0};
    double of_features[WIDTH], of_logits[CLASSES];
    const jemi_feature_row row = row_of(w);
    const jemi_feature_slopes slopes = {features, z, logits};
    kind->grad_of_features(&w->config, &row, &slopes);
    jemi_feature_slopes_join(&w->stats, &slopes);
    for (int64_t e = 0; e < WIDTH; e++)
        of_features[e] = difference(w, kind, &w->features[e]);
    for (int64_t k = 0; k < CLASSES; k++)
        of_logits[k] = difference(w, kind, &w->logits[k]);
    compare(kind->name, WIDTH, features, of_features);
    compare(kind->name, CLASSES, logits, of_logits);
}

START_TEST(derivatives_by_features)
{
    static const int32_t ranks[] = {256, 5};
    const jemi_score_kind *kind = jemi_score_kind_find(_i + 1);
    if (kind->source != JEM_SOURCE_FEATURES)
        return;
    int n_checked = 0;
    for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            world w;
            create_world(&w, ranks[r], 100 * seed);
            if (!has_kink(&w, kind)) {
                check_features(&w, kind);
                n_checked++;
            }
            destroy_world(&w);
        }
    ck_assert_int_ge(n_checked, 10);
}
END_TEST

// Nothing can be said of the direction of features that are all 0, but nothing divides by it.
START_TEST(derivatives_at_nought)
{
    world w;
    create_world(&w, 256, 0);
    memset(w.features, 0, sizeof w.features);
    const jemi_feature_row row = row_of(&w);
    const jemi_score_kind *kind;
    for (int32_t k = 1; (kind = jemi_score_kind_find(k)) != NULL; k++) {
        double features[WIDTH] = {0}, z[WIDTH] = {0}, logits[CLASSES] = {0};
        if (kind->source != JEM_SOURCE_FEATURES)
            continue;
        kind->grad_of_features(&w.config, &row, &(jemi_feature_slopes){features, z, logits});
        for (int64_t e = 0; e < WIDTH; e++)
            ck_assert_msg(isfinite(features[e]) && isfinite(z[e]), "%s", kind->name);
    }
    destroy_world(&w);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, derivatives_by_logits, 0, JEM_SCORE_GRADNORM);
    tcase_add_test(tcase, derivatives_of_a_sure_classifier);
    tcase_add_loop_test(tcase, derivatives_by_features, 0, JEM_SCORE_GRADNORM);
    tcase_add_test(tcase, derivatives_at_nought);
}

int main(void)
{
    return support_main("score_gradients", add_tests);
}
