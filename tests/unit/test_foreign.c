/*
 * What people pass for a model: files of other kinds are called by name, each message names the
 * file, and no file costs more than a look at its beginning, be it as large or as slow as it may.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/foreign.h"
#include "support.h"

static char dir[200], path[256];

static void set_up(void)
{
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model.bin", dir);
}

static void tear_down(void)
{
    support_remove_dir(dir);
}

// ---- kinds --------------------------------------------------------------------------------------

typedef struct kind_row {
    const char *bytes;
    size_t size;
    const char *kind; /* NULL = none of those */
    bool from_eight;  /* the first 8 bytes do */
} kind_row;

#define BYTES(text) text, sizeof text - 1
#define ZIP(length, name)                                                                          \
    BYTES("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
          "\x00\x00\x00" length "\x00\x00\x00" name)

static const kind_row kinds[] = {
    {ZIP("\x10", "archive/data.pklFB"), "PyTorch file (zip", false},
    {ZIP("\x09", "arr_0.npy"), "NumPy archive", false},
    {ZIP("\x05", "a.txt"), "zip archive", true},
    {BYTES("PK\x03\x04"), "zip archive", true},
    {BYTES("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a"), "PyTorch file (pickle)", true},
    {BYTES("\x80\x04\x95\x0c\x00\x00\x00\x00"), "pickle", true},
    {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"), "Git LFS", false},
    {BYTES("<!DOCTYPE html>\n<html>"), "HTML", true},
    {BYTES("\xEF\xBB\xBF\r\n <html><body>Not found</body>"), "HTML", false},
    {BYTES("\x93NUMPY\x01\x00v\x00{'descr'"), "NumPy array", true},
    {BYTES("GGUF\x03\x00\x00\x00"), "GGUF", true},
    {BYTES("\x89HDF\r\n\x1a\n\x00"), "HDF5", true},
    {BYTES("\x08\x07\x12\x07pytorch\x1a\x05"), "ONNX", true},
    {BYTES("\x08\x08\x12\x0ctf2onnx"), "ONNX", true},
    {BYTES("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), "gzip", true},
    {BYTES("\x28\xb5\x2f\xfd\x04\x00\x00\x00"), "zstd", true},
    {BYTES("\xfd"
           "7zXZ\x00\x00\x04"),
     "xz", true},
    {BYTES("BZh91AY&SY"), "bzip2", true},
    {BYTES("\x1c\x00\x00\x00TFL3\x14\x00"), "TensorFlow Lite", true},
    {BYTES("\x89PNG\r\n\x1a\n\x00"), "PNG", true},
    {BYTES("\x7f"
           "ELF\x02\x01\x01\x00"),
     "ELF", true},
    {BYTES("{\"weight_map\": {}}"), "JSON", true},
    {BYTES("some notes on the model,\nin \xC3\xA9t\xC3\xA9"), "text file", true},
    {BYTES("1,2,3\xC3"), "text file", true}, // the last character is cut
    {BYTES("\x08\x00\x00\x00\x00\x00\x00\x00{"), NULL, true},
    {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"), NULL, true},
    {BYTES("text\x01 with controls"), NULL, true},
    {BYTES(""), NULL, true},
};

START_TEST(test_kind)
{
    const kind_row *row = &kinds[_i];
    const char *kind = jemi_foreign_kind(row->bytes, row->size);
    ck_assert_int_eq(kind != NULL, row->kind != NULL);
    if (kind == NULL)
        return;
    ck_assert_msg(strstr(kind, row->kind) != NULL, "%s lacks %s", kind, row->kind);
    const char *early = jemi_foreign_kind(row->bytes, row->size < 8 ? row->size : 8);
    ck_assert_msg(!row->from_eight || early == kind || strstr(kind, "PyTorch") != NULL, "%s", kind);

    jem_model *model = support_model("mlp-2", 1, 2, NULL), *loaded;
    support_write_file(path, row->bytes, row->size);
    REFUSED(JEM_EFORMAT, row->kind, jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EFORMAT, path, jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EFORMAT, row->kind, jem_model_load_buffer(&loaded, row->bytes, row->size, NULL));
    REFUSED(JEM_EFORMAT, row->kind, jem_model_load_matching(model, path, NULL));
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    REFUSED(JEM_EFORMAT, row->kind, jem_checkpoint_load(path, model, optimizer, NULL));
    REFUSED(JEM_EFORMAT, path, jem_checkpoint_load(path, model, optimizer, NULL));
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

// Any cut of any of them, in a block of its size for the sanitizer.
START_TEST(test_cuts)
{
    for (int i = 0; i < COUNT(kinds); i++)
        for (size_t size = 0; size <= kinds[i].size; size++) {
            char *cut = malloc(size + 1);
            memcpy(cut + 1, kinds[i].bytes, size);
            jemi_foreign_kind(cut + 1, size);
            free(cut);
        }
}
END_TEST

// ---- model and checkpoint ---------------------------------------------------------------------

START_TEST(test_each_other)
{
    jem_model *model = support_model("mlp-2", 1, 2, NULL), *loaded;
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    MUST(jem_checkpoint_save(path, model, optimizer, NULL));
    REFUSED(JEM_EFORMAT, "is a checkpoint", jem_model_load(&loaded, path, NULL));
    MUST(jem_model_save(model, path));
    REFUSED(JEM_EFORMAT, "no checkpoint of libjem",
            jem_checkpoint_load(path, model, optimizer, NULL));
    REFUSED(JEM_EFORMAT, path, jem_checkpoint_load(path, model, optimizer, NULL));
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

// ---- cost ---------------------------------------------------------------------------------------

static size_t largest;

static void *watched(void *user, size_t alignment, size_t size)
{
    (void)user;
    largest = size > largest ? size : largest;
    return aligned_alloc(alignment, size);
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

// A file of `size` bytes that begins with a header, or with zeros.
static void write_sparse(const char *header, off_t size)
{
    const uint64_t header_size = header != NULL ? strlen(header) : 0;
    char bytes[1024] = "";
    memcpy(bytes, &header_size, 8);
    if (header != NULL)
        memcpy(bytes + 8, header, header_size);
    support_write_file(path, bytes, 8 + header_size);
    ck_assert_int_eq(truncate(path, size), 0);
}

static void load_cheaply(jem_status expected, const char *word)
{
    jem_model *loaded;
    ck_assert(jemi_memory_set_allocator(&(jem_allocator){watched, release, NULL}));
    largest = 0;
    REFUSED(expected, word, jem_model_load(&loaded, path, NULL));
    ck_assert_uint_lt(largest, 1 << 20);
    ck_assert(jemi_memory_set_allocator(NULL));
}

#define MODEL_METADATA                                                                             \
    "{\"__metadata__\":{\"jem.format\":\"1\",\"jem.arch\":\"mlp-2\",\"jem.channels\":\"1\","       \
    "\"jem.height\":\"1\",\"jem.width\":\"1\",\"jem.classes\":\"2\",\"jem.input_low\":\"0\","      \
    "\"jem.input_high\":\"1\"},"

START_TEST(test_sparse_files)
{
    const off_t size = (off_t)1 << 34;
    write_sparse(NULL, size);
    load_cheaply(JEM_EFORMAT, "does not start with '{'");
    write_sparse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", size);
    load_cheaply(JEM_EFORMAT, "the tensors take 8 bytes, but the file has 1717");
    // Whose sizes agree, but which are no model, or another one than they say.
    char header[1024];
    const char *const fronts[] = {"{", MODEL_METADATA};
    static const char *const words[] = {"no metadata 'jem.format'", "no tensor 'hidden.0.weight'"};
    static const jem_status statuses[] = {JEM_EFORMAT, JEM_EMISMATCH};
    for (int i = 0; i < COUNT(fronts); i++) {
        snprintf(header, sizeof header,
                 "%s\"a\":{\"dtype\":\"U8\",\"shape\":[%lld],\"data_offsets\":[0,%lld]}}",
                 fronts[i], (long long)size, (long long)size);
        write_sparse(header, 8 + (off_t)strlen(header) + size);
        load_cheaply(statuses[i], words[i]);
    }
}
END_TEST

typedef struct feeding {
    int fd;
    const char *bytes;
    size_t size;
} feeding;

static void *feed(void *user)
{
    const feeding *f = user;
    for (size_t at = 0; at < f->size; at += 7)
        if (write(f->fd, f->bytes + at, f->size - at < 7 ? f->size - at : 7) < 0)
            break; // the reader has seen enough
    close(f->fd);
    return NULL;
}

static jem_status load_from_pipe(const char *bytes, size_t size, jem_model **loaded)
{
    int ends[2];
    char name[32];
    ck_assert_int_eq(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    feeding f = {ends[1], bytes, size};
    pthread_t feeder;
    pthread_create(&feeder, NULL, feed, &f);
    const jem_status status = jem_model_load(loaded, name, NULL);
    close(ends[0]);
    pthread_join(feeder, NULL);
    return status;
}

START_TEST(test_pipes)
{
    signal(SIGPIPE, SIG_IGN);
    jem_model *model = support_model("mlp-2", 1, 2, NULL), *loaded;
    MUST(jem_model_save(model, path));
    size_t size;
    char *bytes = support_read_file(path, &size);
    MUST(load_from_pipe(bytes, size, &loaded));
    jem_model_destroy(loaded);
    REFUSED(JEM_EFORMAT, "ended while it was read", load_from_pipe(bytes, size - 1, &loaded));
    REFUSED(JEM_EFORMAT, "ended while it was read", load_from_pipe(bytes, 100, &loaded));
    REFUSED(JEM_EFORMAT, "5 bytes are no", load_from_pipe(bytes, 5, &loaded));
    REFUSED(JEM_EFORMAT, "GGUF", load_from_pipe("GGUF\x03\0\0\0", 8, &loaded));
    bytes = realloc(bytes, size + 1);
    bytes[size] = 'x';
    REFUSED(JEM_EFORMAT, "goes on after them", load_from_pipe(bytes, size + 1, &loaded));
    free(bytes);
    static const char header[] = "........{\"a\":{\"dtype\":\"U8\",\"shape\":[1073741824],"
                                 "\"data_offsets\":[0,1073741824]}}";
    char huge[sizeof header];
    memcpy(huge, header, sizeof header);
    memcpy(huge, &(uint64_t){sizeof header - 9}, 8);
    REFUSED(JEM_EFORMAT, "at most 1073741824 are read from a pipe",
            load_from_pipe(huge, sizeof header - 1, &loaded));
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_named_pipe_and_devices)
{
    jem_model *loaded;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    REFUSED(JEM_EIO, "named pipe", jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EIO, path, jem_model_load(&loaded, path, NULL));
    REFUSED(JEM_EIO, "'/dev/full': it is a device", jem_model_load(&loaded, "/dev/full", NULL));
    REFUSED(JEM_EIO, "Is a directory", jem_model_load(&loaded, dir, NULL));
    ck_assert_int_eq(jem_last_errno(), 21);
    REFUSED(JEM_EIO, "No such file", jem_model_load(&loaded, "/no/such", NULL));
    ck_assert_int_eq(jem_last_errno(), 2);
    jem_model *model = support_model("mlp-2", 1, 2, NULL);
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    REFUSED(JEM_EIO, "No such file", jem_checkpoint_load("/no/such", model, optimizer, NULL));
    ck_assert_int_eq(jem_last_errno(), 2);
    REFUSED(JEM_EIO, "No such file", jem_model_save(model, "/no/such/file"));
    ck_assert_int_eq(jem_last_errno(), 2);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 30); // nothing here may block
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_kind, 0, COUNT(kinds));
    tcase_add_test(tcase, test_cuts);
    tcase_add_test(tcase, test_each_other);
    tcase_add_test(tcase, test_sparse_files);
    tcase_add_test(tcase, test_pipes);
    tcase_add_test(tcase, test_named_pipe_and_devices);
}

int main(void)
{
    return support_main("foreign files", add);
}
