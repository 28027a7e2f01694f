/*
 * Parameters after some steps of training have the same bits at any thread count, whatever the
 * layers are: jem.h promises it of the reference, and of processors with AVX-512, where our own
 * kernels take all gradients of weights. Of networks that go by lanes test_lanes.c asks more.
 */
#include <stdlib.h>

#include "kernels/isa.h"
#include "support.h"

enum { CHANNELS = 3, SIDE = 12, PIXELS = CHANNELS * SIDE * SIDE, CLASSES = 5 };
enum { ROWS = 37, STEPS = 2 };

typedef struct network_row {
    const char *arch;
    int32_t precision; /* of chains and training */
    bool everywhere;   /* in the reference too, which is slow */
} network_row;

static const network_row networks[] = {
    {"mlp-200-67", JEM_PRECISION_F32, true},
    {"mlp-300:norm=batch,dropout=0.2", JEM_PRECISION_F32, true},
    {"cnn-5-7", JEM_PRECISION_F32, true},
    {"cnn-5-19:act=silu,norm=batch", JEM_PRECISION_F32, true},
    {"cnn-33-17-16:norm=batch", JEM_PRECISION_F32, false},
    {"wrn-10-1:norm=batch", JEM_PRECISION_F32, false},
    {"wrn-10-1:norm=batch", JEM_PRECISION_BF16, false},
    {"wrn-16-2", JEM_PRECISION_F32, false}, // in chunks, as the next three
    {"wrn-10-2:norm=group8", JEM_PRECISION_F32, false},
    {"wrn-10-2:norm=instance", JEM_PRECISION_BF16, false},
    {"wrn-10-2:norm=spectral", JEM_PRECISION_F32, false},
};

static jem_model *make_model(const network_row *row, int32_t backend, int32_t threads)
{
    jem_exec_config exec = support_exec(backend, threads);
    exec.precision_chains = exec.precision_training = row->precision;
    return support_image_model(row->arch, CHANNELS, SIDE, CLASSES, &exec);
}

// All terms, outliers, drawn samples, both gradients of SAM, and labels whose shares differ.
static uint64_t train(const network_row *row, int32_t backend, int32_t threads)
{
    jem_model *model = make_model(row, backend, threads);
    jem_sampler_config chains = support_sampler_config(2 * ROWS, 2);
    chains.class_conditional = 1;
    jem_sampler *sampler = support_sampler(model, &chains);
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.sam_rho = 0.05f;
    config.clip_norm = 0.5f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    jem_train_config terms;
    MUST(jem_train_config_init(&terms, sizeof terms));
    terms.w_pxy = 0.5f;
    terms.w_outlier = 0.3f;
    terms.augment_crop = 1;
    float *x = support_uniform(ROWS * PIXELS, 3), *outliers = support_uniform(ROWS * PIXELS, 4);
    int64_t labels[ROWS];
    for (int i = 0; i < ROWS; i++)
        labels[i] = i * i % CLASSES;
    jem_train_batch batch = support_batch(ROWS, x, labels);
    batch.n_outliers = ROWS - 5;
    batch.x_outliers = outliers;
    for (int step = 0; step < STEPS; step++)
        MUST(jem_train_step(model, optimizer, sampler, &terms, &batch, NULL));
    float *params = support_params(model);
    const uint64_t hash = support_hash(params, (size_t)support_param_count(model) * sizeof *params);
    free(params);
    free(x);
    free(outliers);
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return hash;
}

START_TEST(test_bits_of_training)
{
    const network_row *row = &networks[_i / support_n_backends];
    const int32_t backend = support_backends[_i % support_n_backends];
    if (backend == JEM_BACKEND_REF ? !row->everywhere : !jemi_kernels_available())
        return;
    const uint64_t one = train(row, backend, 1);
    for (int32_t threads = 2; threads <= 3; threads++)
        ck_assert_msg(train(row, backend, threads) == one, "%s, precision %d, %d threads",
                      row->arch, (int)row->precision, (int)threads);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_bits_of_training, 0, COUNT(networks) * support_n_backends);
}

int main(void)
{
    return support_main("training at any thread count", add_tests);
}
