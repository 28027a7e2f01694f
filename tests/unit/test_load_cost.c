/*
 * What a stranger's file can cost at most: headers of megabytes, through every function
 * that reads files, take seconds of processor time and a small multiple of their size in memory.
 *
 * The bounds are far above what it takes; a search through a list for each entry would take hours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "support.h"

enum { SIZE = 4 << 20 };
static const double seconds_max = 30.0;
static const size_t bytes_max = (size_t)24 * SIZE;

static char dir[200], path[256];
static char *bytes;
static size_t size;

static void set_up(void)
{
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/large.safetensors", dir);
}

static void tear_down(void)
{
    free(bytes);
    support_remove_dir(dir);
}

// ---- files --------------------------------------------------------------------------------------

// Copies a string to `at` with " for ', and returns its end.
static char *put(char *at, const char *text)
{
    for (; *text != '\0'; text++)
        *at++ = *text == '\'' ? '"' : *text;
    return at;
}

static char *put_key(char *at, unsigned number, const char *value)
{
    char text[64];
    snprintf(text, sizeof text, "'%x':'%s',", number * 2654435761u, value);
    return put(at, text);
}

// Ends the header, and adds data of zeros.
static void finish(char *end, size_t data_size)
{
    const uint64_t header_size = (uint64_t)(end - bytes) - 8;
    memcpy(bytes, &header_size, 8);
    memset(end, 0, data_size);
    size = (size_t)(end - bytes) + data_size;
    support_write_file(path, bytes, size);
}

// A model whose metadata fills the header.
static void make_metadata(void)
{
    bytes = malloc(SIZE + 4096);
    char *at = put(bytes + 8, "{'__metadata__':{'jem.format':'1','jem.arch':'mlp-1','jem.channels':"
                              "'1','jem.height':'1','jem.width':'1','jem.classes':'2',"
                              "'jem.input_low':'0','jem.input_high':'1',");
    for (unsigned i = 0; at < bytes + SIZE; i++)
        at = put_key(at, i, "");
    at = put(at, "'z':''},'hidden.0.weight':{'dtype':'F32','shape':[1,1],'data_offsets':[0,4]},"
                 "'hidden.0.bias':{'dtype':'F32','shape':[1],'data_offsets':[4,8]},"
                 "'head.weight':{'dtype':'F32','shape':[2,1],'data_offsets':[8,16]},"
                 "'head.bias':{'dtype':'F32','shape':[2],'data_offsets':[16,24]}}");
    finish(at, 24);
}

// A file of as many tensors as fit, the last of which is the model's.
static void make_tensors(void)
{
    bytes = malloc(SIZE + 4096);
    char *at = put(bytes + 8, "{"), text[96];
    for (unsigned i = 0; at < bytes + SIZE; i++) {
        snprintf(text, sizeof text, "'%x':{'dtype':'U8','shape':[0],'data_offsets':[0,0]},",
                 i * 2654435761u);
        at = put(at, text);
    }
    at = put(at, "'hidden.0.bias':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}");
    finish(at, 4);
}

// A model with the most classes, all of which have long names.
static void make_class_names(void)
{
    enum { N = 100000 };
    bytes = malloc(SIZE + 4096 + 8 * (size_t)N + 16);
    char *at = put(bytes + 8, "{'__metadata__':{'jem.format':'1','jem.arch':'mlp-1','jem.channels':"
                              "'1','jem.height':'1','jem.width':'1','jem.classes':'100000',"
                              "'jem.input_low':'0','jem.input_high':'1','jem.class_names':'[");
    for (int i = 0; i < N; i++)
        at += sprintf(at, "%s\\\"%0*d\\\"", i > 0 ? "," : "", (SIZE - 64 - (5 * N)) / N - 1, i);
    char text[512];
    snprintf(text, sizeof text,
             "]'},'hidden.0.weight':{'dtype':'F32','shape':[1,1],'data_offsets':[0,4]},"
             "'hidden.0.bias':{'dtype':'F32','shape':[1],'data_offsets':[4,8]},"
             "'head.weight':{'dtype':'F32','shape':[%d,1],'data_offsets':[8,%d]},"
             "'head.bias':{'dtype':'F32','shape':[%d],'data_offsets':[%d,%d]}}",
             N, 8 + 4 * N, N, 8 + 4 * N, 8 + 8 * N);
    finish(put(at, text), 8 + 8 * (size_t)N);
}

// ---- cost ---------------------------------------------------------------------------------------

static size_t used, peak;

static void *counted(void *user, size_t alignment, size_t wanted)
{
    (void)user;
    char *block = aligned_alloc(alignment, wanted + alignment);
    memcpy(block, &wanted, sizeof wanted);
    used += wanted;
    peak = used > peak ? used : peak;
    return block + alignment;
}

static void release(void *user, void *block)
{
    (void)user;
    char *start = (char *)block - 64; // the library asks for this alignment
    size_t wanted;
    memcpy(&wanted, start, sizeof wanted);
    used -= wanted;
    free(start);
}

static void load(void)
{
    jem_model *model;
    MUST(jem_model_load(&model, path, NULL));
    char text[16];
    MUST(jem_model_get_metadata(model, "z", text, sizeof text, NULL));
    jem_model_destroy(model);
}

static void load_buffer(void)
{
    jem_model *model, *clone;
    MUST(jem_model_load_buffer(&model, bytes, size, NULL));
    MUST(jem_model_clone(&clone, model, NULL)); // its metadata too
    jem_model_destroy(model);
    jem_model_destroy(clone);
}

static void load_names(void)
{
    jem_model *model;
    size_t length;
    MUST(jem_model_load(&model, path, NULL));
    MUST(jem_model_get_class_name(model, 99999, NULL, 0, &length));
    ck_assert_uint_gt(length, strlen("99999")); // which an unnamed class is called
    jem_model_destroy(model);
}

static void load_matching(void)
{
    int32_t matched;
    jem_model *model = support_model("mlp-1", 1, 2, NULL);
    MUST(jem_model_load_matching(model, path, &matched));
    ck_assert_int_ge(matched, 1);
    jem_model_destroy(model);
}

static void load_checkpoint(void)
{
    jem_model *model = support_model("mlp-1", 1, 2, NULL);
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    REFUSED(JEM_EFORMAT, "checkpoint", jem_checkpoint_load(path, model, optimizer, NULL));
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}

static const struct {
    const char *name;
    void (*make)(void);
    void (*run)(void);
} rows[] = {
    {"metadata, load", make_metadata, load},
    {"metadata, load_buffer and clone", make_metadata, load_buffer},
    {"metadata, load_matching", make_metadata, load_matching},
    {"metadata, checkpoint", make_metadata, load_checkpoint},
    {"tensors, load_matching", make_tensors, load_matching},
    {"tensors, checkpoint", make_tensors, load_checkpoint},
    {"class names, load", make_class_names, load_names},
};

START_TEST(test_full_headers)
{
    rows[_i].make();
    ck_assert(jemi_memory_set_allocator(&(jem_allocator){counted, release, NULL}));
    used = peak = 0;
    const clock_t start = clock();
    rows[_i].run();
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (getenv("JEM_TEST_VERBOSE") != NULL)
        printf("%-32s %.2f s, %.1f bytes per byte\n", rows[_i].name, seconds,
               (double)peak / (double)size);
    ck_assert_uint_eq(used, 0);
    ck_assert(jemi_memory_set_allocator(NULL));
    ck_assert_msg(seconds < seconds_max, "%s: %g s", rows[_i].name, seconds);
    ck_assert_msg(peak < bytes_max, "%s: %zu bytes", rows[_i].name, peak);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_full_headers, 0, COUNT(rows));
}

int main(void)
{
    return support_main("cost of loading", add);
}
