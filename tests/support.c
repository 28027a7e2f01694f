/*
 * The shared helpers of the tests; support.h says what each is for.
 */
#include "support.h"
#include "base/threads.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "kernels/isa.h"

static const char stale[] = "a message from before the call";

void support_must(jem_status status, const char *call, const char *file, int line)
{
    ck_assert_msg(status == JEM_OK, "%s:%d: %s gave %s: %s", file, line, call,
                  jem_status_string(status), jem_last_error());
}

void support_stale_message(void)
{
    jemi_fail(JEM_EIO, "%s", stale);
}

void support_refused(jem_status status, jem_status expected, const char *word, const char *call,
                     const char *file, int line)
{
    const char *message = jem_last_error();
    ck_assert_msg(status == expected, "%s:%d: %s gave %s (%s), expected %s", file, line, call,
                  jem_status_string(status), status != JEM_OK ? message : "no failure",
                  jem_status_string(expected));
    ck_assert_msg(strcmp(message, stale) != 0 && message[0] != '\0', "%s:%d: %s set no message",
                  file, line, call);
    ck_assert_msg(strstr(message, word) != NULL, "%s:%d: %s says '%s', which lacks '%s'", file,
                  line, call, message, word);
    ck_assert_msg(strchr(message, '\n') == NULL, "%s:%d: more than a line", file, line);
}

void support_near(double value, double expected, double tolerance, const char *what,
                  const char *file, int line)
{
    ck_assert_msg(fabs(value - expected) <= tolerance, "%s:%d: %s is %.9g; expected %.9g +- %.3g",
                  file, line, what, value, expected, tolerance);
}

void support_same_bits(const void *a, const void *b, size_t size, const char *what)
{
    const unsigned char *left = a, *right = b;
    size_t i = 0;
    while (i < size && left[i] == right[i])
        i++;
    ck_assert_msg(i == size, "%s: byte %zu of %zu differs", what, i, size);
}

uint64_t support_hash(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

const int32_t support_backends[] = {
    JEM_BACKEND_REF,
    JEM_BACKEND_NATIVE,
#if JEM_HAVE_ONEDNN
    JEM_BACKEND_ONEDNN,
#endif
};
const int support_n_backends = COUNT(support_backends);

void support_threads(int threads)
{
    jemi_threads_leave(0);
    jemi_threads_enter(threads);
}

jem_exec_config support_exec(int32_t backend, int32_t threads)
{
    jem_exec_config exec;
    MUST(jem_exec_config_init(&exec, sizeof exec));
    if (backend != 0)
        exec.backend = backend;
    if (threads != 0)
        exec.threads = threads;
    return exec;
}

jem_model *support_image_model(const char *arch, int32_t channels, int32_t side, int32_t classes,
                               const jem_exec_config *exec)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = arch;
    config.channels = channels;
    config.height = config.width = side;
    config.classes = classes;
    config.seed = 7;
    jem_model *model;
    MUST(jem_model_create(&model, &config, exec));
    return model;
}

jem_model *support_model(const char *arch, int32_t channels, int32_t classes,
                         const jem_exec_config *exec)
{
    return support_image_model(arch, channels, 1, classes, exec);
}

int64_t support_param_count(const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    return info.param_count;
}

float *support_params(const jem_model *model)
{
    const int64_t count = support_param_count(model);
    float *params = malloc((size_t)count * sizeof *params);
    MUST(jem_model_get_params(model, count, params));
    return params;
}

jem_sampler_config support_sampler_config(int32_t capacity, int32_t steps)
{
    jem_sampler_config config;
    MUST(jem_sampler_config_init(&config, sizeof config));
    config.capacity = capacity;
    config.steps = steps;
    config.seed = 11;
    return config;
}

jem_sampler *support_sampler(const jem_model *model, const jem_sampler_config *config)
{
    jem_sampler *sampler;
    MUST(jem_sampler_create(&sampler, model, config));
    return sampler;
}

jem_optimizer *support_optimizer(const jem_model *model, float lr)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.lr = lr;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    return optimizer;
}

jem_train_batch support_batch(int64_t n, const float *x, const int64_t *y)
{
    jem_train_batch batch;
    MUST(jem_train_batch_init(&batch, sizeof batch));
    batch.n_labelled = n;
    batch.x_labelled = x;
    batch.y_labelled = y;
    return batch;
}

uint64_t support_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

float *support_uniform(int64_t count, uint64_t seed)
{
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = ((float)(support_next(&seed) >> 40) + 0.5f) * 0x1p-23f - 1.0f;
    return values;
}

uint64_t support_fresh_seed(void)
{
    const char *given = getenv("JEM_TEST_SEED");
    if (given != NULL)
        return strtoull(given, NULL, 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t state = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return support_next(&state) ^ (uint64_t)getpid();
}

double support_mean_bound(int64_t n)
{
    return sqrt(log(2e9) / (2.0 * (double)n));
}

double support_normal_cdf(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

double support_uniform_cdf(double u)
{
    return u < 0.0 ? 0.0 : u > 1.0 ? 1.0 : u;
}

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

void support_check_law(double *values, int64_t n, double (*cdf)(double), const char *what)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    double distance = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double p = cdf(values[i]);
        const double below = p - (double)i / (double)n, above = (double)(i + 1) / (double)n - p;
        distance = fmax(distance, fmax(below, above));
    }
    // The bound of Dvoretzky, Kiefer and Wolfowitz (Massart 1990) is Hoeffding's, for all at once.
    ck_assert_msg(distance <= support_mean_bound(n), "%s: %g from the law, at most %g", what,
                  distance, support_mean_bound(n));
}

void support_check_uncorrelated(const float *a, const float *b, int64_t n, const char *what)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    const double bound = 7.0 * sqrt((double)n); // 3e-12: tests ask this some thousand times
    ck_assert_msg(fabs(sum) <= bound, "%s: correlation %g, at most %g", what, sum / (double)n,
                  bound / (double)n);
}

void support_make_dir(char *path, size_t size)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL) // in memory, if there is such a place: every save waits for its disk
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, size, "%s/jem-test-XXXXXX", parent);
    ck_assert_msg(mkdtemp(path) != NULL, "no temporary directory in %s", path);
}

void support_remove_dir(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

void *support_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*size + 1);
    ck_assert_msg(fread(bytes, 1, *size, file) == *size, "cannot read %s", path);
    fclose(file);
    return bytes;
}

void support_write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL && fwrite(bytes, 1, size, file) == size, "cannot write %s", path);
    fclose(file);
}

// JEM_TEST_ISA=avx2 ctest .. runs the tests as on a processor that has no more than that.
static __attribute__((constructor)) void limit_instruction_set(void)
{
    const char *name = getenv("JEM_TEST_ISA");
    if (name != NULL && !jemi_isa_limit(name)) {
        fprintf(stderr, "JEM_TEST_ISA: this processor has no \"%s\"\n", name);
        exit(1);
    }
}

int support_main(const char *name, void (*add)(TCase *tcase))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 300); // a hang is a failure, a slow machine is not
    add(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
