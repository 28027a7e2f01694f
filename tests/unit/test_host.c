/*
 * libjem as a guest: after a workout of all of its calls the host finds its floating-point mode,
 * locale, signals, OpenMP settings, directory, environment and open files as they were, and nothing
 * printed. And the traps of OpenMP: calls inside the host's parallel region, fork after a parallel
 * region, dlclose.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "support.h"

extern char **environ;

enum { ROWS = 9, FEATURES = 5, CLASSES = 3 };

static char dir[200];

static void set_up(void)
{
    support_make_dir(dir, sizeof dir);
}

static void tear_down(void)
{
    support_remove_dir(dir);
}

// ---- the workout --------------------------------------------------------------------------------

static int32_t count_progress(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    return ++*(int *)user == 3; // cancels in the third call
}

static void train_and_sample(jem_model *model, const float *x, const int64_t *labels)
{
    jem_sampler_config config = support_sampler_config(ROWS, 2);
    config.start = JEM_START_MIXTURE;
    jem_sampler *sampler = support_sampler(model, &config);
    jem_optimizer *optimizer = support_optimizer(model, 1e-3f);
    const jem_train_batch batch = support_batch(ROWS, x, labels);
    float out[ROWS * FEATURES];
    int progress = 0;
    MUST(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
    MUST(jem_sampler_start(sampler, ROWS, NULL, out));
    MUST(jem_sgld_step(model, sampler, ROWS, labels, out));
    MUST(jem_sampler_draw(model, sampler, ROWS, out, NULL, NULL, NULL));
    MUST(jem_train_step(model, optimizer, sampler, NULL, &batch, NULL));
    REFUSED(JEM_ECANCELLED, "cancelled",
            jem_sampler_run(model, sampler, ROWS, NULL, out, 5, count_progress, &progress));
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
}

static void compute(const jem_model *model, const float *x, const int64_t *labels)
{
    float out[2 * ROWS * FEATURES];
    uint8_t images[ROWS * FEATURES];
    errno = 1234; // computing never touches it
    MUST(jem_logits(model, ROWS, x, out));
    MUST(jem_energy(model, ROWS, x, labels, out));
    MUST(jem_energy_grad(model, ROWS, x, NULL, out, out + ROWS));
    MUST(jem_score(model, JEM_SCORE_MAX_SOFTMAX, NULL, ROWS, x, out));
    MUST(jem_input_to_u8(model, ROWS, x, JEM_LAYOUT_NHWC, images));
    MUST(jem_input_from_u8(model, ROWS, images, JEM_LAYOUT_NHWC, out));
    ck_assert_int_eq(errno, 1234);
}

static void work_out(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/model", dir);
    const jem_exec_config exec = support_exec(0, 2);
    float *x = support_uniform(ROWS * FEATURES, 1);
    const int64_t labels[ROWS] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    const float minus_halves[FEATURES] = {-0.5f, -0.5f, -0.5f, -0.5f, -0.5f};
    jem_model *model = support_model("mlp-7", FEATURES, CLASSES, &exec), *loaded, *clone;
    compute(model, x, labels);
    train_and_sample(model, x, labels);
    MUST(jem_model_save(model, path));
    MUST(jem_model_load(&loaded, path, &exec));
    MUST(jem_model_clone(&clone, loaded, NULL));
    compute(clone, x, labels);
    jem_model *none;
    REFUSED(JEM_EIO, "/missing", jem_model_load(&none, "/missing", NULL));
    REFUSED(JEM_EINVAL, "std is -",
            jem_model_set_standardization(model, FEATURES, x, minus_halves));
    jem_model_destroy(loaded);
    jem_model_destroy(model);
    jem_model_destroy(clone);
    free(x);
}

// ---- what must be as before ---------------------------------------------------------------------

typedef struct state {
    int rounding;
    unsigned fp_control;
    char locale[64];
    locale_t thread_locale;
    sigset_t mask;
    struct sigaction actions[32];
    int omp_threads, omp_levels;
    char directory[256];
    mode_t umask;
    uint64_t environment;
    int open_files;
    off_t printed;
} state;

// Of SSE: rounding, flush to zero, denormals are zero, masks; without the sticky flags.
static unsigned fp_control(void)
{
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3fu;
#else
    return 0;
#endif
}

static int count_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count;
}

static void look(state *s)
{
    memset(s, 0, sizeof *s);
    s->rounding = fegetround();
    s->fp_control = fp_control();
    snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
    s->thread_locale = uselocale((locale_t)0);
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    for (int i = 1; i < COUNT(s->actions); i++)
        sigaction(i, NULL, &s->actions[i]);
    s->omp_threads = omp_get_max_threads();
    s->omp_levels = omp_get_max_active_levels();
    ck_assert_ptr_nonnull(getcwd(s->directory, sizeof s->directory));
    s->umask = umask(0);
    umask(s->umask);
    for (char **entry = environ; *entry != NULL; entry++)
        s->environment ^= support_hash(*entry, strlen(*entry));
    s->open_files = count_open_files();
    struct stat output;
    fstat(STDERR_FILENO, &output);
    s->printed = output.st_size;
}

static void check_same(const state *before, const state *after, const char *host)
{
    ck_assert_msg(after->rounding == before->rounding, "%s: rounding", host);
    ck_assert_msg(after->fp_control == before->fp_control, "%s: MXCSR %x, was %x", host,
                  after->fp_control, before->fp_control);
    ck_assert_msg(strcmp(after->locale, before->locale) == 0, "%s: locale", host);
    ck_assert_msg(after->thread_locale == before->thread_locale, "%s: thread's locale", host);
    for (int i = 1; i < COUNT(before->actions); i++) {
        ck_assert_msg(sigismember(&after->mask, i) == sigismember(&before->mask, i),
                      "%s: mask of signal %d", host, i);
        ck_assert_msg(after->actions[i].sa_handler == before->actions[i].sa_handler,
                      "%s: handler of signal %d", host, i);
    }
    ck_assert_msg(after->omp_threads == before->omp_threads, "%s: OpenMP count %d, was %d", host,
                  after->omp_threads, before->omp_threads);
    ck_assert_msg(after->omp_levels == before->omp_levels, "%s: OpenMP levels", host);
    ck_assert_msg(strcmp(after->directory, before->directory) == 0, "%s: directory", host);
    ck_assert_msg(after->umask == before->umask, "%s: umask", host);
    ck_assert_msg(after->environment == before->environment, "%s: environment", host);
    ck_assert_msg(after->open_files == before->open_files, "%s: open files", host);
    ck_assert_msg(after->printed == before->printed, "%s: something was printed", host);
}

typedef struct host_row {
    const char *name;
    void (*prepare)(void);
} host_row;

static void host_rounds_up(void)
{
    fesetround(FE_UPWARD);
}

static void host_flushes_to_zero(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040); // FTZ and DAZ
#endif
}

static locale_t thread_locale;

static void host_with_odd_settings(void)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    setlocale(LC_ALL, "C.UTF-8");
    thread_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    uselocale(thread_locale);
    omp_set_num_threads(3);
    omp_set_max_active_levels(2);
    umask(027);
}

static const host_row hosts[] = {
    {"as usual", NULL},
    {"rounding up", host_rounds_up},
    {"flushing to zero", host_flushes_to_zero},
    {"odd settings", host_with_odd_settings},
};

static void restore_this_program(void)
{
    fesetenv(FE_DFL_ENV);
    setlocale(LC_ALL, "C");
    uselocale(LC_GLOBAL_LOCALE);
    if (thread_locale != (locale_t)0)
        freelocale(thread_locale);
    thread_locale = (locale_t)0;
    umask(022);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

START_TEST(test_host_stays_as_it_was)
{
    const host_row *host = &hosts[_i];
    char path[256];
    snprintf(path, sizeof path, "%s/output", dir);
    work_out(); // first uses: OpenMP's workers, the C locale
    fflush(NULL);
    const int output = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    const int own_out = dup(STDOUT_FILENO), own_err = dup(STDERR_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    state before, after;
    if (host->prepare != NULL)
        host->prepare();
    look(&before);
    work_out();
    fflush(NULL);
    look(&after);
    dup2(own_out, STDOUT_FILENO);
    dup2(own_err, STDERR_FILENO);
    close(output), close(own_out), close(own_err);
    restore_this_program();
    check_same(&before, &after, host->name);
}
END_TEST

// ---- OpenMP -------------------------------------------------------------------------------------

static jem_model *model;
static float *x;
static float expected[ROWS * CLASSES];

static void make_model(void)
{
    const jem_exec_config exec = support_exec(0, 2);
    model = support_model("mlp-7", FEATURES, CLASSES, &exec);
    x = support_uniform(ROWS * FEATURES, 1);
}

static void free_model(void)
{
    jem_model_destroy(model);
    free(x);
}

static bool logits_as_expected(void)
{
    float out[ROWS * CLASSES];
    return jem_logits(model, ROWS, x, out) == JEM_OK && memcmp(out, expected, sizeof out) == 0;
}

START_TEST(test_inside_a_parallel_region)
{
    make_model();
    MUST(jem_logits(model, ROWS, x, expected));
    int good = 0, entered = 0, counts_kept = 0;
#pragma omp parallel num_threads(4) reduction(+ : good, entered, counts_kept)
    {
        const int count = omp_get_max_threads();
        entered++;
        for (int i = 0; i < 20; i++)
            good += logits_as_expected();
        counts_kept += omp_get_max_threads() == count;
    }
    ck_assert_int_eq(good, 20 * entered);
    ck_assert_int_eq(counts_kept, entered);
    ck_assert(logits_as_expected());
    free_model();
}
END_TEST

// ---- fork ---------------------------------------------------------------------------------------

static void region_of_logits(void)
{
    MUST(jem_logits(model, ROWS, x, expected));
}

// The buffer's first filling runs in parallel too, though it computes nothing of a model.
static void region_of_a_buffer(void)
{
    const jem_sampler_config config = support_sampler_config(64, 1);
    jem_sampler *sampler = support_sampler(model, &config);
    float chain[FEATURES];
    omp_set_num_threads(2);
    MUST(jem_sampler_get_chains(sampler, 0, 1, chain, NULL, NULL));
    jem_sampler_destroy(sampler);
}

static void *region_in_a_thread(void *barrier)
{
    const bool good = jem_logits(model, ROWS, x, expected) == JEM_OK;
    pthread_barrier_wait(barrier); // alive, with its workers, while another thread forks
    pthread_barrier_wait(barrier);
    return good ? NULL : barrier;
}

static void child_computes(void)
{
    alarm(60); // a hang ends here
    float out[ROWS * CLASSES];
    const bool first = jem_logits(model, ROWS, x, out) == JEM_OK;
    memcpy(expected, out, sizeof out);
    _exit(first && logits_as_expected() ? 0 : 1);
}

static void fork_and_wait(const char *after)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        child_computes();
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(!WIFSIGNALED(status), "after %s: the child ended by signal %d", after,
                  WTERMSIG(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "after %s: the child failed", after);
    MUST(jem_logits(model, ROWS, x, expected)); // and so does the parent
    ck_assert(logits_as_expected());
}

static void (*const regions[])(void) = {region_of_a_buffer, region_of_logits};
static const char *const region_names[] = {"filling a buffer", "logits"};

START_TEST(test_fork)
{
    make_model();
    regions[_i]();
    fork_and_wait(region_names[_i]);
    fork_and_wait("a fork");
    free_model();
}
END_TEST

START_TEST(test_fork_beside_a_thread)
{
    make_model();
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread;
    void *fault;
    ck_assert_int_eq(pthread_create(&thread, NULL, region_in_a_thread, &barrier), 0);
    pthread_barrier_wait(&barrier);
    fork_and_wait("a region of another thread");
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &fault);
    ck_assert_ptr_null(fault);
    pthread_barrier_destroy(&barrier);
    free_model();
}
END_TEST

// ---- dlopen -------------------------------------------------------------------------------------

// Looks up NAME in the opened library under its own type.
#define OPENED(name)                                                                               \
    __typeof__(name) *const opened_##name = (__typeof__(name) *)dlsym(library, #name)

static void *open_compute_close(void *unused)
{
    (void)unused;
    const unsigned control = fp_control();
    void *library = dlopen(JEM_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return dlerror();
    if (fp_control() != control)
        return "opening the library changed the floating-point mode";
    OPENED(jem_model_config_init);
    OPENED(jem_model_create);
    OPENED(jem_logits);
    OPENED(jem_model_destroy);
    jem_model_config config;
    opened_jem_model_config_init(&config, sizeof config);
    config.arch = "mlp-8";
    config.channels = FEATURES;
    config.classes = CLASSES;
    jem_model *made;
    float out[ROWS * CLASSES];
    const char *fault = NULL;
    if (opened_jem_model_create(&made, &config, NULL) != JEM_OK ||
        opened_jem_logits(made, ROWS, x, out) != JEM_OK)
        fault = "a call of the opened library failed";
    opened_jem_model_destroy(made);
    dlclose(library);
    return (void *)(uintptr_t)fault;
}

START_TEST(test_dlopen_dlclose)
{
    x = support_uniform(ROWS * FEATURES, 1);
    for (int i = 0; i < 100; i++) {
        void *fault;
        pthread_t thread;
        if (i % 4 != 3) {
            fault = open_compute_close(NULL);
        } else {
            ck_assert_int_eq(pthread_create(&thread, NULL, open_compute_close, NULL), 0);
            pthread_join(thread, &fault);
        }
        ck_assert_msg(fault == NULL, "round %d: %s", i, (const char *)fault);
    }
    free(x);
}
END_TEST

// ---- a full disk, as far as a process can have one of its own
// --------------------------------------

START_TEST(test_file_size_limit)
{
    char path[256];
    snprintf(path, sizeof path, "%s/model", dir);
    jem_model *small = support_model("mlp-2", FEATURES, CLASSES, NULL);
    jem_model *large = support_model("mlp-512-64", FEATURES, CLASSES, NULL), *loaded;
    MUST(jem_model_save(small, path));
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 65536;
    setrlimit(RLIMIT_FSIZE, &limit);
    support_stale_message();
    const jem_status status = jem_model_save(large, path); // SIGXFSZ would end this process
    setrlimit(RLIMIT_FSIZE, &before);
    support_refused(status, JEM_EIO, path, "jem_model_save", __FILE__, __LINE__);
    MUST(jem_model_load(&loaded, path, NULL));
    ck_assert_str_eq(jem_model_arch(loaded), jem_model_arch(small));
    sigset_t pending;
    sigpending(&pending);
    ck_assert_int_eq(sigismember(&pending, SIGXFSZ), 0);
    jem_model_destroy(loaded);
    jem_model_destroy(large);
    jem_model_destroy(small);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_fork, 0, COUNT(regions));
    tcase_add_test(tcase, test_fork_beside_a_thread);
    tcase_add_loop_test(tcase, test_host_stays_as_it_was, 0, COUNT(hosts));
    tcase_add_test(tcase, test_inside_a_parallel_region);
    tcase_add_test(tcase, test_dlopen_dlclose);
    tcase_add_test(tcase, test_file_size_limit);
}

int main(void)
{
    return support_main("host", add_tests);
}
