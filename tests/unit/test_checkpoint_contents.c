/*
 * What is in a checkpoint: files of earlier formats are read, and whatever a run cannot be in is
 * refused in a sentence that names it, with every handle as before.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint_run.h"
#include "io/safetensors.h"

// ---- earlier formats ----------------------------------------------------------------------------

typedef struct forged_row {
    const char *key, *value; // of metadata; NULL: left out
    const char *tensor;      // whose ..
    int64_t place;           // .. element becomes
    float number;            // .. this, or
    int64_t integer;         // this
    const char *word;
} forged_row;

static void forge(const forged_row *row)
{
    jemi_safetensors file;
    MUST(jemi_safetensors_read(path, &file));
    size_t n = 0;
    for (size_t i = 0; i < file.n_metadata; i++) {
        const bool hit = row->key != NULL && strcmp(row->key, file.metadata[i].key) == 0;
        if (hit && row->value == NULL)
            continue;
        file.metadata[n] = file.metadata[i];
        if (hit)
            file.metadata[n].value = row->value;
        n++;
    }
    if (row->tensor != NULL) {
        const jemi_safetensor *tensor = jemi_safetensors_find(&file, row->tensor);
        if (tensor->dtype == JEMI_I64)
            memcpy((char *)tensor->data + 8 * row->place, &row->integer, 8);
        else
            memcpy((char *)tensor->data + 4 * row->place, &row->number, 4);
    }
    MUST(jemi_safetensors_write(path, file.tensors, file.n_tensors, file.metadata, n));
    jemi_safetensors_fini(&file);
}

// The file as it was before there were snapshots in it.
static void make_format_1(void)
{
    jemi_safetensors file;
    MUST(jemi_safetensors_read(path, &file));
    size_t n = 0, n_tensors = 0;
    for (size_t i = 0; i < file.n_metadata; i++) {
        jemi_string_pair pair = file.metadata[i];
        if (strcmp(pair.key, "jem.checkpoint") == 0)
            pair.value = "1";
        if (strncmp(pair.key, "guard.snap", 10) != 0 && strncmp(pair.key, "guard.newer", 11) != 0 &&
            strncmp(pair.key, "guard.older", 11) != 0 && strcmp(pair.key, "guard.chainless") != 0)
            file.metadata[n++] = pair;
    }
    for (size_t i = 0; i < file.n_tensors; i++) {
        jemi_safetensor tensor = file.tensors[i];
        if (strcmp(tensor.name, "guard.means") == 0)
            tensor.shape[0] = 1;
        if (strncmp(tensor.name, "guard.newer", 11) != 0 &&
            strncmp(tensor.name, "guard.older", 11) != 0)
            file.tensors[n_tensors++] = tensor;
    }
    MUST(jemi_safetensors_write(path, file.tensors, n_tensors, file.metadata, n));
    jemi_safetensors_fini(&file);
}

START_TEST(test_older_format)
{
    toy_run run = toy_make(&toy_recipes[GUARDED], &exec, 0);
    toy_steps(&run, 34);
    MUST(save(&run));
    make_format_1();
    toy_run again = resumed(&toy_recipes[GUARDED], run.batches);
    for (int r = 0; r < JEMI_REFERENCES; r++)
        support_same_bits(again.optimizer->guard->means[r], run.optimizer->guard->means[0],
                          sizeof run.optimizer->guard->means[0], "means");
    ck_assert_uint_eq(toy_hash(&again, true), toy_hash(&run, true));
    toy_steps(&again, 2);
    jem_train_stats stats;
    again.optimizer->state1[0] = NAN;
    MUST(toy_step(&again, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_int_eq(stats.step, 34); // the snapshot that the first step took
    MUST(save(&again));
    MUST(load(&run));
    ck_assert_uint_eq(toy_hash(&again, true), toy_hash(&run, true));
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// Then snapshots had the chains wherever there was a sampler.
START_TEST(test_format_2)
{
    toy_run run = toy_make(&toy_recipes[DATA], &exec, 0);
    toy_steps(&run, 25);
    MUST(save(&run));
    forge(&(forged_row){.key = "guard.chainless"});
    forge(&(forged_row){.key = "jem.checkpoint", .value = "2"});
    toy_run again = resumed(&toy_recipes[DATA], run.batches);
    ck_assert_uint_eq(toy_guard_hash(&again), toy_guard_hash(&run));
    roll_back(&run, 20);
    roll_back(&again, 20);
    ck_assert_uint_eq(toy_hash(&again, true), toy_hash(&run, true));
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// ---- forgeries ---------------------------------------------------------------------------------

static const forged_row forgeries[] = {
    {"optimizer.steps", "-1", NULL, 0, 0, 0, "optimizer.steps"},
    {"optimizer.steps", "9223372036854775808", NULL, 0, 0, 0, "optimizer.steps"},
    {"optimizer.steps", "4611686018427387904", NULL, 0, 0, 0, "optimizer.steps"},
    {"optimizer.steps", NULL, NULL, 0, 0, 0, "optimizer.steps"},
    {"optimizer.lr", "0", NULL, 0, 0, 0, "above 0"},
    {"optimizer.lr", "nan", NULL, 0, 0, 0, "optimizer.lr"},
    {"optimizer.progress", "-1", NULL, 0, 0, 0, "from 0 to 1"},
    {"optimizer.lr", "-0.1", NULL, 0, 0, 0, "above 0"},
    {"optimizer.lr", "inf", NULL, 0, 0, 0, "above 0"},
    {"optimizer.progress", "1.5", NULL, 0, 0, 0, "from 0 to 1"},
    {"optimizer.progress", "nan", NULL, 0, 0, 0, "from 0 to 1"},
    {"optimizer.epoch", "-1", NULL, 0, 0, 0, "optimizer.epoch"},
    {"optimizer.steps", "0", NULL, 0, 0, 0, "lie ahead"},
    {"guard.steps", "-5", NULL, 0, 0, 0, "guard.steps"},
    {"guard.steps", "24", NULL, 0, 0, 0, "'guard.good' is at most 'guard.steps'"},
    {"guard.good", "26", NULL, 0, 0, 0, "'guard.good' is at most 'guard.steps'"},
    {"guard.tries", "1001", NULL, 0, 0, 0, "guard.tries"},
    {"guard.tries", "1", NULL, 0, 0, 0, "'guard.tries' is at most 'optimizer.epoch'"},
    {"sampler.row_steps", "-1", NULL, 0, 0, 0, "sampler.row_steps"},
    {"sampler.row_steps", "18446744073709551615", NULL, 0, 0, 0, "sampler.row_steps"},
    {"sampler.row_starts", "9223372036854775808", NULL, 0, 0, 0, "sampler.row_starts"},
    {"sampler.slot_steps", "9223372036854775807", NULL, 0, 0, 0, "sampler.slot_steps"},
    {"sampler.slot_steps", "0", NULL, 0, 0, 0, "lie ahead"},
    {"sampler.draws", "18446744073709551615", NULL, 0, 0, 0, "sampler.draws"},
    {"sampler.draws", "1", NULL, 0, 0, 0, "lie ahead"},
    {"guard.newer.slot_steps", "1000000", NULL, 0, 0, 0, "lie ahead"},
    {"guard.older.slot_steps", "1000000", NULL, 0, 0, 0, "lie ahead"},
    {"guard.newer.draws", "1000000", NULL, 0, 0, 0, "lie ahead"},
    {"guard.older.draws", "1000000", NULL, 0, 0, 0, "lie ahead"},
    {"guard.older.draws", "-1", NULL, 0, 0, 0, "guard.older.draws"},
    {"sampler.draws", "18446744073709551616", NULL, 0, 0, 0, "sampler.draws"},
    {"sampler.epoch", "4294967296", NULL, 0, 0, 0, "sampler.epoch"},
    {"sampler.filled", "2", NULL, 0, 0, 0, "sampler.filled"},
    {"sampler.filled", "0", NULL, 0, 0, 0, "tensors"},
    {"guard", "0", NULL, 0, 0, 0, "contradict"},
    {"guard.snapshots", "3", NULL, 0, 0, 0, "guard.snapshots"},
    {"guard.snapshots", "1", NULL, 0, 0, 0, "tensors"},
    {"guard.snapshots", NULL, NULL, 0, 0, 0, "guard.snapshots"},
    {"guard.chainless", "1", NULL, 0, 0, 0, "contradict"},
    {"guard.newer.steps", "26", NULL, 0, 0, 0, "contradict"},
    {"guard.older.steps", "21", NULL, 0, 0, 0, "contradict"},
    {"guard.older.filled", "0", NULL, 0, 0, 0, "tensors"},
    {"guard.newer.filled", "0", NULL, 0, 0, 0, "tensors"},
    {"guard.newer.draws", NULL, NULL, 0, 0, 0, "guard.newer.draws"},
    {"sampler.gaussians", "1", NULL, 0, 0, 0, "kind of the sampler's starts"},
    {"sampler.gaussians", "2", NULL, 0, 0, 0, "contradict"},
    {"sampler.kept_rows", "0", NULL, 0, 0, 0, "contradict"},
    {"sampler.kept_rows", "47", NULL, 0, 0, 0, "sampler.rows"},
    {"sampler.kept_rows", "2147483647", NULL, 0, 0, 0, "sampler.rows"},
    {"sampler.kept_classes", "1", NULL, 0, 0, 0, "sampler.first"},
    {"jem.checkpoint", "1", NULL, 0, 0, 0, "guard.means"},
    {"jem.checkpoint", "5", NULL, 0, 0, 0, "format '5'"},
    {"optimizer.kept", "1", NULL, 0, 0, 0, "'optimizer.kept' is missing"},
    {"optimizer.kept", "2", NULL, 0, 0, 0, "optimizer.kept"},
    {NULL, NULL, "model.values", 3, NAN, 0, "model.values"},
    {NULL, NULL, "optimizer.state2", 0, INFINITY, 0, "optimizer.state2"},
    {NULL, NULL, "guard.means", 7, NAN, 0, "guard.means"},
    {NULL, NULL, "guard.newer.values", 2, NAN, 0, "guard.newer.values"},
    {NULL, NULL, "guard.older.state2", 2, NAN, 0, "guard.older.state2"},
    {NULL, NULL, "guard.newer.chains", 3, INFINITY, 0, "guard.newer.chains"},
    {NULL, NULL, "sampler.chains", 11, NAN, 0, "sampler.chains"},
    {NULL, NULL, "optimizer.state1", 1, NAN, 0, "optimizer.state1"},
    {NULL, NULL, "optimizer.state2", 3, -1e-30f, 0, "none below 0"},
    {NULL, NULL, "guard.newer.state2", 0, -1, 0, "'guard.newer.state2' holds -1 at element 0"},
    {NULL, NULL, "guard.older.state2", 5, -2, 0, "'guard.older.state2' holds -2 at element 5"},
    {NULL, NULL, "guard.means", 4, -1, 0, "none below 0"},
    {NULL, NULL, "sampler.rows", 1, -INFINITY, 0, "sampler.rows"},
    {NULL, NULL, "sampler.ages", 3, 0, 100000, "expected 0 to"},
    {NULL, NULL, "guard.older.ages", 3, 0, 100000, "expected 0 to"},
    {NULL, NULL, "sampler.ages", 19, 0, -1, "sampler.ages"},
    {NULL, NULL, "sampler.ages", 19, 0, INT64_MAX / 2 + 1, "sampler.ages"},
    {NULL, NULL, "guard.newer.ages", 0, 0, INT64_MAX, "guard.newer.ages"},
    {NULL, NULL, "guard.older.ages", 0, 0, INT64_MIN, "guard.older.ages"},
    {NULL, NULL, "sampler.first", 0, 0, 1, "rise"},
    {NULL, NULL, "sampler.first", 2, 0, 1, "rise"},
    {NULL, NULL, "sampler.first", 2, 0, 49, "0 to 48"},
    {NULL, NULL, "sampler.first", 3, 0, 47, "end"},
};

static void check_refused(toy_run *run, const forged_row *row)
{
    MUST(save(run));
    forge(&(forged_row){.word = ""}); // of nothing: still good
    MUST(load(run));
    forge(row);
    const bool guarded = run->optimizer->guard != NULL;
    const uint64_t before = toy_hash(run, true);
    const uint64_t guard_before = guarded ? toy_guard_hash(run) : 0;
    const jem_status status = load(run);
    ck_assert_msg(status == JEM_EFORMAT || status == JEM_EUNSUPPORTED, "%s", jem_last_error());
    ck_assert_msg(strstr(jem_last_error(), row->word) != NULL, "%s", jem_last_error());
    ck_assert_uint_eq(toy_hash(run, true), before);
    ck_assert_uint_eq(guarded ? toy_guard_hash(run) : 0, guard_before);
}

START_TEST(test_forgeries)
{
    toy_run run = toy_make(&toy_recipes[DATA], &exec, 0);
    toy_steps(&run, 25); // two snapshots with chains
    check_refused(&run, &forgeries[_i]);
    toy_free(&run);
}
END_TEST

START_TEST(test_kept_parameters)
{
    toy_run run = toy_make(&toy_recipes[STATISTICS], &exec, 0);
    const int64_t count = jemi_model_size(run.model);
    float *kept = support_uniform(count, 8), *got = malloc((size_t)count * sizeof *got);
    toy_steps(&run, 3);
    MUST(jem_optimizer_set_kept(run.optimizer, count, kept));
    const uint64_t before = toy_hash(&run, true);
    toy_steps(&run, 12);
    roll_back(&run, 10);
    MUST(jem_optimizer_get_kept(run.optimizer, count, got));
    support_same_bits(got, kept, (size_t)count * sizeof *got, "kept parameters");
    MUST(save(&run));
    toy_run again = resumed(&toy_recipes[STATISTICS], run.batches);
    MUST(jem_optimizer_get_kept(again.optimizer, count, got));
    support_same_bits(got, kept, (size_t)count * sizeof *got, "kept parameters of a checkpoint");
    ck_assert_uint_eq(toy_hash(&again, true), toy_hash(&run, true));
    ck_assert_uint_ne(toy_hash(&again, true), before);
    // One that has none takes them away, one of format 3 has none.
    MUST(jem_optimizer_set_kept(run.optimizer, 0, NULL));
    MUST(save(&run));
    MUST(load(&again));
    REFUSED(JEM_ENOTFOUND, "keeps no", jem_optimizer_get_kept(again.optimizer, count, got));
    forge(&(forged_row){.key = "optimizer.kept"});
    forge(&(forged_row){.key = "jem.checkpoint", .value = "3"});
    MUST(jem_optimizer_set_kept(again.optimizer, count, kept));
    MUST(load(&again));
    REFUSED(JEM_ENOTFOUND, "keeps no", jem_optimizer_get_kept(again.optimizer, count, got));
    // What cannot be kept leaves what is.
    MUST(jem_optimizer_set_kept(run.optimizer, count, kept));
    REFUSED(JEM_EINVAL, "count", jem_optimizer_set_kept(run.optimizer, count - 1, kept));
    REFUSED(JEM_EINVAL, "count", jem_optimizer_get_kept(run.optimizer, count + 1, got));
    REFUSED(JEM_EINVAL, "params", jem_optimizer_get_kept(run.optimizer, count, NULL));
    REFUSED(JEM_EINVAL, "optimizer", jem_optimizer_get_kept(NULL, count, got));
    MUST(save(&run));
    forge(&(forged_row){.tensor = "optimizer.kept", .place = 1, .number = NAN});
    REFUSED(JEM_EFORMAT, "optimizer.kept", load(&run));
    kept[2] = INFINITY;
    REFUSED(JEM_EINVAL, "params is inf", jem_optimizer_set_kept(run.optimizer, count, kept));
    kept[2] = 0.0f;
    MUST(jem_optimizer_get_kept(run.optimizer, count, got));
    support_same_bits(got, kept, 2 * sizeof *got, "kept parameters after refusals");
    free(kept);
    free(got);
    toy_free(&run);
    toy_free(&again);
}
END_TEST

// What runs with data starts and 25 steps do not have.
static const struct {
    int recipe, steps;
    forged_row row;
} other_forgeries[] = {
    {SAM, 3, {NULL, NULL, "sampler.rest", 0, -1, 0, "none below 0"}},
    {SAM, 3, {NULL, NULL, "sampler.mean", 1, NAN, 0, "sampler.mean"}},
    {SAM, 3, {NULL, NULL, "sampler.factors", 1, INFINITY, 0, "sampler.factors"}},
    {SAM, 3, {NULL, NULL, "optimizer.average", 1, INFINITY, 0, "optimizer.average"}},
    {SAM, 0, {NULL, NULL, "optimizer.state1", 2, 1, 0, "expected 0 before the first step"}},
    {SAM, 0, {NULL, NULL, "optimizer.state2", 2, 1, 0, "expected 0 before the first step"}},
    {SAM, 3, {"guard.tries", "1", NULL, 0, 0, 0, "no figures of a guard without one"}},
    {SAM, 3, {"guard.chainless", "1", NULL, 0, 0, 0, "no figures of a guard without one"}},
    {SAM, 3, {"sampler.gaussians", "2", NULL, 0, 0, 0, "fitted to all rows or to each class"}},
    {SAM, 3, {"sampler.kept_rows", "5", NULL, 0, 0, 0, "kept rows and their classes"}},
    {CLASSIFIER, 3, {"sampler.draws", "1", NULL, 0, 0, 0, "no figures of a sampler without one"}},
    {CLASSIFIER, 3, {"sampler.filled", "1", NULL, 0, 0, 0, "no figures of a sampler"}},
    {CLASSIFIER, 12, {"guard.newer.filled", "1", NULL, 0, 0, 0, "only with a sampler"}},
};

START_TEST(test_other_forgeries)
{
    toy_run run = toy_make(&toy_recipes[other_forgeries[_i].recipe], &exec, 0);
    toy_steps(&run, other_forgeries[_i].steps);
    check_refused(&run, &other_forgeries[_i].row);
    toy_free(&run);
}
END_TEST

// No network can have these values, in a snapshot either.
START_TEST(test_forged_variance)
{
    static const char *const names[] = {"model.values",        "guard.newer.values",
                                        "guard.older.values",  "optimizer.average",
                                        "guard.newer.average", "guard.older.average"};
    toy_run run = toy_make(&toy_recipes[STATISTICS], &exec, 0);
    toy_steps(&run, 25);
    MUST(save(&run));
    const jemi_graph *graph = &run.model->graph;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == JEMI_NODE_BATCHNORM)
            forge(&(forged_row){.tensor = names[_i],
                                .place = graph->states[graph->nodes[i].var].offset,
                                .number = -1.0f});
    const uint64_t before = toy_hash(&run, true);
    REFUSED(JEM_EFORMAT, "variance", load(&run));
    ck_assert_uint_eq(toy_hash(&run, true), before);
    toy_free(&run);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_older_format);
    tcase_add_test(tcase, test_format_2);
    tcase_add_test(tcase, test_kept_parameters);
    tcase_add_loop_test(tcase, test_forgeries, 0, COUNT(forgeries));
    tcase_add_loop_test(tcase, test_forged_variance, 0, 6);
    tcase_add_loop_test(tcase, test_other_forgeries, 0, COUNT(other_forgeries));
}

int main(void)
{
    return support_main("contents of checkpoints", add_tests);
}
