/*
 * What jem_sampler_fit() and jem_sampler_draw() tell while they prepare: the first word comes before
 * any work, more come during all of it, and each may cancel, after which the sampler is as before.
 */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { FEATURES = 4, CLASSES = 3, ROWS = 300000, STARTS = 8, SLOTS = 1 << 21 };

static jem_model *model;
static float *data;
static int64_t *labels;

static void set_up(void)
{
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    data = support_uniform((int64_t)ROWS * FEATURES, 1);
    labels = malloc(ROWS * sizeof *labels);
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % (CLASSES - 1); // nothing is of the last class
}

static void tear_down(void)
{
    jem_model_destroy(model);
    free(data);
    free(labels);
}

typedef struct listener {
    int calls, cancel_at; // 0 = never
    int before_steps;     // calls that told of no step yet
    int64_t done, total;
} listener;

static int32_t listen(void *user, int64_t done, int64_t total)
{
    listener *l = user;
    ck_assert_msg(done >= l->done && done <= total, "%lld after %lld", (long long)done,
                  (long long)l->done);
    ck_assert_msg(l->calls == 0 ? done == 0 : total == l->total, "call %d", l->calls);
    l->calls++;
    l->before_steps += done == 0;
    l->done = done;
    l->total = total;
    return l->calls == l->cancel_at;
}

// ---- fit ----------------------------------------------------------------------------------------

typedef struct fit_row {
    const char *name;
    int32_t start, rank;
    bool labelled;
    int least; // calls: each of the fit's passes over this much data is told more than once
} fit_row;

static const fit_row fits[] = {
    {"gaussian", JEM_START_GAUSSIAN, 0, false, 3},
    {"gaussian of classes", JEM_START_GAUSSIAN, 0, true, 1 + 2 * 3},
    {"gaussian with directions", JEM_START_MIXTURE, 2, false, 1 + 2 + 5 * 100},
    {"directions of classes", JEM_START_MIXTURE, 2, true, 1 + 2 * 3 + 5 * 100},
    {"data", JEM_START_DATA, 0, false, 2},
    {"data of classes", JEM_START_DATA, 0, true, 2},
};

static jem_sampler *fitted_sampler(const fit_row *row)
{
    jem_sampler_config config = support_sampler_config(STARTS, 1);
    config.start = row->start;
    config.start_rank = row->rank;
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, 10, data, row->labelled ? labels : NULL, NULL, NULL));
    return sampler;
}

static void same_starts(jem_sampler *a, jem_sampler *b, const char *what)
{
    float of_a[STARTS * FEATURES], of_b[STARTS * FEATURES];
    MUST(jem_sampler_start(a, STARTS, NULL, of_a));
    MUST(jem_sampler_start(b, STARTS, NULL, of_b));
    support_same_bits(of_a, of_b, sizeof of_a, what);
}

START_TEST(test_fit)
{
    const fit_row *row = &fits[_i];
    const int64_t *of = row->labelled ? labels : NULL;
    jem_sampler *told = fitted_sampler(row), *silent = fitted_sampler(row);
    listener all = {0};
    MUST(jem_sampler_fit(silent, ROWS, data, of, NULL, NULL));
    MUST(jem_sampler_fit(told, ROWS, data, of, listen, &all));
    ck_assert_msg(all.done == all.total && all.total >= ROWS, "%s: ended at %lld of %lld",
                  row->name, (long long)all.done, (long long)all.total);
    ck_assert_msg(all.calls >= row->least, "%s: %d calls", row->name, all.calls);
    same_starts(told, silent, row->name);
    jem_sampler_destroy(told);
    jem_sampler_destroy(silent);
}
END_TEST

START_TEST(test_fit_cancelled)
{
    const fit_row *row = &fits[_i];
    jem_sampler *cancelled = fitted_sampler(row), *same = fitted_sampler(row);
    listener all = {0};
    jem_sampler *counted = fitted_sampler(row);
    MUST(jem_sampler_fit(counted, ROWS, data, row->labelled ? labels : NULL, listen, &all));
    for (int at = 1; at <= all.calls; at += 1 + all.calls / 8) {
        listener l = {.cancel_at = at};
        REFUSED(JEM_ECANCELLED, "visits of rows",
                jem_sampler_fit(cancelled, ROWS, data, row->labelled ? labels : NULL, listen, &l));
        ck_assert_int_eq(l.calls, at);
        same_starts(cancelled, same, row->name);
    }
    jem_sampler_destroy(counted);
    jem_sampler_destroy(cancelled);
    jem_sampler_destroy(same);
}
END_TEST

// ---- draw ---------------------------------------------------------------------------------------

// Of 8 million floats that are started before the first step.
static jem_sampler *large_sampler(void)
{
    const jem_sampler_config config = support_sampler_config(SLOTS, 2);
    return support_sampler(model, &config);
}

START_TEST(test_draw_tells_while_it_starts_chains)
{
    jem_sampler *sampler = large_sampler();
    float x[FEATURES];
    listener first = {0}, second = {0};
    MUST(jem_sampler_draw(model, sampler, 1, x, NULL, listen, &first));
    ck_assert_msg(first.before_steps >= 8, "%d calls before the first step", first.before_steps);
    ck_assert_int_eq(first.done, first.total);
    MUST(jem_sampler_draw(model, sampler, 1, x, NULL, listen, &second));
    ck_assert_msg(second.before_steps == 1, "%d calls with a full buffer", second.before_steps);
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_draw_cancelled_while_it_starts_chains)
{
    jem_sampler *sampler = large_sampler();
    float x[FEATURES];
    int64_t age;
    for (int at = 1; at <= 5; at += 2) {
        listener l = {.cancel_at = at};
        REFUSED(JEM_ECANCELLED, "0 of 2 chain steps",
                jem_sampler_draw(model, sampler, 1, x, NULL, listen, &l));
        ck_assert_int_eq(l.calls, at);
    }
    MUST(jem_sampler_draw(model, sampler, 1, x, NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, SLOTS - 1, 1, x, NULL, &age));
    for (int i = 0; i < FEATURES; i++)
        ck_assert_msg(x[i] >= -1.0f && x[i] <= 1.0f, "the last chain was never started");
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_large_draw_tells_while_it_gathers_chains)
{
    jem_sampler *sampler = large_sampler();
    float *x = malloc((size_t)SLOTS * FEATURES * sizeof *x);
    MUST(jem_sampler_draw(model, sampler, 1, x, NULL, NULL, NULL)); // fills the buffer
    listener l = {.cancel_at = 5};
    REFUSED(JEM_ECANCELLED, "cancelled after 0 of",
            jem_sampler_draw(model, sampler, SLOTS, x, NULL, listen, &l));
    ck_assert_int_eq(l.before_steps, 5);
    free(x);
    jem_sampler_destroy(sampler);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_fit, 0, COUNT(fits));
    tcase_add_loop_test(tcase, test_fit_cancelled, 0, COUNT(fits));
    tcase_add_test(tcase, test_draw_tells_while_it_starts_chains);
    tcase_add_test(tcase, test_draw_cancelled_while_it_starts_chains);
    tcase_add_test(tcase, test_large_draw_tells_while_it_gathers_chains);
}

int main(void)
{
    return support_main("sampler progress", add_tests);
}
