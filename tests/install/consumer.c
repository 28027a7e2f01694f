/*
 * What a program of somebody else does first: it includes the installed header, links the installed
 * library, computes.
 */
#include <jem/jem.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    jem_model_config config;
    jem_model *model;
    const float x[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    float logits[2], energy[1];

    if (jem_model_config_init(&config, sizeof config) != JEM_OK)
        return 1;
    config.arch = "mlp-8";
    config.channels = 4;
    config.classes = 2;
    if (jem_model_create(&model, &config, NULL) != JEM_OK) {
        fprintf(stderr, "%s\n", jem_last_error());
        return 1;
    }
    if (jem_logits(model, 1, x, logits) != JEM_OK ||
        jem_energy(model, 1, x, NULL, energy) != JEM_OK)
        return 1;
    jem_model_destroy(model);
    printf("libjem %s %g\n", jem_version_string(), (double)energy[0]);
    return jem_version_number() ==
                   JEM_VERSION_MAJOR * 10000 + JEM_VERSION_MINOR * 100 + JEM_VERSION_PATCH
               ? 0
               : 1;
}
