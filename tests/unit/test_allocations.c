/*
 * The steady state asks for no memory. After its first calls libjem computes and samples without a
 * single malloc or free in the whole process, where its own kernels run (AVX-512, or the
 * reference). oneDNN's execute call allocates some small blocks and frees them before it returns:
 * there, and in training, whose weight gradients are oneDNN's, as much must be freed as was
 * allocated. Nor do calls of ever other sizes make anything grow.
 *
 * This program's own malloc counts. It is exported, so that oneDNN and libgomp use it too.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "support.h"

#if defined(__SANITIZE_ADDRESS__)
enum { COUNTING = 0 }; // the sanitizer has put its own malloc here
static atomic_llong calls, live, live_bytes;
#else
enum { COUNTING = 1 };

static atomic_llong calls, live, live_bytes;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void *count_in(void *block)
{
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&live, block != NULL);
    atomic_fetch_add(&live_bytes, (long long)malloc_usable_size(block));
    return block;
}

static void count_out(void *block)
{
    atomic_fetch_sub(&live, block != NULL);
    atomic_fetch_sub(&live_bytes, (long long)malloc_usable_size(block));
}

void *malloc(size_t size)
{
    return count_in(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return count_in(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    count_out(block);
    return count_in(__libc_realloc(block, size));
}

void *memalign(size_t alignment, size_t size)
{
    return count_in(__libc_memalign(alignment, size));
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
    count_out(block);
    __libc_free(block);
}
#endif

enum { ROWS = 11, MOST_ROWS = 300, CLASSES = 3 }; // 11 rows: chunks of 8 and 3; 300: of 256 and 44
enum { CALLS = 10, WARM_UP = 3, MIXED_CALLS = 100000 };

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
    {"cnn-8-8:norm=group4", 3, 4},
};

static struct {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    jem_train_config train;
    jem_train_batch batch;
    int64_t rows;
    float *x, *out, *chains;
    int64_t labels[MOST_ROWS];
} w;

static jem_status call_logits(void)
{
    return jem_logits(w.model, w.rows, w.x, w.out);
}

static jem_status call_energy(void)
{
    return jem_energy(w.model, w.rows, w.x, w.labels, w.out);
}

static jem_status call_energy_grad(void)
{
    return jem_energy_grad(w.model, w.rows, w.x, NULL, NULL, w.out);
}

static jem_status call_score(void)
{
    return jem_score(w.model, JEM_SCORE_GRADIENT_NORM, NULL, w.rows, w.x, w.out);
}

static jem_status call_sgld_step(void)
{
    return jem_sgld_step(w.model, w.sampler, w.rows, w.labels, w.chains);
}

static jem_status call_draw(void)
{
    return jem_sampler_draw(w.model, w.sampler, w.rows, w.out, NULL, NULL, NULL);
}

static jem_status call_train_step(void)
{
    return jem_train_step(w.model, w.optimizer, w.sampler, &w.train, &w.batch, NULL);
}

static jem_status call_joint_term(void)
{
    jem_train_config train = w.train;
    jem_train_batch batch = w.batch;
    train.w_pxy = 0.5f;
    batch.n_samples = w.rows;
    batch.x_samples = w.chains;
    batch.y_samples = w.labels;
    return jem_train_step(w.model, w.optimizer, NULL, &train, &batch, NULL);
}

static jem_status call_logits_after_update(void)
{
    const jem_status status = call_train_step();
    return status == JEM_OK ? call_logits() : status;
}

typedef struct call_row {
    const char *name;
    jem_status (*call)(void);

} call_row;

static const call_row steady_calls[] = {
    {"jem_logits", call_logits},
    {"jem_energy", call_energy},
    {"jem_energy_grad", call_energy_grad},
    {"jem_score", call_score},
    {"jem_sgld_step", call_sgld_step},
    {"jem_sampler_draw", call_draw},
    {"jem_train_step", call_train_step},
    {"jem_train_step with w_pxy", call_joint_term},
    {"jem_logits with new parameters", call_logits_after_update},
};

// Whether no oneDNN primitive runs.
static bool own_kernels_only(int32_t backend)
{
    return backend == JEM_BACKEND_REF || jemi_kernels_available();
}

static void set_up(const network_row *network, int32_t backend, int32_t threads, int64_t rows)
{
    const jem_exec_config exec = support_exec(backend, threads);
    w.model = support_image_model(network->arch, network->channels, network->side, CLASSES, &exec);
    const jem_sampler_config config = support_sampler_config(2 * (int32_t)rows, 2);
    w.sampler = support_sampler(w.model, &config);
    jem_optimizer_config optimizer;
    MUST(jem_optimizer_config_init(&optimizer, sizeof optimizer));
    optimizer.sam_rho = 0.05f;
    optimizer.ema_decay = 0.9f;
    MUST(jem_optimizer_create(&w.optimizer, w.model, &optimizer));
    w.rows = rows;
    const int64_t count = rows * network->channels * network->side * network->side;
    w.x = support_uniform(count, 1);
    w.chains = support_uniform(count, 2);
    w.out = malloc((size_t)count * sizeof *w.out);
    for (int i = 0; i < MOST_ROWS; i++)
        w.labels[i] = i % CLASSES;
    MUST(jem_train_config_init(&w.train, sizeof w.train));
    w.train.augment_flip = 1;
    w.batch = support_batch(rows, w.x, w.labels);
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

typedef struct usage {
    long long calls, blocks; // of the allocator; more of them than before
} usage;

static usage use_of(jem_status (*call)(void))
{
    const usage before = {atomic_load(&calls), atomic_load(&live)};
    jem_status status = JEM_OK;
    for (int i = 0; i < CALLS && status == JEM_OK; i++)
        status = call();
    const usage used = {atomic_load(&calls) - before.calls, atomic_load(&live) - before.blocks};
    MUST(status);
    return used;
}

// A worker may start long after the call that asked for it, and then the libraries below ask for what
// belongs to a thread. So one round of three must be clean; what is wrong is wrong in all.
enum { ROUNDS = 3 };

START_TEST(test_steady_state)
{
    const network_row *network = &networks[_i / support_n_backends];
    const int32_t backend = support_backends[_i % support_n_backends];
    set_up(network, backend, 2, ROWS);
    for (int c = 0; c < COUNT(steady_calls); c++) {
        for (int i = 0; i < WARM_UP; i++)
            MUST(steady_calls[c].call());
        usage used = {1, 1};
        for (int round = 0; round < ROUNDS && (used.blocks != 0 || used.calls != 0); round++)
            used = use_of(steady_calls[c].call);
        ck_assert_msg(used.blocks == 0, "%s, %s: %lld blocks more", network->arch,
                      steady_calls[c].name, used.blocks);
        if (own_kernels_only(backend))
            ck_assert_msg(used.calls == 0, "%s, %s: %lld allocator calls in %d calls",
                          network->arch, steady_calls[c].name, used.calls, CALLS);
    }
    tear_down();
}
END_TEST

// Of the first calls of a model that has been prepared.
static long long calls_after_prepare(int32_t backend)
{
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
    jem_model_destroy(fresh);
    return count;
}

// What jem_model_prepare() promises: not even the first call asks for memory.
START_TEST(test_prepared)
{
    const network_row *network = &networks[_i / support_n_backends];
    const int32_t backend = support_backends[_i % support_n_backends];
    set_up(network, backend, 2, ROWS);
    MUST(call_energy_grad()); // libgomp's team and the C library's own first times
    long long count = 1;
    for (int round = 0; round < ROUNDS && count != 0; round++)
        count = calls_after_prepare(backend);
    if (own_kernels_only(backend))
        ck_assert_msg(count == 0, "%s: %lld allocator calls after prepare", network->arch, count);
    tear_down();
}
END_TEST

static jem_status call_any(uint64_t number)
{
    static jem_status (*const mixed[])(void) = {call_logits, call_energy, call_energy_grad,
                                                call_sgld_step};
    w.rows = 1 + (int64_t)(number / COUNT(mixed) % MOST_ROWS);
    return mixed[number % COUNT(mixed)]();
}

// Not that nothing is allocated: in regions of one thread libgomp makes and frees a team.
START_TEST(test_mixed_sizes)
{
    const network_row network = {"mlp-16", 7, 1};
    set_up(&network, support_backends[_i], 1, MOST_ROWS);
    for (uint64_t number = 0; number < 4 * MOST_ROWS; number++) // every call with every size
        MUST(call_any(number));
    const size_t model_bytes = jem_model_bytes(w.model);
    const long long blocks = atomic_load(&live), bytes = atomic_load(&live_bytes);
    uint64_t random = 1;
    jem_status status = JEM_OK;
    for (int i = 0; i < MIXED_CALLS && status == JEM_OK; i++)
        status = call_any(support_next(&random));
    const long long more_blocks = atomic_load(&live) - blocks;
    const long long more_bytes = atomic_load(&live_bytes) - bytes;
    MUST(status);
    ck_assert_uint_eq(jem_model_bytes(w.model), model_bytes);
    ck_assert_msg(more_blocks == 0 && more_bytes == 0, "%lld blocks and %lld bytes more",
                  more_blocks, more_bytes);
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
    tcase_add_loop_test(tcase, test_mixed_sizes, 0, support_n_backends);
    tcase_add_test(tcase, test_the_counter_counts);
}

int main(void)
{
    return support_main("allocations", add_tests);
}
