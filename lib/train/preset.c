/*
 * The table of recipes, in the units of the papers: decay at epochs, images of 32x32. A new preset
 * is a JEM_PRESET_ number with its paragraph in jem.h, which also tells the sources, and a row
 * here.
 *
 * What no recipe changes is not in the table: a buffer of 10,000 chains of which 5 % restart,
 * momentum 0.9, beta2 0.999.
 */
#include "train/preset.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"

enum { DECAYS_MAX = 3, GAUSSIAN_RANK = 32, CROP_MAX = 64, SIDE_PER_CROP = 8 };

typedef struct recipe {
    jem_preset_info info;
    struct {
        int32_t steps;
        float step_size, noise_std, grad_clamp; /* no clamp: INFINITY */
        bool x_clamp;
        int32_t start;
    } chain;
    struct {
        int32_t kind;
        float lr, beta1, weight_decay, clip_norm; /* no clip: INFINITY */
        float sam_rho;                            /* adaptive */
    } optimizer;
    struct {
        int64_t warmup_steps;
        float factor;
        int32_t epochs[DECAYS_MAX]; /* 0 ends them */
    } decay;
    struct {
        float w_px, w_pyx, energy_l2, input_noise;
    } loss;
    struct {
        bool labelled, data; /* crop and flip of these rows */
    } augment;
    bool guard;
} recipe;

#define NONE INFINITY

// clang-format off
static const recipe recipes[] = {
    [JEM_PRESET_SAFE] = {
        .info = {.name = "safe", .summary = "JEM made steady by clamps, energy L2 and guard",
                 .arch_options = "", .input_low = -1, .input_high = 1, .n_labelled = 64,
                 .epochs = 150, .fit_labels = 1},
        .chain = {.steps = 20, .step_size = 1, .noise_std = 0.01f, .grad_clamp = 1, .x_clamp = true,
                  .start = JEM_START_UNIFORM},
        .optimizer = {JEM_OPTIMIZER_ADAM, .lr = 1e-4f, .beta1 = 0.9f, .clip_norm = 5},
        .decay = {.warmup_steps = 1000, .factor = 0.3f, .epochs = {50, 100}},
        .loss = {.w_px = 1, .w_pyx = 1, .energy_l2 = 0.1f, .input_noise = 0.03f},
        .guard = true,
    },
    [JEM_PRESET_JEM2020] = {
        .info = {.name = "jem2020", .summary = "JEM (Grathwohl et al. 2020)",
                 .arch_options = "norm=none", .input_low = -1, .input_high = 1, .n_data = 64,
                 .n_labelled = 64, .epochs = 150, .fit_labels = 1},
        .chain = {.steps = 20, .step_size = 1, .noise_std = 0.01f, .grad_clamp = NONE,
                  .start = JEM_START_UNIFORM},
        .optimizer = {JEM_OPTIMIZER_ADAM, .lr = 1e-4f, .beta1 = 0.9f, .clip_norm = NONE},
        .decay = {.warmup_steps = 1000, .factor = 0.3f, .epochs = {50, 100}},
        .loss = {.w_px = 1, .w_pyx = 1, .input_noise = 0.03f},
        .augment = {.labelled = true, .data = true},
    },
    [JEM_PRESET_JEMPP] = {
        .info = {.name = "jempp", .summary = "JEM++ (Yang & Ji 2021)",
                 .arch_options = "norm=batch", .input_low = -1, .input_high = 1, .n_data = 64,
                 .n_labelled = 64, .epochs = 150, .fit_labels = 1},
        .chain = {.steps = 10, .step_size = 1, .grad_clamp = 1, .x_clamp = true,
                  .start = JEM_START_GAUSSIAN},
        .optimizer = {JEM_OPTIMIZER_SGD, .lr = 0.1f, .beta1 = 0.9f, .weight_decay = 4e-4f,
                      .clip_norm = NONE},
        .decay = {.warmup_steps = 1000, .factor = 0.2f, .epochs = {50, 100, 125}},
        .loss = {.w_px = 1, .w_pyx = 1, .input_noise = 0.03f},
        .augment = {.labelled = true, .data = true},
    },
    [JEM_PRESET_SADA] = {
        .info = {.name = "sada", .summary = "SADA-JEM: sharpness-aware (Yang, Su & Ji 2023)",
                 .arch_options = "norm=batch", .input_low = -1, .input_high = 1, .n_data = 64,
                 .n_labelled = 128, .epochs = 200, .fit_labels = 1},
        .chain = {.steps = 5, .step_size = 1, .grad_clamp = 1, .x_clamp = true,
                  .start = JEM_START_GAUSSIAN},
        .optimizer = {JEM_OPTIMIZER_SGD, .lr = 0.1f, .beta1 = 0.9f, .weight_decay = 5e-4f,
                      .clip_norm = NONE, .sam_rho = 2},
        .decay = {.warmup_steps = 1000, .factor = 0.2f, .epochs = {60, 120, 180}},
        .loss = {.w_px = 1, .w_pyx = 1},
        .augment = {.labelled = true},
    },
    [JEM_PRESET_MJEM] = {
        .info = {.name = "mjem", .summary = "M-JEM: energy L2, one Gaussian (Yang & Ji 2023)",
                 .arch_options = "norm=batch", .input_low = -1, .input_high = 1, .n_data = 64,
                 .n_labelled = 128, .epochs = 200},
        .chain = {.steps = 5, .step_size = 1, .noise_std = 0.001f, .grad_clamp = 1, .x_clamp = true,
                  .start = JEM_START_GAUSSIAN},
        .optimizer = {JEM_OPTIMIZER_SGD, .lr = 0.1f, .beta1 = 0.9f, .weight_decay = 5e-4f,
                      .clip_norm = NONE},
        .decay = {.warmup_steps = 1000, .factor = 0.2f, .epochs = {60, 120, 180}},
        .loss = {.w_px = 1, .w_pyx = 1, .energy_l2 = 0.5f},
        .augment = {.labelled = true},
    },
    [JEM_PRESET_IGEBM] = {
        .info = {.name = "igebm", .summary = "IGEBM: density, no labels (Du & Mordatch 2019)",
                 .arch_options = "norm=spectral", .input_low = 0, .input_high = 1, .n_data = 128,
                 .fit_labels = 1},
        .chain = {.steps = 60, .step_size = 10, .noise_std = 0.005f, .grad_clamp = 0.01f,
                  .x_clamp = true, .start = JEM_START_UNIFORM},
        .optimizer = {JEM_OPTIMIZER_ADAM, .lr = 3e-4f, .beta1 = 0, .clip_norm = NONE},
        .loss = {.w_px = 1, .energy_l2 = 1, .input_noise = 1.1276e-3f}, // of U(0, 1/256)
    },
    [JEM_PRESET_CLASSIFIER] = {
        .info = {.name = "classifier", .summary = "the plain classifier to compare with",
                 .arch_options = "", .input_low = -1, .input_high = 1, .n_labelled = 64,
                 .epochs = 150, .fit_labels = 1},
        .chain = {.steps = 20, .step_size = 1, .noise_std = 0.01f, .grad_clamp = NONE,
                  .start = JEM_START_UNIFORM},
        .optimizer = {JEM_OPTIMIZER_ADAM, .lr = 1e-4f, .beta1 = 0.9f, .clip_norm = NONE},
        .decay = {.warmup_steps = 1000, .factor = 0.3f, .epochs = {50, 100}},
        .loss = {.w_pyx = 1, .input_noise = 0.03f},
        .augment = {.labelled = true},
    },
};
// clang-format on

enum { PRESET_LAST = sizeof recipes / sizeof recipes[0] - 1 };

jem_status jemi_preset_check(int32_t preset)
{
    if (preset < JEM_PRESET_SAFE || preset > PRESET_LAST)
        return jemi_fail(JEM_EINVAL, "preset is %d; expected %d..%d", (int)preset, JEM_PRESET_SAFE,
                         PRESET_LAST);
    return JEM_OK;
}

// The arch of a model is in its full form, which tells the norm unless it is none.
static bool has_option(const char *arch, const char *option)
{
    const char *norm = strstr(arch, "norm=");
    if (norm == NULL)
        return strcmp(option, "norm=none") == 0;
    const size_t length = strcspn(norm, ",");
    return strlen(option) == length && memcmp(norm, option, length) == 0;
}

jem_status jemi_preset_check_model(int32_t preset, const jem_model *model)
{
    const jem_preset_info *info = &recipes[preset].info;
    const char *arch = model->graph.arch;
    if (info->arch_options[0] == '\0' || has_option(arch, info->arch_options))
        return JEM_OK;
    return jemi_fail(JEM_EMISMATCH, "preset %s needs %s; the model is %s%s", info->name,
                     info->arch_options, arch,
                     strstr(arch, "norm=") == NULL ? " with norm=none" : "");
}

jem_status jemi_preset_find(const char *name, int32_t *preset)
{
    char names[256];
    size_t length = 0;
    for (int32_t i = JEM_PRESET_SAFE; i <= PRESET_LAST; i++) {
        if (strcmp(name, recipes[i].info.name) == 0) {
            *preset = i;
            return JEM_OK;
        }
        length += (size_t)jemi_format(names + length, sizeof names - length, "%s%s",
                                      length > 0 ? ", " : "", recipes[i].info.name);
    }
    return jemi_fail(JEM_ENOTFOUND, "there is no preset \"%.40s\"; expected one of %s", name,
                     names);
}

const jem_preset_info *jemi_preset_info(int32_t preset)
{
    return &recipes[preset].info;
}

static void fill_sampler(const recipe *r, const jem_model *model, jem_sampler_config *config)
{
    float low = r->info.input_low, high = r->info.input_high;
    if (model != NULL)
        jemi_model_input_range(model, &low, &high);
    config->steps = r->chain.steps;
    config->step_size = r->chain.step_size;
    config->noise_std = r->chain.noise_std;
    config->grad_clamp = r->chain.grad_clamp;
    config->start = r->chain.start;
    config->start_rank = r->chain.start == JEM_START_GAUSSIAN ? GAUSSIAN_RANK : 0;
    config->start_low = low;
    config->start_high = high;
    if (r->chain.x_clamp) {
        config->x_low = low;
        config->x_high = high;
    }
}

static void fill_optimizer(const recipe *r, jem_optimizer_config *config)
{
    config->kind = r->optimizer.kind;
    config->lr = r->optimizer.lr;
    config->beta1 = r->optimizer.beta1;
    config->weight_decay = r->optimizer.weight_decay;
    config->clip_norm = r->optimizer.clip_norm;
    config->sam_rho = r->optimizer.sam_rho;
    config->sam_adaptive = r->optimizer.sam_rho > 0.0f;
    config->warmup_steps = r->decay.warmup_steps;
    if (r->decay.epochs[0] == 0)
        return;
    config->schedule = JEM_SCHEDULE_STEP;
    config->lr_factor = r->decay.factor;
    for (int i = 0; i < DECAYS_MAX; i++) // rounded once, as the schedule rounds step / total_steps
        config->milestones[i] = (float)((double)r->decay.epochs[i] / (double)r->info.epochs);
}

static void fill_augmentation(const recipe *r, const jem_model *model, jem_train_config *config)
{
    const jemi_shape shape =
        model != NULL ? jemi_model_input(model) : (jemi_shape){.c = 3, .h = 32, .w = 32};
    const int64_t side = shape.h < shape.w ? shape.h : shape.w;
    if (side == 1 || !r->augment.labelled)
        return;
    const int64_t crop = side / SIDE_PER_CROP;
    config->augment_crop = (int32_t)(crop < CROP_MAX ? crop : CROP_MAX);
    config->augment_flip = 1;
    config->augment_data = r->augment.data;
}

static void fill_train(const recipe *r, const jem_model *model, jem_train_config *config)
{
    config->w_px = r->loss.w_px;
    config->w_pyx = r->loss.w_pyx;
    config->energy_l2 = r->loss.energy_l2;
    config->input_noise = r->loss.input_noise;
    config->guard = r->guard;
    fill_augmentation(r, model, config);
}

void jemi_preset_fill(int32_t preset, const jem_model *model, jem_sampler_config *sampler,
                      jem_optimizer_config *optimizer, jem_train_config *train)
{
    const recipe *r = &recipes[preset];
    fill_sampler(r, model, sampler);
    fill_optimizer(r, optimizer);
    fill_train(r, model, train);
}
