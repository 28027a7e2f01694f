/*
 * A host that answers only what its model knows: requests are gated by a calibrated detector.
 *
 *     ./02_train moons.safetensors && ./05_gate moons.safetensors
 *
 * At most 5 % of usual requests are turned away, with 95 % confidence.
 */
#include <math.h>

#include "example.h"

enum { ROWS = 2000, REQUESTS = 8 };

static jem_detector *make_detector(const jem_model *model)
{
    static float x[ROWS * 2], held_out[ROWS * 2];
    static int64_t y[ROWS], unused[ROWS];
    two_moons(ROWS, x, y);
    two_moons(ROWS, held_out, unused);

    jem_detector_config config;
    CHECK(jem_detector_config_init(&config, sizeof config));
    config.fpr = 0.05;
    config.confidence = 0.95;
    jem_detector *detector;
    CHECK(jem_detector_create(&detector, model, &config, NULL));
    CHECK(jem_detector_fit(detector, model, ROWS, x, y, NULL, NULL));
    CHECK(jem_detector_calibrate(detector, model, ROWS, held_out, NULL, NULL, NULL));
    return detector;
}

// What may come in: usual points, points beside the moons, and a broken sensor.
static void receive(float *x)
{
    int64_t unused[REQUESTS];
    two_moons(REQUESTS, x, unused);
    x[2 * 5] = 0.9f;
    x[2 * 5 + 1] = 0.9f;
    x[2 * 6] = -0.9f;
    x[2 * 6 + 1] = -0.9f;
    x[2 * 7] = NAN;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.safetensors (as 02_train writes it)\n", argv[0]);
        return 2;
    }
    jem_model *model;
    CHECK(jem_model_load(&model, argv[1], NULL));
    jem_detector *detector = make_detector(model);

    float x[REQUESTS * 2];
    jem_verdict verdicts[REQUESTS];
    receive(x);
    CHECK(jem_detect(detector, model, REQUESTS, x, verdicts, sizeof verdicts[0]));
    for (int i = 0; i < REQUESTS; i++) {
        const jem_verdict *v = &verdicts[i];
        printf("(%5.2f, %5.2f)  ", (double)x[2 * i], (double)x[2 * i + 1]);
        if (v->flag == JEM_FLAG_NONE)
            printf("class %d, %.0f %% sure\n", (int)v->label, 100.0 * (double)v->probability);
        else
            printf("turned away, p-value %.4f\n", (double)v->p_value);
    }
    jem_detector_destroy(detector);
    jem_model_destroy(model);
    return 0;
}
