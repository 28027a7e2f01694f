/*
 * lib/train/guard: faults of every kind are found before they enter an update and undone bit by
 * bit, and 20 healthy runs of 2,000 steps are left alone. Longer ones:
 *
 *     JEM_TEST_STEPS=50000 test_guard
 */
#include <stddef.h>
#include <stdio.h>

#include "guard_run.h"

// ---- faults -------------------------------------------------------------------------------------

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
    tcase_add_loop_test(tcase, test_each_figure_is_watched, 0, COUNT(watched));
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
