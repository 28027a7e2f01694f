/*
 * Fuzzing of model files: jem_model_load_buffer(), jem_model_load() and jem_model_load_matching()
 * with files that begin as saved models do. A model that is accepted has finite parameters, and
 * names and metadata that can be asked for; a refusal has a sentence that can be shown.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "frame.h"

#include <jem/jem.h>

static void check_message(jem_status status)
{
    MUST(status == JEM_EFORMAT || status == JEM_EMISMATCH || status == JEM_EUNSUPPORTED);
    char copy[2048];
    MUST(strlen(jem_last_error()) > 0 && strlen(jem_last_error()) < sizeof copy);
    strcpy(copy, jem_last_error());
    jemi_utf8_make_showable(copy);
    MUST(strcmp(copy, jem_last_error()) == 0);
}

static void check_params(const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info) == JEM_OK);
    float *params = malloc((size_t)info.param_count * sizeof *params);
    MUST(params != NULL);
    MUST(jem_model_get_params(model, info.param_count, params) == JEM_OK);
    for (int64_t i = 0; i < info.param_count; i++)
        MUST(isfinite(params[i]));
    free(params);
    char name[64];
    for (int32_t i = 0; i < info.classes; i++) {
        size_t length;
        MUST(jem_model_get_class_name(model, i, NULL, 0, &length) == JEM_OK);
        const jem_status status = jem_model_get_class_name(model, i, name, sizeof name, NULL);
        MUST(status == (length < sizeof name ? JEM_OK : JEM_EINVAL));
    }
}

static jem_exec_config exec;

static void load(const uint8_t *file, size_t size)
{
    jem_model *model;
    const bool from_file = size % 4 == 0;
    const jem_status status = from_file ? jem_model_load(&model, frame_path(file, size), &exec)
                                        : jem_model_load_buffer(&model, file, size, &exec);
    if (status == JEM_OK) {
        fuzz_accepted++;
        check_params(model);
    } else {
        check_message(status);
        MUST(model == NULL);
    }
    jem_model_destroy(model);
    MUST(jemi_memory_set_allocator(NULL)); // refused if a block were left
}

static jem_model *create(const char *arch)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config) == JEM_OK);
    config.arch = arch;
    config.channels = 3;
    config.classes = 2;
    jem_model *model;
    MUST(jem_model_create(&model, &config, &exec) == JEM_OK);
    return model;
}

static void load_matching(const uint8_t *file, size_t size)
{
    jem_model *model = create("mlp-2:norm=batch");
    const int32_t untouched = -7;
    int32_t matched = untouched;
    const jem_status status = jem_model_load_matching(model, frame_path(file, size), &matched);
    if (status == JEM_OK)
        MUST(matched >= 1 && matched <= 8);
    else
        MUST(matched == untouched);
    if (status != JEM_OK)
        check_message(status);
    check_params(model);
    jem_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t file_size;
    uint8_t *file = frame_make(data, size, &file_size);
    load(file, file_size);
    if (size % 2 == 0)
        load_matching(file, file_size);
    free(file);
    return 0;
}

// ---- seeds -------------------------------------------------------------------------------------

static void save(const jem_model *model, fuzz_input *seed)
{
    char name[] = "/tmp/jem-fuzz-XXXXXX";
    const int fd = mkstemp(name);
    static uint8_t bytes[1 << 16];
    MUST(fd >= 0 && jem_model_save(model, name) == JEM_OK);
    close(fd);
    FILE *file = fopen(name, "rb");
    MUST(file != NULL);
    frame_undo(bytes, fread(bytes, 1, sizeof bytes, file), seed);
    fclose(file);
    unlink(name);
}

// A saved model; the same without a digest, so that its first keys can change too.
static bool make_seed(int i, fuzz_input *seed)
{
    static const char *const archs[] = {"mlp-2", "mlp-2:norm=batch", "cnn-2",
                                        "mlp-2:norm=spectral"};
    enum { N = sizeof archs / sizeof archs[0] };
    MUST(jem_exec_config_init(&exec, sizeof exec) == JEM_OK);
    exec.backend = JEM_BACKEND_REF;
    exec.threads = 1;
    if (i == 2 * N)
        return false;
    jem_model *model = create(archs[i % N]);
    const float mean[] = {0.1f, 0.2f, 0.3f}, std[] = {1.0f, 2.0f, 3.0f};
    MUST(jem_model_set_metadata(model, "key", "value") == JEM_OK);
    MUST(jem_model_set_class_name(model, 1, "second \"\n\xC3\xA9") == JEM_OK);
    MUST(jem_model_set_standardization(model, 3, mean, std) == JEM_OK);
    save(model, seed);
    jem_model_destroy(model);
    if (i >= N) {
        static const char front[] = "{\"__metadata__\":{";
        const char *rest = strstr((char *)seed->bytes, "\"jem.format\"");
        MUST(rest != NULL);
        const size_t cut = (size_t)(rest - (char *)seed->bytes) - (sizeof front - 1);
        memmove(seed->bytes + sizeof front - 1, rest, seed->size - (sizeof front - 1) - cut);
        seed->size -= cut;
    }
    return true;
}

// Everything but the metadata fits, so that all of it is taken.
static void make_large(size_t size, fuzz_input *large)
{
    static uint8_t bytes[FUZZ_SIZE_MAX];
    fuzz_input seed = {.bytes = bytes};
    make_seed(4, &seed);
    char *keys = strstr((char *)bytes, "\"jem.format\"");
    const size_t front = (size_t)(keys - (char *)bytes);
    memcpy(large->bytes, bytes, front);
    large->size = front;
    for (unsigned i = 0; large->size + seed.size + 32 < size; i++)
        large->size +=
            (size_t)sprintf((char *)large->bytes + large->size, "\"%x\":\"\",", i * 2654435761u);
    memcpy(large->bytes + large->size, keys, seed.size - front);
    large->size += seed.size - front;
}

const fuzz_target fuzz_this = {"fuzz_model", make_seed, make_large, frame_words};
