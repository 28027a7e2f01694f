/*
 * Rows through a workspace as its callers see it: every row once, sums in order, the masks of a row
 * wherever the rows are cut, and what a failure in the middle does.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "model/pass.h"
#include "support.h"

enum { FEATURES = 6, CLASSES = 3, ROWS = 600 };

typedef struct seen {
    const float *x;
    float logits[ROWS][CLASSES];
    int times[ROWS];
    int64_t added; // rows, in order so far
    int64_t fail_at;
} seen;

static jem_status look(void *context, jemi_chunk *chunk)
{
    seen *s = context;
    JEMI_TRY(jemi_chunk_forward(chunk, s->x + chunk->first * FEATURES));
    memcpy(s->logits[chunk->first], chunk->out, (size_t)chunk->n * sizeof s->logits[0]);
    for (int64_t i = 0; i < chunk->n; i++)
        s->times[chunk->first + i]++;
    if (chunk->first <= s->fail_at && s->fail_at < chunk->first + chunk->n)
        return jemi_fail(JEM_EIO, "row %d", (int)s->fail_at);
    return JEM_OK;
}

static jem_status add(void *context, jemi_chunk *chunk)
{
    seen *s = context;
    ck_assert_int_eq(s->added, chunk->first);
    s->added += chunk->n;
    return JEM_OK;
}

static jem_model *make(const char *arch, int32_t threads)
{
    const jem_exec_config exec = support_exec(0, threads);
    return support_model(arch, FEATURES, CLASSES, &exec);
}

// All rows are the same, so that only masks tell them apart.
static jem_status run(const jem_model *model, seen *s, bool sums)
{
    static float x[ROWS * FEATURES];
    for (int i = 0; i < ROWS * FEATURES; i++)
        x[i] = (float)(i % FEATURES) / 3.0f - 0.8f;
    s->x = x;
    const jemi_dropout dropout = {.key = {{1, 2}}, .step = 3};
    jemi_runner *runner;
    MUST(jemi_runner_borrow(model->runners, &runner));
    jemi_pass pass = jemi_pass_training(model, jemi_runner_generation(runner), &dropout);
    const jemi_rows_work work = {look, sums ? add : NULL, s};
    const jem_status status = jemi_pass_run(&pass, runner, ROWS, &work);
    jemi_runner_return(runner);
    return status;
}

START_TEST(test_every_row_once)
{
    static seen s;
    for (int32_t threads = 1; threads <= 3; threads++)
        for (int sums = 0; sums < 2; sums++) {
            memset(&s, 0, sizeof s);
            s.fail_at = -1;
            jem_model *model = make("mlp-32", threads);
            MUST(run(model, &s, sums));
            for (int i = 0; i < ROWS; i++)
                ck_assert_int_eq(s.times[i], 1);
            ck_assert_int_eq(s.added, sums ? ROWS : 0);
            jem_model_destroy(model);
        }
}
END_TEST

// A mask belongs to a row's number, not to its place in a chunk.
START_TEST(test_masks_go_by_rows)
{
    static seen one, three;
    one.fail_at = three.fail_at = -1;
    jem_model *model = make("mlp-64:dropout=0.5", 1);
    MUST(run(model, &one, false));
    jem_model_destroy(model);
    model = make("mlp-64:dropout=0.5", 3);
    MUST(run(model, &three, true));
    jem_model_destroy(model);
    ck_assert_mem_eq(one.logits, three.logits, sizeof one.logits);
    for (int i = 0; i < ROWS; i++)
        for (int k = 1; k <= 256 && i + k < ROWS; k *= 2)
            ck_assert_msg(memcmp(one.logits[i], one.logits[i + k], sizeof one.logits[0]) != 0,
                          "rows %d and %d have one mask", i, i + k);
}
END_TEST

START_TEST(test_a_failure_ends_it)
{
    static seen s;
    for (int32_t threads = 1; threads <= 3; threads += 2)
        for (int sums = 0; sums < 2; sums++) {
            memset(&s, 0, sizeof s);
            s.fail_at = 130;
            jem_model *model = make("mlp-32", threads);
            ck_assert_int_eq(run(model, &s, sums), JEM_EIO);
            ck_assert_str_eq(jem_last_error(), "row 130");
            ck_assert_int_le(s.added, s.fail_at);
            s.fail_at = -1;
            s.added = 0;
            MUST(run(model, &s, sums)); // nothing of it stays
            jem_model_destroy(model);
        }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_every_row_once);
    tcase_add_test(tcase, test_masks_go_by_rows);
    tcase_add_test(tcase, test_a_failure_ends_it);
}

int main(void)
{
    return support_main("rows", add_tests);
}
