/*
 * Checkpoints: a run that goes on from one is the run that never stopped, bit for bit, wherever it
 * stopped; what is of another run is refused and changes nothing. Damage is
 * test_checkpoint_damage.c's.
 */
#include <stdio.h>

#include "checkpoint_run.h"
#include "io/safetensors.h"

// ---- going on -----------------------------------------------------------------------------------

START_TEST(test_resume_is_exact)
{
    const toy_recipe *recipe = &toy_recipes[_i / support_n_backends];
    exec = support_exec(support_backends[_i % support_n_backends], 1);
    for (int stop = 0; stop < STOPS; stop++) {
        toy_run run = toy_make(recipe, &exec, 0), straight = toy_make(recipe, &exec, 0);
        const int first = stop * stop / 4, then = 17;
        toy_steps(&straight, first + then);
        toy_steps(&run, first);
        MUST(save(&run));
        toy_run again = resumed(recipe, run.batches);
        ck_assert_msg(toy_hash(&again, true) == toy_hash(&run, true), "%s: stop at %d",
                      recipe->name, first);
        toy_steps(&again, then);
        toy_steps(&run, then);
        ck_assert_msg(toy_hash(&again, true) == toy_hash(&straight, true),
                      "%s: other bits after a stop at %d", recipe->name, first);
        ck_assert_msg(toy_hash(&run, true) == toy_hash(&straight, true),
                      "%s: saving at %d changed the run", recipe->name, first);
        toy_free(&run);
        toy_free(&again);
        toy_free(&straight);
    }
}
END_TEST

// The caller's rows have streams too.
START_TEST(test_streams_of_rows)
{
    toy_run run = toy_make(&toy_recipes[SAM], &exec, 0);
    float rows[2][6] = {{0}}, starts[2][6];
    MUST(jem_sampler_run(run.model, run.sampler, 3, NULL, rows[0], 5, NULL, NULL));
    MUST(jem_sampler_start(run.sampler, 3, NULL, starts[0]));
    toy_steps(&run, 1);
    MUST(save(&run));
    toy_run again = resumed(&toy_recipes[SAM], run.batches);
    for (int i = 0; i < 2; i++) {
        toy_run *r = i == 0 ? &run : &again;
        memset(rows[i], 0, sizeof rows[i]);
        MUST(jem_sampler_run(r->model, r->sampler, 3, NULL, rows[i], 5, NULL, NULL));
        MUST(jem_sampler_start(r->sampler, 3, NULL, starts[i]));
    }
    support_same_bits(rows[0], rows[1], sizeof rows[0], "rows");
    support_same_bits(starts[0], starts[1], sizeof starts[0], "starts");
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// A run's steps from number `first` to `last`, with faults that the guard undoes: one alone, two in
// close succession, so that it goes back further, and one after many good steps.
static void faulty_steps(toy_run *run, int first, int last)
{
    static const int faults[] = {24, 43, 47, 70};
    run->config.guard = 1;
    for (int i = first; i < last; i++) {
        jem_train_stats stats;
        bool faulty = false;
        for (size_t f = 0; f < COUNT(faults); f++)
            faulty = faulty || i == faults[f];
        if (faulty)
            run->optimizer->state1[0] = NAN;
        MUST(toy_step(run, &stats));
        ck_assert_int_eq(stats.event, faulty ? JEM_EVENT_ROLLBACK : JEM_EVENT_NONE);
    }
}

// What was kept before the stop is what a run goes back to after it.
START_TEST(test_rollbacks_after_resume)
{
    static const int stops[] = {0, 1, 10, 11, 23, 24, 25, 31, 42, 44, 46, 47, 48, 55, 69};
    const toy_recipe *recipe = &toy_recipes[_i];
    enum { LAST = 75 };
    toy_run straight = toy_make(recipe, &exec, 0);
    faulty_steps(&straight, 0, LAST);
    for (size_t s = 0; s < COUNT(stops); s++) {
        toy_run run = toy_make(recipe, &exec, 0);
        faulty_steps(&run, 0, stops[s]);
        MUST(save(&run));
        toy_run again = resumed(recipe, run.batches);
        faulty_steps(&run, stops[s], LAST);
        faulty_steps(&again, stops[s], LAST);
        ck_assert_msg(toy_hash(&run, true) == toy_hash(&straight, true),
                      "%s: saving at %d changed the run", recipe->name, stops[s]);
        ck_assert_msg(toy_hash(&again, true) == toy_hash(&straight, true),
                      "%s: other bits after a stop at %d", recipe->name, stops[s]);
        ck_assert_uint_eq(toy_guard_hash(&again), toy_guard_hash(&straight));
        toy_free(&run);
        toy_free(&again);
    }
    toy_free(&straight);
}
END_TEST

// The limits too: a rate that only the means find too large.
START_TEST(test_means_after_resume)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 34);
    MUST(save(&run));
    toy_run again = resumed(&toy_recipes[GUARDED], run.batches);
    ck_assert_uint_eq(toy_guard_hash(&again), toy_guard_hash(&run));
    MUST(jem_optimizer_set_lr(again.optimizer, 4.0f));
    jem_train_stats stats;
    MUST(toy_step(&again, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_int_eq(stats.step, 30);
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// What others have written since is not in the snapshots, so that they are not saved either.
START_TEST(test_writes_before_a_save)
{
    for (int what = 0; what < 2; what++) {
        toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
        toy_steps(&run, 34);
        roll_back(&run, 30); // a try, which only other parameters make good
        toy_steps(&run, 4);
        const int64_t count = what == 0 ? support_param_count(run.model) : TOY_CHAINS * run.row_len;
        float *own = support_uniform(count, 3);
        if (what == 0)
            MUST(jem_model_set_params(run.model, count, own));
        else
            MUST(jem_sampler_set_chains(run.sampler, 0, TOY_CHAINS, own));
        const uint64_t before = toy_guard_hash(&run);
        MUST(save(&run));
        ck_assert_uint_eq(toy_guard_hash(&run), before);
        toy_run again = resumed(&toy_recipes[GUARDED], run.batches);
        ck_assert_int_eq(jemi_guard_count_snapshots(again.optimizer->guard), 0);
        for (int i = 0; i < 2; i++) {
            toy_run *r = i == 0 ? &run : &again;
            toy_steps(r, 2);
            roll_back(r, 34);
        }
        ck_assert_uint_eq(toy_hash(&run, true), toy_hash(&again, true));
        ck_assert_uint_eq(toy_guard_hash(&run), toy_guard_hash(&again));
        free(own);
        toy_free(&run);
        toy_free(&again);
    }
}
END_TEST

static void use_no_chains(toy_run *run)
{
    run->sampler = NULL;
    run->config.w_px = run->config.energy_l2 = 0.0f;
}

// The run goes on with the snapshots that it has, though they hold no chains of this sampler.
START_TEST(test_saving_a_sampler_that_no_step_used)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    jem_sampler *sampler = run.sampler;
    use_no_chains(&run);
    toy_steps(&run, 34);
    const uint64_t before = toy_guard_hash(&run);
    MUST(jem_checkpoint_save(path, run.model, run.optimizer, sampler));
    ck_assert_uint_eq(toy_guard_hash(&run), before);
    toy_run again = resumed(&toy_recipes[GUARDED], run.batches);
    ck_assert_uint_eq(toy_guard_hash(&again), before);
    jem_sampler *sampler_again = again.sampler;
    use_no_chains(&again);
    for (int i = 0; i < 2; i++) {
        toy_run *r = i == 0 ? &run : &again;
        toy_steps(r, 2);
        roll_back(r, 30);
        roll_back(r, 20);
        toy_steps(r, 12); // of which one takes a snapshot
        roll_back(r, 30);
    }
    ck_assert_uint_eq(toy_hash(&run, true), toy_hash(&again, true));
    run.sampler = sampler;
    again.sampler = sampler_again;
    ck_assert_uint_eq(toy_hash(&run, true), toy_hash(&again, true));
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// Saved, loaded and saved again: the same bytes, so nothing in the file is lost.
START_TEST(test_round_trip)
{
    const toy_recipe *recipe = &toy_recipes[_i];
    toy_run run = toy_make(recipe, &exec, 0);
    toy_steps(&run, 5);
    MUST(jem_optimizer_set_note(run.optimizer, "batch 5\n\"\xc3\xa9\""));
    MUST(save(&run));
    size_t size, size_again;
    char *bytes = support_read_file(path, &size);
    toy_run again = resumed(recipe, 5);
    char note[32];
    size_t length;
    MUST(jem_optimizer_get_note(again.optimizer, note, sizeof note, &length));
    ck_assert_str_eq(note, "batch 5\n\"\xc3\xa9\"");
    ck_assert_uint_eq(length, strlen(note));
    MUST(save(&again));
    char *bytes_again = support_read_file(path, &size_again);
    ck_assert_uint_eq(size, size_again);
    support_same_bits(bytes, bytes_again, size, recipe->name);
    free(bytes);
    free(bytes_again);
    toy_free(&run);
    toy_free(&again);
}
END_TEST

START_TEST(test_note)
{
    toy_run run = toy_make(&toy_recipes[0], &exec, 0);
    char note[8] = "x";
    size_t length = 9;
    MUST(jem_optimizer_get_note(run.optimizer, note, sizeof note, &length));
    ck_assert(note[0] == '\0' && length == 0);
    REFUSED(JEM_EINVAL, "UTF-8", jem_optimizer_set_note(run.optimizer, "\xff"));
    REFUSED(JEM_EINVAL, "optimizer", jem_optimizer_set_note(NULL, "x"));
    MUST(jem_optimizer_set_note(run.optimizer, "12345678"));
    REFUSED(JEM_EINVAL, "9 bytes",
            jem_optimizer_get_note(run.optimizer, note, sizeof note, &length));
    MUST(jem_optimizer_get_note(run.optimizer, NULL, 0, &length));
    ck_assert_uint_eq(length, 8);
    MUST(jem_optimizer_set_note(run.optimizer, NULL));
    MUST(jem_optimizer_get_note(run.optimizer, NULL, 0, &length));
    ck_assert_uint_eq(length, 0);
    toy_free(&run);
}
END_TEST

// ---- refusals -----------------------------------------------------------------------------------

typedef struct other_row {
    toy_recipe recipe;
    const char *word;
} other_row;

#define OTHER(...)                                                                                 \
    {                                                                                              \
        "other", __VA_ARGS__                                                                       \
    }
static const other_row others[] = {
    {OTHER("mlp-9", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false, true, false), "mlp-8"},
    {OTHER("mlp-8:act=silu", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false, true, false),
     "silu"},
    {OTHER("mlp-8", 1, 2, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false, true, false), "channels"},
    {OTHER("mlp-8", 2, 1, JEM_OPTIMIZER_SGD, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false, true,
           false),
     "optimizer.kind = 1; this run has 2"},
    {OTHER("mlp-8", 2, 1, 0, 0, 0, 0, JEM_START_MIXTURE, 0, 0, false, true, false), "averages"},
    {OTHER("mlp-8", 2, 1, 0, 0, 0.9f, 0, JEM_START_GAUSSIAN, 0, 0, false, true, false), "start"},
    {OTHER("mlp-8", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 2, 0, false, true, false), "rank"},
    {OTHER("mlp-8", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 1, false, true, false),
     "class_conditional"},
    {OTHER("mlp-8", 2, 1, 0, 0, 0.9f, 0, 0, 0, 0, true, true, false), "sampler"},
};

START_TEST(test_another_run_is_refused)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 5);
    MUST(save(&run));
    MUST(save(&run)); // so that there is one before, which must not be tried
    toy_run other = toy_make(&others[_i].recipe, &exec, 0);
    toy_steps(&other, 2);
    const uint64_t before = toy_hash(&other, true);
    REFUSED(JEM_EMISMATCH, others[_i].word, load(&other));
    ck_assert_uint_eq(toy_hash(&other, true), before);
    toy_steps(&other, 2);
    toy_free(&run);
    toy_free(&other);
}
END_TEST

START_TEST(test_arguments)
{
    toy_run run = toy_make(&toy_recipes[0], &exec, 0), wide = toy_make(&others[0].recipe, &exec, 0);
    REFUSED(JEM_EINVAL, "path", jem_checkpoint_save(NULL, run.model, run.optimizer, run.sampler));
    REFUSED(JEM_EINVAL, "model", jem_checkpoint_save(path, NULL, run.optimizer, run.sampler));
    REFUSED(JEM_EINVAL, "optimizer", jem_checkpoint_load(path, run.model, NULL, run.sampler));
    REFUSED(JEM_EMISMATCH, "parameters",
            jem_checkpoint_save(path, run.model, wide.optimizer, run.sampler));
    REFUSED(JEM_EIO, "No such file", load(&run));
    MUST(jem_model_save(run.model, path));
    REFUSED(JEM_EFORMAT, "no checkpoint", load(&run));
    toy_free(&run);
    toy_free(&wide);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_resume_is_exact, 0, COUNT(toy_recipes) * n);
    tcase_add_test(tcase, test_streams_of_rows);
    tcase_add_loop_test(tcase, test_rollbacks_after_resume, 0, COUNT(toy_recipes));
    tcase_add_test(tcase, test_means_after_resume);
    tcase_add_test(tcase, test_writes_before_a_save);
    tcase_add_test(tcase, test_saving_a_sampler_that_no_step_used);
    tcase_add_loop_test(tcase, test_round_trip, 0, COUNT(toy_recipes));
    tcase_add_test(tcase, test_note);
    tcase_add_loop_test(tcase, test_another_run_is_refused, 0, COUNT(others));
    tcase_add_test(tcase, test_arguments);
}

int main(void)
{
    return support_main("checkpoint", add_tests);
}
