/*
 * Rows by lanes: a model of several threads gives every thread small chunks of its own, and nobody
 * can tell. The bits are those of one thread, of sums over rows too; a failure in one lane is the
 * caller's failure; the caller's thread alone reports progress, and may cancel at every report.
 */
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "model/model.h"
#include "model/pass.h"
#include "model/runner.h"
#include "support.h"

enum { MOST_ROWS = 70, SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, STEPS = 3 };

// One network per backend; the reference wants a small one.
static jem_model *make_model(int32_t backend, int32_t threads)
{
    const jem_exec_config exec = support_exec(backend, threads);
    const char *arch = backend == JEM_BACKEND_REF ? "cnn-2" : "wrn-10-1";
    return support_image_model(arch, 1, SIDE, CLASSES, &exec);
}

// ---- bits ---------------------------------------------------------------------------------------

typedef struct subject {
    jem_model *model;
    jem_sampler *sampler;
} subject;

static subject make_subject(int32_t backend, int32_t threads)
{
    const jem_sampler_config config = support_sampler_config(MOST_ROWS, STEPS);
    subject s = {.model = make_model(backend, threads)};
    s.sampler = support_sampler(s.model, &config);
    return s;
}

static void free_subject(subject *s)
{
    jem_sampler_destroy(s->sampler);
    jem_model_destroy(s->model);
}

typedef struct outputs {
    float logits[MOST_ROWS * CLASSES], energy[MOST_ROWS], grad[MOST_ROWS * PIXELS];
    float scores[JEM_SCORE_GRADIENT_NORM][MOST_ROWS];
    float chains[MOST_ROWS * PIXELS], drawn[MOST_ROWS * PIXELS];
} outputs;

static void compute(const subject *s, int64_t n, const float *x, outputs *out)
{
    memset(out, 0, sizeof *out);
    MUST(jem_logits(s->model, n, x, out->logits));
    MUST(jem_energy_grad(s->model, n, x, NULL, out->energy, out->grad));
    for (int32_t kind = JEM_SCORE_ENERGY; kind <= JEM_SCORE_GRADIENT_NORM; kind++)
        MUST(jem_score(s->model, kind, NULL, n, x, out->scores[kind - 1]));
    memcpy(out->chains, x, (size_t)(n * PIXELS) * sizeof *x);
    MUST(jem_sampler_run(s->model, s->sampler, n, NULL, out->chains, STEPS, NULL, NULL));
    MUST(jem_sampler_draw(s->model, s->sampler, n, out->drawn, NULL, NULL, NULL));
}

static void check_same(const outputs *a, const outputs *b)
{
    support_same_bits(a->logits, b->logits, sizeof a->logits, "logits");
    support_same_bits(a->energy, b->energy, sizeof a->energy, "energies");
    support_same_bits(a->grad, b->grad, sizeof a->grad, "gradients");
    support_same_bits(a->scores, b->scores, sizeof a->scores, "scores");
    support_same_bits(a->chains, b->chains, sizeof a->chains, "chains of a run");
    support_same_bits(a->drawn, b->drawn, sizeof a->drawn, "chains of a draw");
}

START_TEST(test_bits_of_lanes)
{
    static outputs one, several;
    float *x = support_uniform(MOST_ROWS * PIXELS, 3);
    for (int32_t threads = 2; threads <= 3; threads++) {
        subject alone = make_subject(support_backends[_i], 1);
        subject team = make_subject(support_backends[_i], threads);
        for (int64_t n = 1; n <= MOST_ROWS; n += threads - 1) {
            compute(&alone, n, x, &one);
            compute(&team, n, x, &several);
            check_same(&one, &several);
        }
        free_subject(&alone);
        free_subject(&team);
    }
    free(x);
}
END_TEST

// ---- sums over rows -----------------------------------------------------------------------------

// Of a net whose values outweigh its parameters, with all that a row may draw by its number.
static uint64_t train_steps(int32_t backend, int32_t threads, int64_t n, const float *x,
                            const int64_t *labels)
{
    const jem_exec_config exec = support_exec(backend, threads);
    jem_model *model = support_image_model("cnn-3-4:dropout=0.2", 1, SIDE, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.augment_crop = 1;
    jem_train_batch batch = support_batch(n, x, labels);
    batch.n_samples = n;
    batch.x_samples = x;
    jem_train_stats stats = {.struct_size = sizeof stats};
    for (int step = 0; step < STEPS; step++)
        MUST(jem_train_step(model, optimizer, NULL, &config, &batch, &stats));
    float *params = support_params(model);
    const uint64_t hash =
        support_hash(params, (size_t)support_param_count(model) * sizeof *params) ^
        support_hash(&stats.loss, sizeof stats.loss);
    free(params);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
    return hash;
}

START_TEST(test_bits_of_training)
{
    const int32_t backend = support_backends[_i];
    const int64_t counts[] = {1, 2, 7, 8, 9, 16, 31, 64, 70};
    float *x = support_uniform(MOST_ROWS * PIXELS, 3);
    int64_t labels[MOST_ROWS];
    for (int i = 0; i < MOST_ROWS; i++)
        labels[i] = i % CLASSES;
    for (int i = 0; i < COUNT(counts); i++) {
        const uint64_t one = train_steps(backend, 1, counts[i], x, labels);
        for (int32_t threads = 2; threads <= 4; threads++)
            ck_assert_msg(train_steps(backend, threads, counts[i], x, labels) == one,
                          "%d rows, %d threads", (int)counts[i], (int)threads);
    }
    free(x);
}
END_TEST

// ---- masks --------------------------------------------------------------------------------------

enum { FEATURES = 5 };

typedef struct masked {
    float x[MOST_ROWS * FEATURES]; // rows that are all the same
    float logits[MOST_ROWS * CLASSES];
} masked;

static jem_status note_logits(void *context, jemi_chunk *chunk)
{
    masked *m = context;
    JEMI_TRY(jemi_chunk_forward(chunk, m->x + chunk->first * FEATURES));
    memcpy(m->logits + chunk->first * CLASSES, chunk->out,
           (size_t)(chunk->n * CLASSES) * sizeof *m->logits);
    return JEM_OK;
}

// A row's mask is drawn by its number in the pass, not by that in its chunk.
START_TEST(test_every_row_has_its_own_mask)
{
    static masked m;
    for (int i = 0; i < MOST_ROWS * FEATURES; i++)
        m.x[i] = 0.3f;
    for (int32_t threads = 1; threads <= 2; threads++) {
        const jem_exec_config exec = support_exec(support_backends[_i], threads);
        jem_model *model = support_model("mlp-100:dropout=0.5", FEATURES, CLASSES, &exec);
        jemi_runner *runner;
        MUST(jemi_runner_borrow(model->runners, &runner));
        const jemi_dropout dropout = {.key = {{1, 2}}};
        const jemi_pass pass = jemi_pass_training(model, jemi_runner_generation(runner), &dropout);
        MUST(jemi_pass_run(&pass, runner, MOST_ROWS,
                           &(jemi_rows_work){.compute = note_logits, .context = &m}));
        jemi_runner_return(runner);
        jem_model_destroy(model);
        for (int a = 0; a < MOST_ROWS; a++)
            for (int b = 0; b < a; b++)
                ck_assert_msg(m.logits[a * CLASSES] != m.logits[b * CLASSES],
                              "rows %d and %d of %d threads have one mask", b, a, (int)threads);
    }
}
END_TEST

// ---- failures -----------------------------------------------------------------------------------

// So that overflows reach the logits also where sums are double.
static void amplify(jem_model *model)
{
    const int64_t count = support_param_count(model);
    float *params = support_params(model);
    for (int64_t i = 0; i < count; i++)
        params[i] *= 16.0f;
    MUST(jem_model_set_params(model, count, params));
    free(params);
}

// Finite, but its logits are not.
static void spoil(float *x, int row)
{
    for (int i = 0; i < PIXELS; i++)
        x[row * PIXELS + i] = i % 2 == 0 ? 3e38f : -3e38f;
}

// With a new sampler, as the random streams of the old one have gone on.
static void check_usable(subject *failed, const subject *twin, const float *x)
{
    static outputs expected, out;
    const jem_sampler_config config = support_sampler_config(MOST_ROWS, STEPS);
    jem_sampler_destroy(failed->sampler);
    failed->sampler = support_sampler(failed->model, &config);
    compute(twin, MOST_ROWS, x, &expected);
    compute(failed, MOST_ROWS, x, &out);
    check_same(&expected, &out);
}

// The row that fails is any of those of the first piece, the last, and between.
START_TEST(test_diverging_lane)
{
    const int bad_rows[] = {0, 1, 31, 32, 33, 63, 64, 69};
    const int host_threads = omp_get_max_threads();
    subject s = make_subject(support_backends[_i], 2), twin = make_subject(support_backends[_i], 1);
    float *x = support_uniform(MOST_ROWS * PIXELS, 3), chains[MOST_ROWS * PIXELS];
    amplify(s.model);
    amplify(twin.model);
    for (int i = 0; i < COUNT(bad_rows); i++) {
        char chain[32];
        snprintf(chain, sizeof chain, "chain %d became", bad_rows[i]);
        memcpy(chains, x, sizeof chains);
        spoil(chains, bad_rows[i]);
        REFUSED(JEM_EDIVERGED, chain,
                jem_sampler_run(s.model, s.sampler, MOST_ROWS, NULL, chains, STEPS, NULL, NULL));
        ck_assert_int_eq(omp_get_max_threads(), host_threads);
    }
    check_usable(&s, &twin, x);
    free_subject(&s);
    free_subject(&twin);
    free(x);
}
END_TEST

// ---- progress -----------------------------------------------------------------------------------

typedef struct reports {
    pthread_t caller;
    int64_t done, total;
    int count, cancel_at;   // the first is 1; 0 = never
    int foreign, backwards; // reports by other threads; that take something back
} reports;

static int32_t note(void *user, int64_t done, int64_t total)
{
    reports *r = user;
    r->foreign += !pthread_equal(pthread_self(), r->caller);
    r->backwards += done < r->done || (done == r->done && done > 0); // before the steps it is 0
    r->done = done;
    r->total = total;
    return ++r->count == r->cancel_at;
}

typedef jem_status (*long_call)(const subject *s, reports *r, float *x);

static jem_status call_run(const subject *s, reports *r, float *x)
{
    return jem_sampler_run(s->model, s->sampler, MOST_ROWS, NULL, x, STEPS, note, r);
}

static jem_status call_draw(const subject *s, reports *r, float *x)
{
    return jem_sampler_draw(s->model, s->sampler, MOST_ROWS, x, NULL, note, r);
}

static const long_call long_calls[] = {call_run, call_draw};

static void check_reports(const reports *r)
{
    ck_assert_msg(r->foreign == 0, "%d of %d reports by another thread", r->foreign, r->count);
    ck_assert_msg(r->backwards == 0, "%d of %d reports take something back", r->backwards,
                  r->count);
    ck_assert_int_eq(r->total, MOST_ROWS * STEPS);
}

// How many reports there are depends on who takes which rows; the last one is certain.
START_TEST(test_progress_of_lanes)
{
    float *x = support_uniform(MOST_ROWS * PIXELS, 3);
    subject s = make_subject(support_backends[_i], 2);
    for (int c = 0; c < COUNT(long_calls); c++)
        for (int round = 0; round < 10; round++) {
            reports r = {.caller = pthread_self()};
            MUST(long_calls[c](&s, &r, x));
            check_reports(&r);
            ck_assert_int_ge(r.count, STEPS);
            ck_assert_int_eq(r.done, r.total);
        }
    free_subject(&s);
    free(x);
}
END_TEST

START_TEST(test_cancelling_lanes)
{
    float *x = support_uniform(MOST_ROWS * PIXELS, 3);
    subject s = make_subject(support_backends[_i], 2);
    for (int c = 0; c < COUNT(long_calls); c++)
        for (int at = 1; at <= STEPS; at++) {
            reports r = {.caller = pthread_self(), .cancel_at = at};
            REFUSED(JEM_ECANCELLED, "cancelled after", long_calls[c](&s, &r, x));
            check_reports(&r);
            ck_assert_int_eq(r.count, at);
            r = (reports){.caller = pthread_self()};
            MUST(long_calls[c](&s, &r, x)); // the handles stay usable
        }
    free_subject(&s);
    free(x);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_loop_test(tcase, test_bits_of_lanes, 0, n);
    tcase_add_loop_test(tcase, test_bits_of_training, 0, n);
    tcase_add_loop_test(tcase, test_every_row_has_its_own_mask, 0, n);
    tcase_add_loop_test(tcase, test_diverging_lane, 0, n);
    tcase_add_loop_test(tcase, test_progress_of_lanes, 0, n);
    tcase_add_loop_test(tcase, test_cancelling_lanes, 0, n);
}

int main(void)
{
    return support_main("lanes", add_tests);
}
