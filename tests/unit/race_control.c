/*
 * Shows that ThreadSanitizer sees the library: while jem_logits() reads a row, another thread writes
 * it. The test is that the sanitizer reports this race. Other tests that report nothing would
 * otherwise prove nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "jem/jem.h"

enum { FEATURES = 6, CLASSES = 4, ROUNDS = 10 };

static jem_model *model;
static float row[FEATURES];
static pthread_barrier_t round_begins;

// Takes no lock within a round, so that nothing orders it after or before the reader.
static void *write_row(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&round_begins);
        row[i % FEATURES] = (float)i;
    }
    return NULL;
}

static jem_status read_row(void)
{
    jem_status status = JEM_OK;
    for (int i = 0; i < ROUNDS; i++) {
        float logits[CLASSES];
        pthread_barrier_wait(&round_begins);
        if (status == JEM_OK)
            status = jem_logits(model, 1, row, logits);
    }
    return status;
}

int main(void)
{
    jem_model_config config;
    jem_exec_config exec;
    if (jem_model_config_init(&config, sizeof config) != JEM_OK ||
        jem_exec_config_init(&exec, sizeof exec) != JEM_OK)
        return EXIT_FAILURE;
    config.arch = "mlp-8";
    config.channels = FEATURES;
    config.classes = CLASSES;
    exec.threads = 1;
    if (jem_model_create(&model, &config, &exec) != JEM_OK) {
        fprintf(stderr, "%s\n", jem_last_error());
        return EXIT_FAILURE;
    }
    pthread_t other;
    if (pthread_barrier_init(&round_begins, NULL, 2) != 0 ||
        pthread_create(&other, NULL, write_row, NULL) != 0)
        return EXIT_FAILURE;
    const jem_status status = read_row();
    pthread_join(other, NULL);
    pthread_barrier_destroy(&round_begins);
    jem_model_destroy(model);
    return status == JEM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
