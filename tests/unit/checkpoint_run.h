/*
 * Toy runs with a checkpoint in a folder of its own: what the tests of checkpoints share.
 */
#ifndef JEM_TESTS_CHECKPOINT_RUN_H
#define JEM_TESTS_CHECKPOINT_RUN_H

#include <stdio.h>

#include "toy_run.h"

enum { GUARDED = 1, SAM = 3, CLASSES = 4, DATA = 5, CLASSIFIER = 7, STATISTICS = 8, STOPS = 13 };

static jem_exec_config exec;
static char folder[256], path[300], previous[310];

static inline void set_up(void)
{
    exec = support_exec(0, 1);
    support_make_dir(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/c", folder);
    snprintf(previous, sizeof previous, "%s.prev", path);
}

static inline void tear_down(void)
{
    support_remove_dir(folder);
}

static inline jem_status save(toy_run *run)
{
    return jem_checkpoint_save(path, run->model, run->optimizer, run->sampler);
}

static inline jem_status load(toy_run *run)
{
    return jem_checkpoint_load(path, run->model, run->optimizer, run->sampler);
}

// As a program does it: everything is made anew with other seeds, which the file replaces.
static inline toy_run resumed(const toy_recipe *recipe, int64_t batches)
{
    toy_run run = toy_make(recipe, &exec, 0);
    toy_run other = toy_make(recipe, &exec, 9);
    jem_optimizer_destroy(run.optimizer);
    jem_sampler_destroy(run.sampler);
    run.optimizer = other.optimizer;
    run.sampler = other.sampler;
    other.optimizer = NULL;
    other.sampler = NULL;
    toy_free(&other);
    toy_steps(&run, 3); // and has been used
    MUST(load(&run));
    run.batches = batches;
    return run;
}

static inline void roll_back(toy_run *run, int64_t steps)
{
    jem_train_stats stats;
    run->optimizer->state1[0] = NAN;
    MUST(toy_step(run, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_int_eq(stats.step, steps);
}

#endif
