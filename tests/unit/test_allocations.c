/*
 * The steady state asks for no memory. After its first calls libjem computes and samples without a
 * single malloc or free in the whole process, where its own kernels run (AVX-512, or the
 * reference). oneDNN's execute call allocates some small blocks and frees them before it returns:
 * there, and in training, whose weight gradients are oneDNN's, as much must be freed as was
 * allocated.
 *
 * This program's own malloc counts. It is exported, so that oneDNN and libgomp use it too.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/epilogue.h"
#include "support.h"

#if defined(__SANITIZE_ADDRESS__)
enum { COUNTING = 0 }; // the sanitizer has put its own malloc here
static atomic_llong calls, live;
#else
enum { COUNTING = 1 };

static atomic_llong calls, live;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void count_one(void)
{
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&live, 1);
}

void *malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    if (block == NULL)
        count_one();
    else
        atomic_fetch_add(&calls, 1);
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size)
{
    count_one();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out != NULL ? 0 : ENOMEM;
}

void free(void *block)
{
    atomic_fetch_add(&calls, block != NULL);
    atomic_fetch_sub(&live, block != NULL);
    __libc_free(block);
}
#endif

enum { ROWS = 11, CLASSES = 3, CALLS = 10, WARM_UP = 3 }; // 11 rows: chunks of 8 and 3

typedef struct network_row {
    const char *arch;
    int32_t channels, side;
} network_row;

static const network_row networks[] = {
    {"mlp-20-20", 7, 1},
    {"cnn-8-8:act=silu", 3, 4},
    {"wrn-10-1", 3, 2},
    {"cnn-8-8:norm=spectral", 3, 4},
    {"cnn-8-8:norm=batch,dropout=0.1", 3, 4},
};

// The oneDNN backend refuses it.
static bool is_refused(const network_row *network, int32_t backend)
{
    return backend != JEM_BACKEND_REF && strstr(network->arch, "norm=batch") != NULL;
}

static struct {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    jem_train_config train;
    jem_train_batch batch;
    float *x, *out, *chains;
    int64_t labels[ROWS];
} w;

static jem_status call_logits(void)
{
    return jem_logits(w.model, ROWS, w.x, w.out);
}

static jem_status call_energy(void)
{
    return jem_energy(w.model, ROWS, w.x, w.labels, w.out);
}

static jem_status call_energy_grad(void)
{
    return jem_energy_grad(w.model, ROWS, w.x, NULL, NULL, w.out);
}

static jem_status call_score(void)
{
    return jem_score(w.model, JEM_SCORE_GRADIENT_NORM, ROWS, w.x, w.out);
}

static jem_status call_sgld_step(void)
{
    return jem_sgld_step(w.model, w.sampler, ROWS, w.labels, w.chains);
}

static jem_status call_draw(void)
{
    return jem_sampler_draw(w.model, w.sampler, ROWS, w.out, NULL, NULL, NULL);
}

static jem_status call_train_step(void)
{
    return jem_train_step(w.model, w.optimizer, w.sampler, &w.train, &w.batch, NULL);
}

static jem_status call_logits_after_update(void)
{
    const jem_status status = call_train_step();
    return status == JEM_OK ? call_logits() : status;
}

typedef struct call_row {
    const char *name;
    jem_status (*call)(void);
    bool trains;
} call_row;

static const call_row steady_calls[] = {
    {"jem_logits", call_logits, false},
    {"jem_energy", call_energy, false},
    {"jem_energy_grad", call_energy_grad, false},
    {"jem_score", call_score, false},
    {"jem_sgld_step", call_sgld_step, false},
    {"jem_sampler_draw", call_draw, false},
    {"jem_train_step", call_train_step, true},
    {"jem_logits with new parameters", call_logits_after_update, true},
};

// Whether no oneDNN primitive runs in such a call.
static bool own_kernels_only(int32_t backend, bool trains)
{
    return backend == JEM_BACKEND_REF || (jemi_avx512_available() && !trains);
}

static void set_up(const network_row *network, int32_t backend)
{
    const jem_exec_config exec = support_exec(backend, 2);
    w.model = support_image_model(network->arch, network->channels, network->side, CLASSES, &exec);
    const jem_sampler_config config = support_sampler_config(2 * ROWS, 2);
    w.sampler = support_sampler(w.model, &config);
    w.optimizer = support_optimizer(w.model, 1e-4f);
    const int64_t count = (int64_t)ROWS * network->channels * network->side * network->side;
    w.x = support_uniform(count, 1);
    w.chains = support_uniform(count, 2);
    w.out = malloc((size_t)count * sizeof *w.out);
    for (int i = 0; i < ROWS; i++)
        w.labels[i] = i % CLASSES;
    MUST(jem_train_config_init(&w.train, sizeof w.train));
    w.batch = support_batch(ROWS, w.x, w.labels);
}

static void tear_down(void)
{
    jem_optimizer_destroy(w.optimizer);
    jem_sampler_destroy(w.sampler);
    jem_model_destroy(w.model);
    free(w.x);
    free(w.chains);
    free(w.out);
}

START_TEST(test_steady_state)
{
    const network_row *network = &networks[_i / support_n_backends];
    const int32_t backend = support_backends[_i % support_n_backends];
    if (is_refused(network, backend))
        return;
    set_up(network, backend);
    for (int c = 0; c < COUNT(steady_calls); c++) {
        for (int i = 0; i < WARM_UP; i++)
            MUST(steady_calls[c].call());
        const long long before = atomic_load(&calls), live_before = atomic_load(&live);
        jem_status status = JEM_OK;
        for (int i = 0; i < CALLS && status == JEM_OK; i++)
            status = steady_calls[c].call();
        const long long count = atomic_load(&calls) - before;
        const long long grown = atomic_load(&live) - live_before;
        MUST(status);
        ck_assert_msg(grown == 0, "%s, %s: %lld blocks more", network->arch, steady_calls[c].name,
                      grown);
        if (own_kernels_only(backend, steady_calls[c].trains))
            ck_assert_msg(count == 0, "%s, %s: %lld allocator calls in %d calls", network->arch,
                          steady_calls[c].name, count, CALLS);
    }
    tear_down();
}
END_TEST

// What jem_model_prepare() promises: not even the first call asks for memory.
START_TEST(test_prepared)
{
    const network_row *network = &networks[_i / support_n_backends];
    const int32_t backend = support_backends[_i % support_n_backends];
    if (is_refused(network, backend))
        return;
    set_up(network, backend);
    MUST(call_energy_grad()); // libgomp's team and the C library's own first times
    const jem_exec_config exec = support_exec(backend, 2);
    jem_model *fresh;
    MUST(jem_model_clone(&fresh, w.model, &exec));
    MUST(jem_model_prepare(fresh, JEM_PREPARE_LOGITS | JEM_PREPARE_GRAD, ROWS));
    const long long before = atomic_load(&calls);
    const jem_status status = jem_logits(fresh, ROWS, w.x, w.out);
    const jem_status grad_status = jem_energy_grad(fresh, ROWS, w.x, NULL, NULL, w.out);
    const long long count = atomic_load(&calls) - before;
    MUST(status);
    MUST(grad_status);
    if (own_kernels_only(backend, false))
        ck_assert_msg(count == 0, "%s: %lld allocator calls after prepare", network->arch, count);
    jem_model_destroy(fresh);
    tear_down();
}
END_TEST

START_TEST(test_the_counter_counts)
{
    const long long before = atomic_load(&calls);
    const jem_exec_config exec = support_exec(JEM_BACKEND_REF, 1);
    jem_model *model = support_model("mlp-2", 1, 1, &exec);
    jem_model_destroy(model);
    if (COUNTING)
        ck_assert_int_gt(atomic_load(&calls) - before, 10);
    else
        printf("SKIPPED: nothing is counted under a sanitizer\n");
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_steady_state, 0, COUNT(networks) * support_n_backends);
    tcase_add_loop_test(tcase, test_prepared, 0, COUNT(networks) * support_n_backends);
    tcase_add_test(tcase, test_the_counter_counts);
}

int main(void)
{
    return support_main("allocations", add_tests);
}
