/*
 * One network, three answers: which class, how sure, how usual.
 *
 *     ./01_logits [MODEL.safetensors]
 *
 * Without a file a small network with random parameters is made. Every call's status is checked;
 * the library never prints or exits by itself.
 */
#include "example.h"

static jem_model *make_model(void)
{
    jem_model_config config;
    CHECK(jem_model_config_init(&config, sizeof config));
    config.arch = "cnn-16-32";
    config.channels = 1;
    config.height = 28;
    config.width = 28;
    config.classes = 10;
    jem_model *model;
    CHECK(jem_model_create(&model, &config, NULL));
    return model;
}

int main(int argc, char **argv)
{
    jem_model *model;
    if (argc > 1)
        CHECK(jem_model_load(&model, argv[1], NULL));
    else
        model = make_model();

    jem_model_info info = {.struct_size = sizeof info};
    CHECK(jem_model_get_info(model, &info));
    printf("%s: %d x %d x %d -> %d classes, %lld parameters\n", jem_model_arch(model),
           (int)info.channels, (int)info.height, (int)info.width, (int)info.classes,
           (long long)info.param_count);

    /* A row of mid-grey, as an input of this model. */
    float *x = calloc((size_t)info.input_size, sizeof *x);
    float *logits = malloc((size_t)info.classes * sizeof *logits);
    float energy, score;
    CHECK(jem_logits(model, 1, x, logits));
    CHECK(jem_energy(model, 1, x, NULL, &energy));
    CHECK(jem_score(model, JEM_SCORE_MAX_SOFTMAX, NULL, 1, x, &score));

    for (int32_t k = 0; k < info.classes; k++) {
        char name[64];
        CHECK(jem_model_get_class_name(model, k, name, sizeof name, NULL));
        printf("  %-12s %8.4f\n", name, (double)logits[k]);
    }
    printf("energy E(x) = %.4f (low = usual), p(most likely class) = %.4f\n", (double)energy,
           -(double)score);

    free(logits);
    free(x);
    jem_model_destroy(model);
    return 0;
}
