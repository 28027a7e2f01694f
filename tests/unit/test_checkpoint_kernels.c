/*
 * What computed a checkpoint is recorded. A run that goes on by the same kernels goes on to the same
 * bits, on any instruction set, and nothing is told; by others it goes on too, with a warning.
 */
#include "checkpoint_run.h"
#include "kernels/isa.h"

static char warning[512];

static void keep_warning(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level == JEM_LOG_WARNING)
        snprintf(warning, sizeof warning, "%s", line);
}

// How a run goes on that was begun with the defaults.
static const struct {
    int32_t backend, chains, training; // 0 = as before
    const char *kernel;
    bool other; // but for the backend, there must be oneDNN's kernels to choose, and our own
} changes[] = {
    {0, 0, 0, "auto", false},
    {JEM_BACKEND_REF, 0, 0, "auto", true},
    {JEM_BACKEND_NATIVE, 0, 0, "auto", false}, // where the default computes all by the same kernels
    {0, JEM_PRECISION_F32_STRICT, 0, "auto", true},
    {0, 0, JEM_PRECISION_F32_STRICT, "auto", true},
    {0, 0, 0, "onednn", true},
};

// What computed a checkpoint is recorded; to go on with something else is no error, but told.
START_TEST(test_other_kernels_are_told)
{
    const bool choosable = JEM_HAVE_ONEDNN && jemi_kernels_available();
    const bool told = changes[_i].other && (changes[_i].backend != 0 || choosable);
    const char *computed_by = JEM_HAVE_ONEDNN && !jemi_kernels_available()
                                  ? "computed by 'oneDNN "
                                  : "computed by 'native, ";
    if (changes[_i].backend == JEM_BACKEND_NATIVE && JEM_HAVE_ONEDNN && !choosable)
        return;
    toy_run run = toy_make(&toy_recipes[DATA], &exec, 0);
    toy_steps(&run, 2);
    MUST(save(&run));
    exec.backend = changes[_i].backend != 0 ? changes[_i].backend : exec.backend;
    exec.precision_chains = changes[_i].chains != 0 ? changes[_i].chains : exec.precision_chains;
    exec.precision_training =
        changes[_i].training != 0 ? changes[_i].training : exec.precision_training;
    exec.kernel = changes[_i].kernel;
    MUST(jem_set_log(keep_warning, NULL));
    warning[0] = '\0';
    toy_run other = resumed(&toy_recipes[DATA], run.batches);
    MUST(jem_set_log(NULL, NULL));
    ck_assert_msg((warning[0] != '\0') == told, "%d: '%s'", _i, warning);
    ck_assert(!told || strstr(warning, computed_by) != NULL);
    toy_free(&run);
    toy_free(&other);
}
END_TEST

// From one machine to another: the same bits, and nothing is told.
START_TEST(test_other_instruction_sets)
{
    const toy_recipe *recipe = &toy_recipes[_i];
    const char *limit = jemi_isa_in_use();
    exec = support_exec(JEM_BACKEND_NATIVE, 1);
    enum { FIRST = 4, THEN = 9 };
    toy_run run = toy_make(recipe, &exec, 0);
    toy_steps(&run, FIRST);
    MUST(save(&run));
    toy_steps(&run, THEN);
    const uint64_t hash = toy_hash(&run, true);
    toy_free(&run);
    MUST(jem_set_log(keep_warning, NULL));
    warning[0] = '\0';
    for (int set = 0; set < jemi_isa_count(); set++) {
        jemi_isa_limit(jemi_isa_name(set));
        toy_run again = resumed(recipe, FIRST);
        toy_steps(&again, THEN);
        ck_assert_msg(toy_hash(&again, true) == hash, "%s: other bits on %s", recipe->name,
                      jemi_isa_name(set));
        ck_assert_msg(warning[0] == '\0', "%s on %s: %s", recipe->name, jemi_isa_name(set),
                      warning);
        toy_free(&again);
    }
    jemi_isa_limit(limit);
    MUST(jem_set_log(NULL, NULL));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_other_kernels_are_told, 0, COUNT(changes));
    tcase_add_loop_test(tcase, test_other_instruction_sets, 0, COUNT(toy_recipes));
}

int main(void)
{
    return support_main("kernels of checkpoints", add_tests);
}
