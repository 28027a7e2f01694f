/*
 * lib/train/guard: faults of every kind are found before they enter an update and undone bit by
 * bit, the run goes on elsewhere, and 20 healthy runs of 2,000 steps are left alone. Longer ones:
 *
 *     JEM_TEST_STEPS=50000 test_guard
 */
#include <stddef.h>
#include <stdio.h>

#include "toy_run.h"

enum { GUARDED = 1, CLASSIFIER = 7, BEFORE = 30, SINCE = 4 }; /* BEFORE: a multiple of 10 */

static jem_exec_config exec;

// ---- faults -------------------------------------------------------------------------------------

static float *current_params(const toy_run *run)
{
    return run->model->generations->current->params;
}

static void spoil_parameter(toy_run *run)
{
    current_params(run)[3] = NAN;
}

static void spoil_first_moment(toy_run *run)
{
    run->optimizer->state1[5] = NAN;
}

static void spoil_second_moment(toy_run *run)
{
    run->optimizer->state2[5] = INFINITY;
}

static void spoil_buffer(toy_run *run)
{
    for (int c = 0; c < TOY_CHAINS; c += 3)
        run->sampler->chains[c * run->row_len] = NAN;
}

static void spoil_buffer_far(toy_run *run)
{
    for (int c = 0; c < TOY_CHAINS; c += 3)
        run->sampler->chains[c * run->row_len] = 2e5f;
}

static void spoil_data(toy_run *run)
{
    for (int64_t i = 0; i < TOY_ROWS * run->row_len; i++)
        run->x[i] *= 1e30f;
}

static void spoil_data_a_little(toy_run *run)
{
    for (int64_t i = 0; i < TOY_ROWS * run->row_len; i++)
        run->x[i] *= 1e4f;
}

static void spoil_gradient(toy_run *run)
{
    run->optimizer->config.sam_rho = 1e29f; // the second gradient, so that the loss looks healthy
}

static void spoil_loss(toy_run *run)
{
    run->config.energy_l2 = 1e29f;
}

static void spoil_rate(toy_run *run)
{
    float lr;
    MUST(jem_optimizer_get(run->optimizer, &lr, NULL));
    MUST(jem_optimizer_set_lr(run->optimizer, 1000.0f * lr));
}

static void spoil_temperature(toy_run *run)
{
    run->sampler->config.step_size = 1e6f;
}

typedef struct fault_row {
    const char *name;
    void (*spoil)(toy_run *run);
    const char *word; // of what is found
} fault_row;

static const fault_row faults[] = {
    {"NaN in a parameter", spoil_parameter, ""},
    {"NaN in the first moment", spoil_first_moment, "update"},
    {"infinite second moment", spoil_second_moment, ""},
    {"NaN in the buffer", spoil_buffer, "chain"},
    {"chains far away", spoil_buffer_far, ""},
    {"huge data", spoil_data, ""},
    {"data 10,000 times as large", spoil_data_a_little, ""},
    {"NaN in the gradient", spoil_gradient, "second parameter gradient"},
    {"loss beyond bounds", spoil_loss, "loss"},
    {"learning rate x 1000", spoil_rate, "norm of the update"},
    {"chains that explode", spoil_temperature, "samples"},
};

static toy_run healthy_run(int recipe)
{
    toy_run run = toy_make(&toy_recipes[recipe], &exec, 0);
    toy_steps(&run, BEFORE);
    return run;
}

// What is spoilt outside of the snapshot is mended by hand.
static void mend(toy_run *run, const toy_run *healthy)
{
    run->config.energy_l2 = healthy->config.energy_l2;
    run->optimizer->config.sam_rho = healthy->optimizer->config.sam_rho;
    run->sampler->config.step_size = healthy->sampler->config.step_size;
    memcpy(run->x, healthy->x, (size_t)(TOY_ROWS * run->row_len) * sizeof *run->x);
}

START_TEST(test_fault_is_undone)
{
    const fault_row *row = &faults[_i / support_n_backends];
    exec = support_exec(support_backends[_i % support_n_backends], 1);
    toy_run run = healthy_run(GUARDED), twin = healthy_run(GUARDED);
    toy_steps(&run, SINCE);
    row->spoil(&run);
    jem_train_stats stats;
    MUST(toy_step(&run, &stats));
    ck_assert_msg(stats.event == JEM_EVENT_ROLLBACK, "%s: not found", row->name);
    ck_assert_msg(strstr(jem_last_error(), row->word) != NULL, "%s: %s", row->name,
                  jem_last_error());
    ck_assert_int_eq(stats.step, BEFORE);
    ck_assert_uint_eq(toy_params(&run), toy_params(&twin));
    const size_t bytes = (size_t)run.optimizer->fingerprint.param_count * sizeof(float);
    support_same_bits(run.optimizer->state1, twin.optimizer->state1, bytes, "first moment");
    support_same_bits(run.optimizer->state2, twin.optimizer->state2, bytes, "second moment");
    support_same_bits(run.optimizer->ema, twin.optimizer->ema, bytes, "average");
    ck_assert_uint_eq(run.sampler->slot_steps, twin.sampler->slot_steps);
    const float usual = row->spoil == spoil_rate ? 5.0f : 0.005f;
    NEAR(run.optimizer->config.lr, 0.5f * usual, 1e-6);
    mend(&run, &twin);
    if (row->spoil != spoil_rate)
        toy_steps(&run, 2 * SINCE);
    toy_free(&run);
    toy_free(&twin);
}
END_TEST

// Each figure by itself, though most faults show in several.
static const size_t watched[] = {
    offsetof(jem_train_stats, loss),       offsetof(jem_train_stats, gap),
    offsetof(jem_train_stats, f_data),     offsetof(jem_train_stats, f_samples),
    offsetof(jem_train_stats, grad_norm),  offsetof(jem_train_stats, chain_grad_norm),
    offsetof(jem_train_stats, sample_max), offsetof(jem_train_stats, update_norm),
};

START_TEST(test_each_figure_is_watched)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED), fresh = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_run *runs[] = {&run, &fresh};
    jem_train_stats stats;
    MUST(toy_step(&fresh, &stats)); // its means do not count yet
    for (int i = 0; i < 2; i++) {
        double *value = (double *)((char *)&stats + watched[_i]);
        const double usual = *value, bad[] = {NAN, INFINITY, -INFINITY, 1e13, 3e2};
        MUST(jemi_guard_check(runs[i]->optimizer, &stats));
        for (int b = 0; b < (i == 0 ? 5 : 4); b++) {
            *value = bad[b];
            REFUSED(JEM_EDIVERGED, "healthy", jemi_guard_check(runs[i]->optimizer, &stats));
        }
        *value = usual;
        MUST(jemi_guard_check(runs[i]->optimizer, &stats));
    }
    toy_free(&run);
    toy_free(&fresh);
}
END_TEST

// ---- chains -------------------------------------------------------------------------------------

static int count_differing(const toy_run *a, const toy_run *b)
{
    int n = 0;
    for (int c = 0; c < TOY_CHAINS; c++)
        n += memcmp(a->sampler->chains + c * a->row_len, b->sampler->chains + c * a->row_len,
                    (size_t)a->row_len * sizeof(float)) != 0;
    return n;
}

START_TEST(test_only_bad_chains_start_anew)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = healthy_run(GUARDED), twin = healthy_run(GUARDED);
    toy_steps(&run, SINCE);
    spoil_buffer(&run); // 7 of 20, of which the step draws 12
    int n_bad = 0;
    jem_train_stats stats;
    MUST(toy_step(&run, &stats));
    for (int i = 0; i < TOY_BATCH; i++)
        n_bad += run.sampler->slots[i] % 3 == 0;
    ck_assert_int_gt(n_bad, 0);
    ck_assert_int_ge(n_bad, count_differing(&run, &twin)); // one may have restarted by itself
    ck_assert_int_gt(count_differing(&run, &twin), 0);
    for (int i = 0; i < TOY_BATCH; i++)
        if (run.sampler->slots[i] % 3 != 0)
            ck_assert_int_eq(run.sampler->ages[run.sampler->slots[i]],
                             twin.sampler->ages[run.sampler->slots[i]]);
    toy_free(&run);
    toy_free(&twin);
}
END_TEST

START_TEST(test_all_drawn_chains_start_anew)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = healthy_run(GUARDED), twin = healthy_run(GUARDED);
    toy_steps(&run, SINCE);
    spoil_first_moment(&run);
    MUST(toy_step(&run, NULL));
    ck_assert_int_eq(count_differing(&run, &twin), TOY_BATCH);
    for (int i = 0; i < TOY_BATCH; i++)
        ck_assert_int_eq(run.sampler->ages[run.sampler->slots[i]], 0);
    toy_free(&run);
    toy_free(&twin);
}
END_TEST

// NaN that got into the snapshot itself: each rollback mends the chains that were drawn.
START_TEST(test_spoilt_snapshot_heals)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = healthy_run(GUARDED);
    spoil_buffer(&run);
    run.optimizer->guard->snapshots[0].valid = false; // so that the next step takes one of it
    run.config.guard_tries = 100;
    int rollbacks = 0, good = 0;
    for (int i = 0; i < 200 && good < 20; i++) {
        jem_train_stats stats;
        MUST(toy_step(&run, &stats));
        rollbacks += stats.event == JEM_EVENT_ROLLBACK;
        good = stats.event == JEM_EVENT_NONE ? good + 1 : 0;
    }
    ck_assert_int_gt(rollbacks, 0);
    ck_assert_int_eq(good, 20);
    for (int64_t i = 0; i < TOY_CHAINS * run.row_len; i++)
        ck_assert(isfinite(run.sampler->chains[i]));
    toy_free(&run);
}
END_TEST

// ---- which state --------------------------------------------------------------------------------

static int64_t fault(toy_run *run)
{
    jem_train_stats stats;
    spoil_parameter(run);
    MUST(toy_step(run, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_int_eq(stats.step, run->optimizer->steps);
    return stats.step;
}

// A state whose own figures nobody has seen yet is none to go back to.
START_TEST(test_snapshots_are_of_checked_states)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED); // so that the next step would check a state to keep
    ck_assert_int_eq(fault(&run), BEFORE - 10);
    toy_free(&run);
    run = healthy_run(GUARDED);
    toy_steps(&run, 1);
    ck_assert_int_eq(fault(&run), BEFORE);
    toy_free(&run);
}
END_TEST

START_TEST(test_an_alarm_soon_leads_to_the_older_one)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED), older = toy_make(&toy_recipes[GUARDED], &exec, 0);
    run.config.guard_tries = 9;
    toy_steps(&older, BEFORE - 10);
    toy_steps(&run, SINCE);
    ck_assert_int_eq(fault(&run), BEFORE);
    toy_steps(&run, 9);
    ck_assert_int_eq(fault(&run), BEFORE - 10);
    ck_assert_uint_eq(toy_params(&run), toy_params(&older));
    ck_assert_uint_eq(run.sampler->slot_steps, older.sampler->slot_steps);
    toy_steps(&run, 9);
    ck_assert_int_eq(fault(&run), BEFORE - 10); // it is the only one
    toy_steps(&run, 11);                        // the last of which checks state BEFORE
    ck_assert_int_eq(fault(&run), BEFORE);
    ck_assert_int_eq(fault(&run), BEFORE - 10);
    toy_free(&run);
    toy_free(&older);
}
END_TEST

// Steps without chains keep their snapshots, but make none: there would be no chains in it.
START_TEST(test_steps_without_the_sampler)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED), twin = healthy_run(GUARDED);
    toy_steps(&run, 1);
    jem_sampler *sampler = run.sampler;
    const jem_train_config config = run.config;
    run.sampler = NULL;
    run.config.w_px = run.config.energy_l2 = 0.0f;
    toy_steps(&run, 15);
    ck_assert_int_eq(fault(&run), BEFORE);
    ck_assert_uint_eq(toy_params(&run), toy_params(&twin));
    toy_steps(&run, 15);
    run.sampler = sampler;
    run.config = config;
    ck_assert_int_eq(fault(&run), BEFORE);
    toy_steps(&run, SINCE);
    toy_free(&run);
    toy_free(&twin);
}
END_TEST

START_TEST(test_another_sampler)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED);
    jem_sampler *first = run.sampler;
    jem_sampler_config config = support_sampler_config(3 * TOY_CHAINS, 3);
    config.start = JEM_START_UNIFORM;
    run.sampler = support_sampler(run.model, &config);
    toy_steps(&run, SINCE);
    ck_assert_int_eq(fault(&run), BEFORE); // a snapshot of that moment
    toy_steps(&run, SINCE);
    jem_sampler_destroy(run.sampler);
    run.sampler = first;
    toy_steps(&run, SINCE);
    ck_assert_int_eq(fault(&run), BEFORE + SINCE);
    toy_free(&run);
}
END_TEST

// ---- the way on ---------------------------------------------------------------------------------

// A step after a rollback, at the old rate, on the batch that was spoilt.
static void step_again(toy_run *run)
{
    run->optimizer->state1[5] = NAN;
    MUST(toy_step(run, NULL));
    MUST(jem_optimizer_set_lr(run->optimizer, 0.005f));
    run->batches--;
    toy_steps(run, 1);
}

// Without chains only the input noise can make a difference.
START_TEST(test_other_input_noise)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(CLASSIFIER), twin = healthy_run(CLASSIFIER);
    toy_run calm = healthy_run(CLASSIFIER);
    step_again(&run);
    step_again(&twin);
    toy_steps(&calm, 1);
    ck_assert_uint_eq(toy_hash(&run, true), toy_hash(&twin, true));
    ck_assert(toy_params(&run) != toy_params(&calm));
    toy_free(&run);
    toy_free(&twin);
    toy_free(&calm);
}
END_TEST

// With the counters of a run that was not rolled back, so that only the streams differ.
START_TEST(test_other_chains)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED), calm = healthy_run(GUARDED);
    float drawn[2][TOY_BATCH * 2];
    spoil_first_moment(&run);
    MUST(toy_step(&run, NULL));
    run.sampler->draws = calm.sampler->draws;
    MUST(jem_sampler_draw(run.model, run.sampler, TOY_BATCH, drawn[0], NULL, NULL, NULL));
    MUST(jem_sampler_draw(calm.model, calm.sampler, TOY_BATCH, drawn[1], NULL, NULL, NULL));
    ck_assert(memcmp(run.sampler->slots, calm.sampler->slots,
                     TOY_BATCH * sizeof *run.sampler->slots) != 0);
    toy_free(&run);
    toy_free(&calm);
}
END_TEST

static int32_t n_lines;
static char last_line[600];

static void receive(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level < JEM_LOG_WARNING)
        return;
    n_lines++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

START_TEST(test_tries_end)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, BEFORE - 10);
    const uint64_t older = toy_params(&run);
    toy_steps(&run, 10);
    const uint64_t newer = toy_params(&run);
    float logits[TOY_ROWS * TOY_CLASSES];
    run.config.guard_tries = 3;
    n_lines = 0;
    toy_steps(&run, SINCE);
    MUST(jem_set_log(receive, NULL));
    for (int i = 0; i < 3; i++) {
        jem_train_stats stats;
        spoil_parameter(&run);
        const jem_status status = toy_step(&run, &stats);
        ck_assert_int_eq(status, i < 2 ? JEM_OK : JEM_EDIVERGED);
        ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
        int64_t steps;
        MUST(jem_optimizer_get(run.optimizer, NULL, &steps));
        ck_assert_int_eq(steps, i == 0 ? BEFORE : BEFORE - 10);
        ck_assert_int_eq(stats.step, steps);
        ck_assert_uint_eq(toy_params(&run), i == 0 ? newer : older);
        ck_assert_int_eq(n_lines, i + 1);
        ck_assert_msg(strstr(last_line, "rolled back from step") != NULL, "%s", last_line);
        MUST(jem_logits(run.model, TOY_ROWS, run.x, logits));
    }
    MUST(jem_set_log(NULL, NULL));
    toy_steps(&run, SINCE); // it may be tried again
    toy_free(&run);
}
END_TEST

START_TEST(test_good_steps_forgive)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED);
    run.config.guard_tries = 2;
    for (int i = 0; i < 4; i++) {
        spoil_parameter(&run);
        MUST(toy_step(&run, NULL));
        toy_steps(&run, 10);
    }
    spoil_parameter(&run);
    MUST(toy_step(&run, NULL));
    toy_steps(&run, 9);
    spoil_parameter(&run);
    REFUSED(JEM_EDIVERGED, "", toy_step(&run, NULL));
    toy_free(&run);
}
END_TEST

// Without the guard a step that fails changes nothing but which noise comes next.
START_TEST(test_unguarded_failure)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = healthy_run(0);
    ck_assert_int_eq(run.config.guard, 0);
    toy_run twin = healthy_run(0);
    void (*const spoils[])(toy_run *) = {spoil_loss, spoil_first_moment};
    for (int i = 0; i < 2; i++) {
        const float usual = run.optimizer->state1[5];
        spoils[i](&run);
        REFUSED(JEM_EDIVERGED, "", toy_step(&run, NULL));
        mend(&run, &twin);
        run.optimizer->state1[5] = usual;
        ck_assert_uint_eq(toy_params(&run), toy_params(&twin));
        ck_assert_int_eq(count_differing(&run, &twin), 0);
        support_same_bits(run.sampler->ages, twin.sampler->ages,
                          TOY_CHAINS * sizeof *run.sampler->ages, "ages");
        ck_assert_int_eq(run.optimizer->steps, BEFORE);
        ck_assert_uint_eq(run.sampler->draws, twin.sampler->draws + (uint64_t)i + 1);
    }
    toy_free(&run);
    toy_free(&twin);
}
END_TEST

// ---- changes from outside -----------------------------------------------------------------------

START_TEST(test_parameters_from_outside)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED);
    const int64_t count = support_param_count(run.model);
    float *params = support_params(run.model);
    for (int64_t i = 0; i < count; i++)
        params[i] *= 0.5f;
    MUST(jem_model_set_params(run.model, count, params));
    const uint64_t set = toy_params(&run);
    spoil_data(&run);
    jem_train_stats stats;
    MUST(toy_step(&run, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_uint_eq(toy_params(&run), set);
    free(params);
    toy_free(&run);
}
END_TEST

// They are the beginning of another run, which has all its tries.
START_TEST(test_tries_after_parameters_from_outside)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED);
    run.config.guard_tries = 2;
    ck_assert_int_eq(fault(&run), BEFORE - 10);
    toy_steps(&run, SINCE);
    float *params = support_params(run.model);
    MUST(jem_model_set_params(run.model, support_param_count(run.model), params));
    toy_steps(&run, 1);
    ck_assert_int_eq(run.optimizer->guard->good, 1);
    ck_assert_int_eq(fault(&run), BEFORE - 10 + SINCE);
    ck_assert_int_eq(run.optimizer->guard->tries, 1);
    free(params);
    toy_free(&run);
}
END_TEST

START_TEST(test_chains_from_outside)
{
    exec = support_exec(0, 1);
    toy_run run = healthy_run(GUARDED);
    float *own = support_uniform(TOY_CHAINS * run.row_len, 77);
    MUST(jem_sampler_set_chains(run.sampler, 0, TOY_CHAINS, own));
    spoil_data(&run);
    MUST(toy_step(&run, NULL));
    int kept = 0;
    for (int c = 0; c < TOY_CHAINS; c++)
        kept += memcmp(own + c * run.row_len, run.sampler->chains + c * run.row_len,
                       (size_t)run.row_len * sizeof *own) == 0;
    ck_assert_int_ge(kept, TOY_CHAINS - TOY_BATCH);
    free(own);
    toy_free(&run);
}
END_TEST

START_TEST(test_first_step_and_given_samples)
{
    exec = support_exec(0, 1);
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    const uint64_t initial = toy_params(&run);
    spoil_data(&run);
    jem_train_stats stats;
    MUST(toy_step(&run, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_int_eq(stats.step, 0);
    ck_assert_uint_eq(toy_params(&run), initial);
    toy_free(&run);
    toy_run plain = healthy_run(CLASSIFIER);
    spoil_data(&plain);
    MUST(toy_step(&plain, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    toy_free(&plain);
}
END_TEST

START_TEST(test_arguments)
{
    exec = support_exec(0, 1);
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    run.config.guard = 2;
    REFUSED(JEM_EINVAL, "guard", toy_step(&run, NULL));
    run.config.guard = 1;
    run.config.guard_tries = 0;
    REFUSED(JEM_EINVAL, "guard_tries", toy_step(&run, NULL));
    run.config.guard_tries = 1;
    run.config.guard_every = 0;
    REFUSED(JEM_EINVAL, "guard_every", toy_step(&run, NULL));
    toy_free(&run);
}
END_TEST

// ---- drift --------------------------------------------------------------------------------------

// How large a figure becomes before the alarm, when after `calm` steps at 1 it grows by a factor of
// e in every `fold`.
static double drift(size_t figure, int calm, double fold)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 1);
    const jemi_guarded g = {run.optimizer, run.sampler, &run.config};
    jemi_guard *guard = run.optimizer->guard;
    guard->n_means = 0;
    jem_train_stats stats = {.param_norm = 100.0}; // the update's healthy part is a hundredth
    for (size_t i = 0; i < COUNT(watched); i++)
        *(double *)((char *)&stats + watched[i]) = 1.0;
    double *value = (double *)((char *)&stats + figure);
    for (int i = 0; jemi_guard_check(run.optimizer, &stats) == JEM_OK; i++) {
        jemi_guard_pass(&g, &stats, current_params(&run), guard->version);
        *value = exp(fmax(0.0, (i - calm) / fold));
    }
    toy_free(&run);
    return *value;
}

START_TEST(test_drift_is_found_early)
{
    exec = support_exec(0, 1);
    static const double folds[] = {2.0, 10.0, 20.0};
    static const int calm[] = {2000, 4000};
    for (int i = 0; i < 6; i++) {
        const double found = drift(watched[_i], calm[i / 3], folds[i % 3]);
        ck_assert_msg(found > 25.0 && found < 200.0, "calm %d, e-fold per %g: found at %g",
                      calm[i / 3], folds[i % 3], found);
    }
}
END_TEST

// Every mean goes along with what drifts from the start.
START_TEST(test_drift_from_the_start)
{
    exec = support_exec(0, 1);
    ck_assert_double_lt(drift(offsetof(jem_train_stats, f_data), 0, 20.0), 1.1e4);
    ck_assert_double_lt(drift(offsetof(jem_train_stats, f_samples), 0, 50.0), 1.1e4);
    ck_assert_double_lt(drift(offsetof(jem_train_stats, gap), 0, 200.0), 1.1e4);
}
END_TEST

// ---- health -------------------------------------------------------------------------------------

START_TEST(test_guard_changes_nothing)
{
    const toy_recipe *recipe = &toy_recipes[_i];
    exec = support_exec(0, 1);
    toy_run with = toy_make(recipe, &exec, 0), without = toy_make(recipe, &exec, 0);
    with.config.guard = 1;
    without.config.guard = 0;
    toy_steps(&with, 35);
    toy_steps(&without, 35);
    ck_assert_uint_eq(toy_hash(&with, true), toy_hash(&without, true));
    toy_free(&with);
    toy_free(&without);
}
END_TEST

// The quick ways to train and the slow ones, all recipes, 20 runs.
START_TEST(test_healthy_runs)
{
    static const float rates[] = {1e-4f, 1e-3f, 1e-2f};
    const char *given = getenv("JEM_TEST_STEPS");
    const int steps = given != NULL ? atoi(given) : 2000;
    const toy_recipe *recipe = &toy_recipes[_i % COUNT(toy_recipes)];
    exec = support_exec(0, 1);
    toy_run run = toy_make(recipe, &exec, (uint64_t)_i);
    run.config.guard = 1;
    run.config.guard_every = 100;
    MUST(jem_optimizer_set_lr(run.optimizer, rates[_i % COUNT(rates)]));
    jem_train_stats stats = {.struct_size = sizeof stats};
    for (int i = 0; i < steps; i++) {
        MUST(toy_step(&run, &stats));
        ck_assert_msg(stats.event == JEM_EVENT_NONE, "run %d, %s, step %d: %s", _i, recipe->name, i,
                      jem_last_error());
    }
    toy_free(&run);
}
END_TEST

START_TEST(test_figures)
{
    exec = support_exec(support_backends[_i], 1);
    toy_run run = healthy_run(GUARDED);
    const int64_t count = support_param_count(run.model);
    float *before = support_params(run.model);
    run.sampler->config.x_low = -0.9f;
    run.sampler->config.x_high = 0.9f;
    jem_train_stats stats;
    MUST(toy_step(&run, &stats));
    float *after = support_params(run.model);
    double square = 0.0, change = 0.0, ages = 0.0, most = 0.0;
    for (int64_t i = 0; i < count; i++) {
        square += pow((double)before[i], 2);
        change += pow((double)after[i] - (double)before[i], 2);
    }
    int64_t clamped = 0;
    for (int i = 0; i < TOY_BATCH; i++) {
        const float *chain = run.sampler->chains + run.sampler->slots[i] * run.row_len;
        ages += (double)run.sampler->ages[run.sampler->slots[i]] / TOY_BATCH;
        for (int64_t e = 0; e < run.row_len; e++) {
            most = fmax(most, fabs((double)chain[e]));
            clamped += chain[e] == -0.9f || chain[e] == 0.9f;
        }
    }
    NEAR(stats.param_norm, sqrt(square), 1e-9);
    NEAR(stats.update_norm, sqrt(change), 1e-9);
    NEAR(stats.chain_age, ages, 1e-9);
    NEAR(stats.sample_max, most, 0.0);
    NEAR(stats.clamped, (double)clamped / (double)(TOY_BATCH * run.row_len), 1e-12);
    ck_assert(stats.clamped > 0.0 && stats.chain_age > 3.0);
    free(before);
    free(after);
    toy_free(&run);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_loop_test(tcase, test_fault_is_undone, 0, COUNT(faults) * n);
    tcase_add_loop_test(tcase, test_only_bad_chains_start_anew, 0, n);
    tcase_add_loop_test(tcase, test_all_drawn_chains_start_anew, 0, n);
    tcase_add_loop_test(tcase, test_spoilt_snapshot_heals, 0, n);
    tcase_add_test(tcase, test_snapshots_are_of_checked_states);
    tcase_add_test(tcase, test_an_alarm_soon_leads_to_the_older_one);
    tcase_add_test(tcase, test_steps_without_the_sampler);
    tcase_add_test(tcase, test_another_sampler);
    tcase_add_test(tcase, test_other_input_noise);
    tcase_add_test(tcase, test_other_chains);
    tcase_add_loop_test(tcase, test_each_figure_is_watched, 0, COUNT(watched));
    tcase_add_loop_test(tcase, test_tries_end, 0, n);
    tcase_add_test(tcase, test_good_steps_forgive);
    tcase_add_loop_test(tcase, test_unguarded_failure, 0, n);
    tcase_add_test(tcase, test_parameters_from_outside);
    tcase_add_test(tcase, test_tries_after_parameters_from_outside);
    tcase_add_test(tcase, test_chains_from_outside);
    tcase_add_test(tcase, test_first_step_and_given_samples);
    tcase_add_test(tcase, test_arguments);
    tcase_add_loop_test(tcase, test_drift_is_found_early, 0, COUNT(watched));
    tcase_add_test(tcase, test_drift_from_the_start);
    tcase_add_loop_test(tcase, test_guard_changes_nothing, 0, COUNT(toy_recipes));
    tcase_add_loop_test(tcase, test_healthy_runs, 0, 20);
    tcase_add_loop_test(tcase, test_figures, 0, n);
}

int main(void)
{
    return support_main("guard", add_tests);
}
