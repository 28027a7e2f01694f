/*
 * lib/io/safetensors: running out of memory is an error like any other, and hostile headers of the
 * largest size cost neither much time nor much memory. JEM_TEST_VERBOSE=1 prints what they cost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/safetensors.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static char folder[] = "/tmp/jem-cost-XXXXXX";
static char path[64]; /* a file in it */

/* ---- memory --------------------------------------------------------------------------------- */

typedef struct ledger {
    int64_t left;      /* allocations until they fail; negative = never */
    bool once;         /* only that one fails */
    size_t used, peak; /* bytes */
} ledger;

static void *ledger_allocate(void *user, size_t alignment, size_t size)
{
    ledger *l = user;
    if (l->left == 0) {
        l->left = l->once ? -1 : 0;
        return NULL;
    }
    l->left -= l->left > 0;
    size_t *block = aligned_alloc(alignment, size + alignment); // the size goes before the block
    block[0] = size;
    l->used += size;
    l->peak = l->used > l->peak ? l->used : l->peak;
    return (char *)block + alignment;
}

static void ledger_release(void *user, void *block)
{
    size_t *start = (size_t *)((char *)block - 64);
    ((ledger *)user)->used -= start[0];
    free(start);
}

static void ledger_open(ledger *l)
{
    ck_assert(jemi_memory_set_allocator(&(jem_allocator){ledger_allocate, ledger_release, l}));
}

// Also checks that nothing is left.
static void ledger_close(const ledger *l)
{
    ck_assert_uint_eq(l->used, 0);
    ck_assert(jemi_memory_set_allocator(NULL));
}

static const float values[4] = {1, 2, 3, 4};
static const jemi_safetensor sample[] = {
    {.name = "a", .rank = 2, .shape = {2, 2}, .data = values},
    {.name = "b", .rank = 1, .shape = {3}, .data = values},
};
static const jemi_string_pair sample_metadata[] = {{"key", "value"}};

static jem_status write_sample(void)
{
    return jemi_safetensors_write(path, sample, COUNT(sample), sample_metadata,
                                  COUNT(sample_metadata));
}

static jem_status read_sample(void)
{
    jemi_safetensors file;
    const jem_status status = jemi_safetensors_read(path, &file);
    if (status == JEM_OK)
        ck_assert_uint_eq(file.n_tensors, COUNT(sample));
    jemi_safetensors_fini(&file);
    return status;
}

typedef struct memory_row {
    const char *name;
    jem_status (*run)(void);
    bool once;
    int failures_min; /* allocations it is known to make at least */
} memory_row;

static const memory_row memory_rows[] = {
    {"read, one allocation fails", read_sample, true, 10},
    {"read, all fail from one on", read_sample, false, 10},
    {"write, one allocation fails", write_sample, true, 8},
    {"write, all fail from one on", write_sample, false, 8},
};

START_TEST(out_of_memory)
{
    const memory_row *row = &memory_rows[_i];
    ck_assert_int_eq(write_sample(), JEM_OK);
    ledger l = {.left = -1};
    ledger_open(&l);
    int n_failures = 0;
    for (;; n_failures++) {
        l.left = n_failures;
        l.once = row->once;
        const jem_status status = row->run();
        ck_assert_uint_eq(l.used, 0);
        if (status == JEM_OK)
            break;
        ck_assert_msg(status == JEM_ENOMEM, "%s, %d: %s", row->name, n_failures,
                      jemi_last_message());
    }
    ck_assert_msg(n_failures >= row->failures_min, "%s: %d", row->name, n_failures);
    l.left = -1;
    ck_assert_int_eq(read_sample(), JEM_OK);
    ledger_close(&l);
}
END_TEST

/* ---- cost ----------------------------------------------------------------------------------- */

typedef struct flood_row {
    const char *name;
    const char *front, *repeat, *back; /* %07d in `repeat` is a number that falls */
    size_t n_max;                      /* repetitions; 0 = as many as the header may hold */
    jem_status status;
    const char *word;
} flood_row;

static const flood_row floods[] = {
    {"tensors, as many as fit", "{", "'%07d':{'dtype':'F32','shape':[0],'data_offsets':[0,0]},",
     "'x':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}", 0, JEM_OK, ""},
    {"tensors, cut by the limit", "{", "'%07d':{'dtype':'F32','shape':[0],'data_offsets':[0,0]},",
     "", 0, JEM_EFORMAT, "found its end"},
    {"one name many times", "{", "'a':{'dtype':'F32','shape':[0],'data_offsets':[0,0]},",
     "'a':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}", 0, JEM_EFORMAT, "appears twice"},
    {"metadata keys", "{'__metadata__':{", "'%07d':'',", "'x':''}}", 0, JEM_OK, ""},
    {"one metadata key many times", "{'__metadata__':{", "'':'',", "'':''}}", 0, JEM_EFORMAT,
     "appears twice"},
    {"long metadata value", "{'__metadata__':{'a':'", "xxxxxxxx", "'}}", 0, JEM_OK, ""},
    {"escapes", "{'__metadata__':{'a':'", "\\u00e4", "'}}", 0, JEM_OK, ""},
    {"long name", "{'", "xxxxxxxx", "':{}}", 0, JEM_EFORMAT, "expected 1 to 255"},
    {"arrays nested", "{'a':", "[", "", 0, JEM_EFORMAT, "'{', found '['"},
    {"arrays nested in a shape", "{'a':{'shape':", "[", "", 0, JEM_EFORMAT, "found '['"},
    {"arrays nested 10^6", "{'a':{'shape':", "[", "", 1000000, JEM_EFORMAT, "found '['"},
    {"objects nested", "", "{'a':", "", 0, JEM_EFORMAT, "'a', which safetensors lacks"},
    {"arrays side by side", "{'a':{'shape':[", "[],", "", 0, JEM_EFORMAT, "found '['"},
    {"rank of millions", "{'a':{'shape':[", "1,", "1]}}", 0, JEM_EFORMAT, "more than 8"},
    {"offsets by the million", "{'a':{'data_offsets':[", "1,", "1]}}", 0, JEM_EFORMAT, "not more"},
    {"long number", "{'a':{'shape':[", "99999999", "]}}", 0, JEM_EFORMAT, "2^63"},
    {"zeros", "{'a':{'shape':[", "00000000", "]}}", 0, JEM_EFORMAT, "2^63"},
    {"white space", "{", "        ", "}", 0, JEM_OK, ""},
    {"opening quotes", "{", "'", "", 0, JEM_EFORMAT, "':'"},
    {"backslashes", "{'", "\\\\", "", 0, JEM_EFORMAT, "found its end"},
    {"10^6 tensors are too many", "{", "'%07d':{'dtype':'F32','shape':[0],'data_offsets':[0,0]},",
     "", 1000000, JEM_EFORMAT, "at most 16777216"},
};

static unsigned char *make_flood(const flood_row *row, size_t *size)
{
    char piece[128];
    snprintf(piece, sizeof piece, row->repeat, 0);
    const size_t ends = strlen(row->front) + strlen(row->back);
    const size_t n =
        row->n_max != 0 ? row->n_max : (JEMI_SAFETENSORS_HEADER_MAX - ends) / strlen(piece);
    const size_t header_size = ends + n * strlen(piece);
    *size = 8 + header_size;
    char *bytes = malloc(*size + 1);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(header_size >> 8 * i);
    char *at = stpcpy(bytes + 8, row->front);
    for (size_t i = 0; i < n; i++) {
        snprintf(piece, sizeof piece, row->repeat, (int)(n - i));
        at = stpcpy(at, piece);
    }
    stpcpy(at, row->back);
    for (size_t i = 8; i < *size; i++)
        bytes[i] = bytes[i] == '\'' ? '"' : bytes[i];
    return (unsigned char *)bytes;
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

// Linear work on 16 MiB takes well below a second, quadratic work days; sanitizers cost ten times.
// Memory: the worst row, empty tensors, holds their list twice while it grows and is ordered.
START_TEST(floods_cost_little)
{
    const flood_row *row = &floods[_i];
    size_t size;
    unsigned char *bytes = make_flood(row, &size);
    ledger l = {.left = -1};
    ledger_open(&l);
    jemi_safetensors file;
    const double start = cpu_seconds();
    const jem_status status = jemi_safetensors_parse(bytes, size, &file);
    const double seconds = cpu_seconds() - start;
    if (getenv("JEM_TEST_VERBOSE") != NULL)
        printf("%-28s %.3f s, %5.2f bytes per byte\n", row->name, seconds,
               (double)l.peak / (double)size);
    ck_assert_msg(status == row->status, "%s: %s %s", row->name, jemi_status_name(status),
                  jemi_last_message());
    ck_assert_msg(status == JEM_OK || strstr(jemi_last_message(), row->word) != NULL, "%s: %s",
                  row->name, jemi_last_message());
    ck_assert_msg(seconds < 10, "%s: %g s", row->name, seconds);
    ck_assert_msg((double)l.peak < 12 * (double)size, "%s: %zu bytes", row->name, l.peak);
    jemi_safetensors_fini(&file);
    ledger_close(&l);
    free(bytes);
}
END_TEST

int main(void)
{
    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/sample.safetensors", folder);
    Suite *suite = suite_create("safetensors_cost");
    TCase *tests = tcase_create("cost");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, out_of_memory, 0, COUNT(memory_rows));
    tcase_add_loop_test(tests, floods_cost_little, 0, COUNT(floods));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(path);
    rmdir(folder);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
