/*
 * Fuzzing of the safetensors reader. Whatever is accepted is held against jansson's reading of the
 * same header, read in full, and found again by name; so a wrong reading counts as a crash does.
 */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"
#include "frame.h"
#include "io/safetensors.h"

static int64_t integer_at(const json_t *array, size_t i)
{
    const json_t *value = json_array_get(array, i);
    MUST(json_is_integer(value));
    return json_integer_value(value);
}

// Bits of an element; 0 for those that this program does not know.
static int64_t bits_of(const char *dtype)
{
    static const struct {
        const char *name;
        int64_t bits;
    } dtypes[] = {{"F32", 32}, {"F16", 16}, {"BF16", 16}, {"F64", 64}, {"I64", 64}, {"BOOL", 8}};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            return dtypes[i].bits;
    return 0;
}

static void compare_tensor(const jemi_safetensor *tensor, const json_t *info, const uint8_t *data)
{
    MUST(json_object_size(info) == 3);
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    MUST(dtype != NULL);
    if (tensor->dtype != JEMI_OTHER_DTYPE)
        MUST(strcmp(dtype, jemi_dtype_name(tensor->dtype)) == 0);
    else
        MUST(bits_of(dtype) == 0);
    const json_t *shape = json_object_get(info, "shape");
    const json_t *offsets = json_object_get(info, "data_offsets");
    MUST(json_array_size(shape) == (size_t)tensor->rank && json_array_size(offsets) == 2);
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->rank; i++) {
        MUST(integer_at(shape, (size_t)i) == tensor->shape[i]);
        MUST(!__builtin_mul_overflow(count, tensor->shape[i], &count));
    }
    MUST(count == tensor->count);
    MUST(data + integer_at(offsets, 0) == tensor->data);
    const int64_t bytes = integer_at(offsets, 1) - integer_at(offsets, 0);
    MUST(bytes == (int64_t)tensor->bytes);
    MUST(bits_of(dtype) == 0 || 8 * bytes == count * bits_of(dtype));
}

static void compare_metadata(const jemi_safetensors *file, const json_t *metadata)
{
    MUST(json_object_size(metadata) == file->n_metadata + (file->has_digest ? 2 : 0));
    for (size_t i = 0; i < file->n_metadata; i++) {
        const char *key = file->metadata[i].key;
        const char *value = json_string_value(json_object_get(metadata, key));
        MUST(value != NULL && strcmp(value, file->metadata[i].value) == 0);
        MUST(jemi_safetensors_metadata(file, key) == file->metadata[i].value);
    }
}

static void compare_header(const jemi_safetensors *file, const uint8_t *data, size_t size)
{
    uint64_t header_size;
    memcpy(&header_size, data, sizeof header_size);
    MUST(header_size <= size - 8);
    json_t *header = json_loadb((const char *)data + 8, header_size, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(header));
    const json_t *metadata = json_object_get(header, "__metadata__");
    MUST(json_object_size(header) == file->n_tensors + (metadata != NULL));
    compare_metadata(file, metadata);
    for (size_t i = 0; i < file->n_tensors; i++)
        compare_tensor(&file->tensors[i], json_object_get(header, file->tensors[i].name),
                       data + 8 + header_size);
    json_decref(header);
}

static void read_values(const jemi_safetensors *file, const uint8_t *data, size_t size)
{
    const uint8_t *end = NULL; // of the tensor before
    for (size_t i = 0; i < file->n_tensors; i++) {
        const jemi_safetensor *tensor = &file->tensors[i];
        const uint8_t *start = tensor->data;
        MUST(start >= data && start <= data + size && (end == NULL || start == end));
        end = start + tensor->bytes;
        MUST(jemi_safetensors_find(file, tensor->name) == tensor);
        if (!jemi_dtype_is_float(tensor->dtype) && tensor->dtype != JEMI_I64)
            continue;
        MUST(tensor->count >= 0 && (uint64_t)tensor->count <= size);
        int64_t *values = malloc((size_t)tensor->count * sizeof *values + 1);
        const jem_status status = jemi_safetensors_to_float(tensor, (float *)values);
        MUST((status == JEM_EMISMATCH) == (tensor->dtype == JEMI_I64));
        MUST(status == JEM_OK || status == JEM_EMISMATCH || tensor->dtype == JEMI_F64);
        MUST((jemi_safetensors_to_int64(tensor, values) == JEM_OK) == (tensor->dtype == JEMI_I64));
        free(values);
    }
    MUST(end == NULL || end == data + size);
}

static void parse_one(const uint8_t *data, size_t size)
{
    jemi_safetensors file;
    const jem_status status = jemi_safetensors_parse(data, size, &file);
    MUST(status == JEM_OK || status == JEM_EFORMAT || status == JEM_EUNSUPPORTED);
    if (status == JEM_OK) {
        fuzz_accepted++;
        compare_header(&file, data, size);
        read_values(&file, data, size);
    }
    jemi_safetensors_fini(&file);
    MUST(jemi_memory_set_allocator(NULL)); // refused if a block were left
}

// From a file there must be the same answer.
static void open_one(const uint8_t *data, size_t size)
{
    jemi_safetensors parsed, read;
    const jem_status status = jemi_safetensors_parse(data, size, &parsed);
    MUST(jemi_safetensors_read(frame_path(data, size), &read) == status);
    MUST(parsed.n_tensors == read.n_tensors && parsed.n_metadata == read.n_metadata);
    MUST(parsed.has_digest == read.has_digest);
    jemi_safetensors_fini(&parsed);
    jemi_safetensors_fini(&read);
    MUST(jemi_memory_set_allocator(NULL));
}

// The bytes as a file; then as an input of frame.h.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse_one(data, size);
    size_t file_size;
    uint8_t *file = frame_make(data, size, &file_size);
    parse_one(file, file_size);
    if (size % 8 == 0)
        open_one(file, file_size);
    free(file);
    return 0;
}

static const struct {
    const char *header;
    size_t data_size; /* of zeros */
} seeds[] = {
    {"{}", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}",
     16},
    {"{\"__metadata__\":{\"k\":\"v\",\"\\u00e4\":\"\"},"
     "\"h\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[8,16]},"
     "\"b\":{\"dtype\":\"BF16\",\"shape\":[0,1],\"data_offsets\":[0,0]},"
     "\"c\":{\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":[0,8]}}  ",
     16},
    {"{\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
     "\"t\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[8,11]}}",
     11},
    {"{\"__metadata__\":{\"jem.digest.kind\":\"crc64-xz\",\"jem.digest\":\"0000000000000000\"}}",
     0},
};

static bool make_seed(int i, fuzz_input *seed)
{
    if (i == sizeof seeds / sizeof seeds[0])
        return false;
    const size_t header_size = strlen(seeds[i].header);
    memcpy(seed->bytes, seeds[i].header, header_size);
    memset(seed->bytes + header_size, 0, 1 + seeds[i].data_size);
    seed->size = header_size + 1 + seeds[i].data_size;
    return true;
}

static void make_large(size_t size, fuzz_input *input)
{
    frame_large(size, "{\"__metadata__\":{", input);
}

const fuzz_target fuzz_this = {"fuzz_safetensors", make_seed, make_large, frame_words};
