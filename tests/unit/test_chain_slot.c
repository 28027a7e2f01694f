/*
 * A backend that runs chains itself: it is handed whole runs, with all that belongs to them, and
 * nothing goes through run_rows() beside it.
 */
#include <check.h>
#include <string.h>

#include "backend/backend.h"
#include "model/model.h"
#include "support.h"

enum { ROWS = 5, FEATURES = 4, CLASSES = 3, STEPS = 7, CAPACITY = 6 };

static struct {
    int runs;
    jemi_pass pass;
    jemi_langevin_run_config config;
    jemi_chains chains;
} seen;

// Every chain ends where its counter row says.
static jem_status chain(jemi_workspace *workspace, const jemi_pass *pass,
                        const jemi_langevin_run_config *config, const jemi_chains *chains)
{
    ck_assert_ptr_nonnull(workspace->program);
    seen.runs++;
    seen.pass = *pass;
    seen.config = *config;
    seen.chains = *chains;
    for (int64_t i = 0; i < chains->n * config->row_len; i++)
        chains->x[i] = 100.0f + (float)(chains->rows != NULL ? chains->rows[i / FEATURES] : 0);
    return JEM_OK;
}

static jem_status no_rows(jemi_workspace *workspace, const jemi_pass *pass, int64_t n,
                          const jemi_rows_work *work)
{
    (void)workspace, (void)pass, (void)n, (void)work;
    ck_abort_msg("rows beside the chains");
    return JEM_EBACKEND;
}

START_TEST(test_chains_are_handed_over)
{
    const jem_exec_config exec = support_exec(JEM_BACKEND_REF, 1);
    jem_model *model = support_model("mlp-8", FEATURES, CLASSES, &exec);
    jemi_backend backend = *model->program->backend;
    backend.chain = chain;
    backend.run_rows = no_rows;
    const jemi_backend *own = model->program->backend;
    model->program->backend = &backend;
    const jem_sampler_config config = support_sampler_config(CAPACITY, STEPS);
    jem_sampler *sampler = support_sampler(model, &config);
    float x[ROWS * FEATURES] = {0};
    const int64_t labels[ROWS] = {0, 1, 2, 0, 1};

    MUST(jem_sampler_run(model, sampler, ROWS, labels, x, STEPS, NULL, NULL));
    ck_assert_int_eq(seen.runs, 1);
    ck_assert(seen.chains.x == x && seen.chains.labels == labels && seen.chains.n == ROWS);
    ck_assert_int_eq(seen.config.steps, STEPS);
    ck_assert_uint_eq(seen.config.kernel.step, 0);
    ck_assert(seen.pass.mode == JEMI_MODE_CHAIN && seen.pass.wants == JEMI_WANT_DINPUT);
    MUST(jem_sampler_run(model, sampler, ROWS, NULL, x, 2, NULL, NULL));
    ck_assert_uint_eq(seen.config.kernel.step, STEPS);
    ck_assert_ptr_null(seen.chains.labels);

    MUST(jem_sampler_draw(model, sampler, 3, x, NULL, NULL, NULL));
    ck_assert_int_eq(seen.runs, 3);
    ck_assert_int_eq(seen.chains.n, 3);
    for (int i = 0; i < 3 * FEATURES; i++)
        ck_assert_float_eq(x[i], 100.0f + (float)seen.chains.rows[i / FEATURES]);
    jem_sampler_destroy(sampler);
    model->program->backend = own;
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_chains_are_handed_over);
}

int main(void)
{
    return support_main("chain slot", add_tests);
}
