/*
 * jem train --preset: what the recipe says becomes the default of every option that was not given.
 */
#include <stdio.h>

#include "train.h"

typedef cli_train_args args_t;

typedef struct configs {
    jem_sampler_config sampler;
    jem_optimizer_config optimizer;
    jem_train_config train;
    jem_preset_info info;
} configs;

// ---- what each option becomes ------------------------------------------------------------------

static void take_info(const jem_preset_info *info, args_t *args)
{
    args->batch = info->n_data > 0 ? info->n_data : info->n_labelled;
}

static void take_optimizer(const jem_optimizer_config *config, args_t *args)
{
    args->optimizer = config->kind;
    args->lr = config->lr;
    args->momentum = config->momentum;
    args->beta1 = config->beta1;
    args->beta2 = config->beta2;
    args->eps = config->eps;
    args->weight_decay = config->weight_decay;
    args->clip_norm = config->clip_norm;
    args->warmup = config->warmup_steps;
    args->schedule = config->schedule;
    args->lr_factor = config->lr_factor;
    args->lr_floor = config->lr_floor;
    args->sam_rho = config->sam_rho;
    args->ema = config->ema_decay;
}

static void take_train(const jem_train_config *config, args_t *args)
{
    args->w_px = config->w_px;
    args->w_pyx = config->w_pyx;
    args->w_pxy = config->w_pxy;
    args->energy_l2 = config->energy_l2;
    args->input_noise = config->input_noise;
    args->crop = args->no_augment ? 0 : config->augment_crop;
    args->flip = config->augment_flip && !args->no_augment;
    args->guard_tries = config->guard_tries;
    args->guard_every = config->guard_every;
}

static void take_sampler(const jem_sampler_config *config, args_t *args)
{
    args->sgld_steps = config->steps;
    args->capacity = config->capacity;
    args->reinit = config->reinit_prob;
    args->class_conditional = config->class_conditional;
    args->chain.step_size = config->step_size;
    args->chain.matched_noise = config->matched_noise;
    args->chain.grad_clamp = config->grad_clamp;
    args->chain.start = config->start;
    args->chain.uniform_fraction = config->uniform_fraction;
}

// The options that belong to another one, which may have been given: they follow it.
static void take_dependent(const configs *c, const args_t *now, args_t *args)
{
    const cli_chain_args *chain = &now->chain;
    const bool gaussian = chain->start == JEM_START_GAUSSIAN || chain->start == JEM_START_MIXTURE;
    const bool clamps = !isinf(c->sampler.x_low) || !isnan(chain->x_low) || !isnan(chain->x_high);
    const bool labels = now->w_pyx > 0.0 || now->w_pxy > 0.0;
    const bool apart = labels && c->info.n_data > 0 && c->info.n_labelled > 0;
    const bool endless = now->steps == 0 && isnan(now->seconds);
    args->chains = now->batch;
    args->chain.noise_std = chain->matched_noise ? NAN : (double)c->sampler.noise_std;
    args->chain.start_rank = gaussian ? c->sampler.start_rank : 0;
    args->chain.no_x_clamp = !clamps;
    args->sam_adaptive = c->optimizer.sam_adaptive && now->sam_rho > 0.0;
    args->augment_data = c->train.augment_data && (now->crop > 0 || now->flip);
    args->labelled_batch = apart ? c->info.n_labelled : 0;
    args->epochs = endless ? c->info.epochs : 0;
    // The recipe counts passes over the labelled rows, --epochs those over the data.
    const int64_t labelled = now->labelled_batch > 0 ? now->labelled_batch : c->info.n_labelled;
    if (apart)
        args->epochs = args->epochs * now->batch / labelled;
}

// ---- the preset --------------------------------------------------------------------------------

static cli_status get_configs(const char *name, const jem_model *model, configs *c, cli_error *err)
{
    int32_t preset;
    *c = (configs){.sampler = {.struct_size = sizeof c->sampler},
                   .optimizer = {.struct_size = sizeof c->optimizer},
                   .train = {.struct_size = sizeof c->train},
                   .info = {.struct_size = sizeof c->info}};
    jem_status status = jem_preset_find(name, &preset);
    if (status == JEM_OK)
        status = jem_preset(model, preset, &c->sampler, &c->optimizer, &c->train, &c->info);
    if (status == JEM_ENOTFOUND || status == JEM_EMISMATCH)
        return cli_usage(err, "%s", jem_last_error());
    return cli_jem(err, status);
}

static cli_status init_recipe(cli_train_recipe *recipe, cli_error *err)
{
    recipe->info = (jem_preset_info){
        .arch_options = "", .input_low = -1.0f, .input_high = 1.0f, .fit_labels = 1};
    return cli_jem(err, jem_optimizer_config_init(&recipe->optimizer, sizeof recipe->optimizer));
}

cli_status cli_train_take_preset(cli_train_run *run, cli_error *err)
{
    args_t *args = run->args, recipe = *args;
    configs c;
    if (args->preset == NULL)
        return init_recipe(&run->recipe, err);
    CLI_TRY(get_configs(args->preset, run->model, &c, err));
    run->recipe = (cli_train_recipe){.info = c.info, .optimizer = c.optimizer};
    take_info(&c.info, &recipe);
    take_optimizer(&c.optimizer, &recipe);
    take_train(&c.train, &recipe);
    take_sampler(&c.sampler, &recipe);
    cli_options_take(run->options, &args->given, &recipe, args);
    take_dependent(&c, args, &recipe);
    cli_options_take(run->options, &args->given, &recipe, args);
    return CLI_OK;
}

void cli_train_print_presets(void)
{
    jem_preset_info info = {.struct_size = sizeof info};
    printf("\nPresets, and what they need of --arch\n");
    for (int32_t i = 1; jem_preset(NULL, i, NULL, NULL, NULL, &info) == JEM_OK; i++)
        printf("  %-12s%s%s%s\n", info.name, info.summary, info.arch_options[0] != '\0' ? "; " : "",
               info.arch_options);
}
