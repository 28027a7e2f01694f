/*
 * What several test programs share: calls that must succeed, tiny models, inputs, comparison of
 * bits, temporary directories, and the frame of a Check program. Random numbers here come from a
 * generator of its own, so that no test proves libjem's numbers with libjem's numbers.
 */
#ifndef JEM_TESTS_SUPPORT_H
#define JEM_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <check.h>
#include <jem/jem.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/** Fails the test with the status and the message unless the call returns JEM_OK. */
#define MUST(call) support_must((call), #call, __FILE__, __LINE__)
void support_must(jem_status status, const char *call, const char *file, int line);

/** Fails unless the call returns `expected` with a fresh message that holds `word`. */
#define REFUSED(expected, word, call)                                                              \
    do {                                                                                           \
        support_stale_message();                                                                   \
        support_refused((call), expected, word, #call, __FILE__, __LINE__);                        \
    } while (0)
/** Fails unless |value - expected| <= tolerance. (Check's macro does not bracket its arguments.) */
#define NEAR(value, expected, tolerance)                                                           \
    support_near((value), (expected), (tolerance), #value, __FILE__, __LINE__)
void support_near(double value, double expected, double tolerance, const char *what,
                  const char *file, int line);

void support_stale_message(void);
void support_refused(jem_status status, jem_status expected, const char *word, const char *call,
                     const char *file, int line);

/** Fails unless both arrays hold the same bits; `what` names them. */
void support_same_bits(const void *a, const void *b, size_t size, const char *what);
/** FNV-1a, to compare much in little space. */
uint64_t support_hash(const void *data, size_t size);

/** The backends of this build, one per loop index of a test. */
extern const int32_t support_backends[];
extern const int support_n_backends;

/** Default exec with this backend and OpenMP count; 0 = the default of either. */
jem_exec_config support_exec(int32_t backend, int32_t threads);

/** Loops that this thread runs outside of libjem's calls, as tests of kernels do, have so many. */
void support_threads(int threads);

/** A model for rows of (channels, 1, 1), or (channels, side, side). */
jem_model *support_model(const char *arch, int32_t channels, int32_t classes,
                         const jem_exec_config *exec);
jem_model *support_image_model(const char *arch, int32_t channels, int32_t side, int32_t classes,
                               const jem_exec_config *exec);
int64_t support_param_count(const jem_model *model);
/** malloc'd. */
float *support_params(const jem_model *model);

jem_sampler_config support_sampler_config(int32_t capacity, int32_t steps);
jem_sampler *support_sampler(const jem_model *model, const jem_sampler_config *config);
jem_optimizer *support_optimizer(const jem_model *model, float lr);
jem_train_batch support_batch(int64_t n, const float *x, const int64_t *y);

/** malloc'd, count >= 1 values in (-1, 1) that depend on the seed alone. */
float *support_uniform(int64_t count, uint64_t seed);
/** The next number of a SplitMix64 stream. */
uint64_t support_next(uint64_t *state);
/** A seed that is new in every run, or the one in JEM_TEST_SEED; print it where a test fails. */
uint64_t support_fresh_seed(void);

/* Tests of laws, each false once in 10^9 runs when the law holds; z: of a standard normal. */
#define SUPPORT_Z 6.11

/** Hoeffding: a mean of n values in 0..1 is this far from its expectation once in 10^9 runs. */
double support_mean_bound(int64_t n);
double support_normal_cdf(double z);
double support_uniform_cdf(double u);
/** Fails when n independent values are farther from the law than Dvoretzky, Kiefer and Wolfowitz
 *  allow. Sorts them. */
void support_check_law(double *values, int64_t n, double (*cdf)(double), const char *what);
/** Fails when n pairs of independent standardised values are correlated. */
void support_check_uncorrelated(const float *a, const float *b, int64_t n, const char *what);

/** A new directory under TMPDIR, /dev/shm or /tmp; support_remove_dir() removes it and its files. */
void support_make_dir(char *path, size_t size);
void support_remove_dir(const char *path);

/** A file's bytes, malloc'd. */
void *support_read_file(const char *path, size_t *size);
void support_write_file(const char *path, const void *bytes, size_t size);

/** Creates, runs and frees a suite of one case. Returns main's result. */
int support_main(const char *name, void (*add)(TCase *tcase));

#endif
