/*
 * lib/train/guard: to which state a run goes back, how it goes on from there and for how long, and
 * what changes from outside do to it.
 */
#include <stdio.h>

#include "guard_run.h"

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

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_test(tcase, test_snapshots_are_of_checked_states);
    tcase_add_test(tcase, test_an_alarm_soon_leads_to_the_older_one);
    tcase_add_test(tcase, test_steps_without_the_sampler);
    tcase_add_test(tcase, test_another_sampler);
    tcase_add_test(tcase, test_other_input_noise);
    tcase_add_test(tcase, test_other_chains);
    tcase_add_loop_test(tcase, test_tries_end, 0, n);
    tcase_add_test(tcase, test_good_steps_forgive);
    tcase_add_loop_test(tcase, test_unguarded_failure, 0, n);
    tcase_add_test(tcase, test_parameters_from_outside);
    tcase_add_test(tcase, test_tries_after_parameters_from_outside);
    tcase_add_test(tcase, test_chains_from_outside);
    tcase_add_test(tcase, test_first_step_and_given_samples);
    tcase_add_test(tcase, test_arguments);
}

int main(void)
{
    return support_main("guarded states", add_tests);
}
