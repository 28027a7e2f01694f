/*
 * jem_model_load_matching() takes what matches and looks at nothing else of a file; of what it
 * takes it converts the dtype. And jem_model_load() of a file that somebody changed says so.
 */
#define _GNU_SOURCE // memmem
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/safetensors.h"
#include "support.h"

enum { FEATURES = 3, HIDDEN = 2, CLASSES = 2, N_PARAMS = FEATURES * HIDDEN + HIDDEN + 2 * CLASSES };

static char dir[200], path[256];
static jem_model *model;

static void set_up(void)
{
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/file.safetensors", dir);
    model = support_model("mlp-2", FEATURES, CLASSES, NULL);
}

static void tear_down(void)
{
    jem_model_destroy(model);
    support_remove_dir(dir);
    ck_assert(jemi_memory_set_allocator(NULL));
}

// A file of this header, in which ' stands for ", and that data.
static void write_text(const char *header, const void *data, size_t data_size)
{
    char bytes[4096];
    const uint64_t size = strlen(header);
    ck_assert(8 + size + data_size <= sizeof bytes);
    memcpy(bytes, &size, 8);
    for (uint64_t i = 0; i < size; i++)
        bytes[8 + i] = header[i] == '\'' ? '"' : header[i];
    memcpy(bytes + 8 + size, data, data_size);
    support_write_file(path, bytes, 8 + size + data_size);
}

static int32_t matches(void)
{
    int32_t matched = -1;
    MUST(jem_model_load_matching(model, path, &matched));
    return matched;
}

static void check_bias(float first, float second)
{
    float bias[2];
    MUST(jem_model_get_tensor(model, "hidden.0.bias", 2, bias));
    ck_assert(bias[0] == first && bias[1] == second);
}

#define BIAS(dtype, end)                                                                           \
    "'hidden.0.bias':{'dtype':'" dtype "','shape':[2],'data_offsets':[0," end "]}"

// ---- dtypes -------------------------------------------------------------------------------------

START_TEST(test_conversions)
{
    const double doubles[] = {0.1, -1e30};
    write_text("{" BIAS("F64", "16") "}", doubles, sizeof doubles);
    ck_assert_int_eq(matches(), 1);
    check_bias(0.1f, -1e30f);
    const uint16_t halves[] = {0x3C00, 0xC000};
    write_text("{" BIAS("F16", "4") "}", halves, sizeof halves);
    ck_assert_int_eq(matches(), 1);
    check_bias(1.0f, -2.0f);
    const uint16_t shorts[] = {0x3F80, 0xC040};
    write_text("{" BIAS("BF16", "4") "}", shorts, sizeof shorts);
    ck_assert_int_eq(matches(), 1);
    check_bias(1.0f, -3.0f);
    const double least[] = {1e-60, (double)FLT_MAX};
    write_text("{" BIAS("F64", "16") "}", least, sizeof least);
    ck_assert_int_eq(matches(), 1);
    check_bias(0.0f, FLT_MAX);
}
END_TEST

START_TEST(test_values_that_cannot_be)
{
    float *before = support_params(model);
    const double large[] = {1.0, 1e39};
    write_text("{" BIAS("F64", "16") "}", large, sizeof large);
    REFUSED(JEM_EFORMAT, "holds 1e+39 at element 1; floats reach 3.40282e+38",
            jem_model_load_matching(model, path, NULL));
    const double infinite[] = {1.0, INFINITY};
    write_text("{" BIAS("F64", "16") "}", infinite, sizeof infinite);
    REFUSED(JEM_EFORMAT, "expected finite", jem_model_load_matching(model, path, NULL));
    REFUSED(JEM_EFORMAT, path, jem_model_load_matching(model, path, NULL));
    float *after = support_params(model);
    support_same_bits(before, after, N_PARAMS * sizeof *after, "parameters");
    free(before);
    free(after);
}
END_TEST

// ---- what else is in the file -------------------------------------------------------------------

static char line[256];

static void receive(void *user, int32_t level, const char *text)
{
    (void)user;
    (void)level;
    snprintf(line, sizeof line, "%s", text);
}

typedef struct beside_row {
    const char *name, *header;
    size_t data_size;
    int32_t matched;
    const char *line; /* of the log; NULL = none */
} beside_row;

static const beside_row beside[] = {
    {"nothing", "{" BIAS("F32", "8") "}", 8, 1, NULL},
    {"a BOOL", "{" BIAS("F32", "8") ",'mask':{'dtype':'BOOL','shape':[3],'data_offsets':[8,11]}}",
     11, 1, NULL},
    {"an I64 before, a dtype of the future behind",
     "{'n':{'dtype':'I64','shape':[],'data_offsets':[0,8]},"
     "'hidden.0.bias':{'dtype':'F32','shape':[2],'data_offsets':[8,16]},"
     "'q':{'dtype':'F3_X','shape':[7],'data_offsets':[16,19]}}",
     19, 1, NULL},
    {"one of ours in another dtype",
     "{" BIAS("F32", "8") ",'head.bias':{'dtype':'I8','shape':[2],'data_offsets':[8,10]}}", 10, 1,
     "tensor 'head.bias' holds I8 and is left out"},
    {"one of ours in another shape",
     "{" BIAS("F32", "8") ",'head.bias':{'dtype':'F32','shape':[1,2],'data_offsets':[8,16]}}", 16,
     1, NULL},
    {"metadata of others",
     "{'__metadata__':{'format':'pt','jem.arch':'?','jem.mean':'x'}," BIAS("F32", "8") "}", 8, 1,
     NULL},
    {"a digest of another kind",
     "{'__metadata__':{'jem.digest.kind':'md5','jem.digest':'0'}," BIAS("F32", "8") "}", 8, 1,
     NULL},
    {"half a digest", "{'__metadata__':{'jem.digest':'0'}," BIAS("F32", "8") "}", 8, 1, NULL},
    {"a wrong digest",
     "{'__metadata__':{'jem.digest.kind':'crc64-xz','jem.digest':'0000000000000000'}," BIAS(
         "F32", "8") "}",
     8, 1, NULL},
};

START_TEST(test_beside)
{
    const beside_row *row = &beside[_i];
    const char data[64] = "";
    line[0] = '\0';
    write_text(row->header, data, row->data_size);
    MUST(jem_set_log(receive, NULL));
    ck_assert_msg(matches() == row->matched, "%s", row->name);
    MUST(jem_set_log(NULL, NULL));
    check_bias(0.0f, 0.0f);
    ck_assert_str_eq(line, row->line != NULL ? row->line : "");
}
END_TEST

START_TEST(test_nothing_matches)
{
    int32_t matched = 7;
    const char data[64] = "";
    write_text("{" BIAS("I8", "2") "}", data, 2);
    REFUSED(JEM_EMISMATCH, "no tensor of floating-point",
            jem_model_load_matching(model, path, &matched));
    write_text("{}", data, 0);
    REFUSED(JEM_EMISMATCH, "no tensor", jem_model_load_matching(model, path, &matched));
    ck_assert_int_eq(matched, 7);
}
END_TEST

// Data that nobody asks for is neither read nor held, be it as large as it may.
START_TEST(test_large_file)
{
    const float bias[2] = {1.0f, 2.0f};
    write_text("{" BIAS("F32", "8") ",'big':{'dtype':'U8','shape':[1099511627776],"
                                    "'data_offsets':[8,1099511627784]}}",
               bias, sizeof bias);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size + ((off_t)1 << 40)), 0);
    ck_assert_int_eq(matches(), 1);
    check_bias(1.0f, 2.0f);
}
END_TEST

// ---- a file that another program saved again ----------------------------------------------------

static void save_changed(bool other_order)
{
    jemi_safetensors file;
    MUST(jem_model_save(model, path));
    size_t size;
    char *bytes = support_read_file(path, &size);
    bytes[size - 3] ^= 1;
    support_write_file(path, bytes, size);
    free(bytes);
    if (!other_order)
        return;
    // Its keys sorted, as the common libraries write them.
    MUST(jemi_safetensors_open(path, &file));
    char header[4096] = "{'__metadata__':{";
    for (size_t i = 0; i < file.n_metadata; i++) {
        const jemi_string_pair *pair = &file.metadata[file.n_metadata - 1 - i];
        snprintf(header + strlen(header), sizeof header - strlen(header), "%s'%s':'%s'",
                 i > 0 ? "," : "", pair->key, pair->value);
    }
    strcat(header, "},'hidden.0.weight':{'dtype':'F32','shape':[2,3],'data_offsets':[0,24]},"
                   "'hidden.0.bias':{'dtype':'F32','shape':[2],'data_offsets':[24,32]},"
                   "'head.weight':{'dtype':'F32','shape':[2,2],'data_offsets':[32,48]},"
                   "'head.bias':{'dtype':'F32','shape':[2],'data_offsets':[48,56]}}");
    jemi_safetensors_fini(&file);
    const float zeros[14] = {0};
    write_text(header, zeros, sizeof zeros);
}

START_TEST(test_changed_file)
{
    save_changed(_i == 1);
    jem_model *loaded;
    REFUSED(JEM_EFORMAT, "changed after libjem wrote it", jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EFORMAT, "jem_model_load_matching takes", jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EFORMAT, path, jem_model_load(&loaded, path, NULL));
    ck_assert_ptr_null(loaded);
    ck_assert_int_eq(matches(), 4);
}
END_TEST

// Where the header itself is damaged, that is the fault, not what seems to follow from it.
START_TEST(test_damaged_header)
{
    MUST(jem_model_save(model, path));
    size_t size;
    char *bytes = support_read_file(path, &size);
    char *classes = memmem(bytes, size, "\"jem.classes\":\"2\"", 17);
    classes[15] = '3';
    support_write_file(path, bytes, size);
    free(bytes);
    jem_model *loaded;
    REFUSED(JEM_EFORMAT, "damaged", jem_model_load(&loaded, path, NULL));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_conversions);
    tcase_add_test(tcase, test_values_that_cannot_be);
    tcase_add_loop_test(tcase, test_beside, 0, COUNT(beside));
    tcase_add_test(tcase, test_nothing_matches);
    tcase_add_test(tcase, test_large_file);
    tcase_add_loop_test(tcase, test_changed_file, 0, 2);
    tcase_add_test(tcase, test_damaged_header);
}

int main(void)
{
    return support_main("load_matching", add);
}
