/*
 * Fuzzing of the safetensors reader. Whatever is accepted is held against jansson's reading of the
 * same header, read in full, and found again by name; so a wrong reading counts as a crash does.
 *
 * With clang -fsanitize=fuzzer -DJEM_LIBFUZZER this is a libFuzzer target. Otherwise it has a main
 * of its own that mutates valid files by a fixed seed: fuzz_safetensors [executions [seed]].
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"
#include "io/safetensors.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "fuzz_safetensors: %s\n", #condition);                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t integer_at(const json_t *array, size_t i)
{
    const json_t *value = json_array_get(array, i);
    MUST(json_is_integer(value));
    return json_integer_value(value);
}

static void compare_tensor(const jemi_safetensor *tensor, const json_t *info, const uint8_t *data)
{
    static const char *const names[] = {"F32", "F16", "BF16", "I64"};
    static const int64_t sizes[] = {4, 2, 2, 8};
    MUST(json_object_size(info) == 3);
    MUST(strcmp(json_string_value(json_object_get(info, "dtype")), names[tensor->dtype]) == 0);
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
    MUST(integer_at(offsets, 1) - integer_at(offsets, 0) == count * sizes[tensor->dtype]);
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
        MUST(tensor->count >= 0 && (uint64_t)tensor->count <= size);
        int64_t *values = malloc((size_t)tensor->count * sizeof *values + 1);
        const bool is_float = jemi_safetensors_to_float(tensor, (float *)values) == JEM_OK;
        MUST((jemi_safetensors_to_int64(tensor, values) == JEM_OK) == !is_float);
        free(values);
        end = start + (size_t)tensor->count * (tensor->dtype == JEMI_F32   ? 4
                                               : tensor->dtype == JEMI_I64 ? 8
                                                                           : 2);
        MUST(jemi_safetensors_find(file, tensor->name) == tensor);
    }
    MUST(end == NULL || end == data + size);
}

static long n_accepted;

static void parse_one(const uint8_t *data, size_t size)
{
    jemi_safetensors file;
    const jem_status status = jemi_safetensors_parse(data, size, &file);
    MUST(status == JEM_OK || status == JEM_EFORMAT || status == JEM_EUNSUPPORTED);
    if (status == JEM_OK) {
        n_accepted++;
        compare_header(&file, data, size);
        read_values(&file, data, size);
    }
    jemi_safetensors_fini(&file);
    MUST(jemi_memory_set_allocator(NULL)); // refused if a block were left
}

// The bytes as a file; then all but the first as a header, framed so that its length is right, with
// as much data as the first byte says.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse_one(data, size);
    if (size == 0)
        return 0;
    const uint64_t header_size = size - 1;
    const size_t framed_size = 8 + header_size + data[0];
    uint8_t *framed = calloc(framed_size, 1); // of this size, for the sanitizer
    MUST(framed != NULL);
    memcpy(framed, &header_size, 8);
    memcpy(framed + 8, data + 1, header_size);
    parse_one(framed, framed_size);
    free(framed);
    return 0;
}

#ifndef JEM_LIBFUZZER

static uint64_t random_state;

static uint32_t random_below(uint32_t bound) // xorshift64*
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 32) % bound);
}

static const char *const seeds[] = {
    "{}",
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}",
    "{\"__metadata__\":{\"k\":\"v\",\"\\u00e4\":\"\"},"
    "\"h\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[8,16]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[0,1],\"data_offsets\":[0,0]},"
    "\"c\":{\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":[0,8]}}  ",
    "{\"__metadata__\":{\"jem.digest.kind\":\"crc64-xz\",\"jem.digest\":\"0000000000000000\"}}",
};

static const char *const words[] = {
    "\"",
    "{}",
    "[]",
    ",",
    ":",
    "0",
    "1",
    "9223372036854775807",
    "18446744073709551616",
    "-1",
    "1e0",
    "1.0",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\",
    "null",
    "\"F32\"",
    "\"F64\"",
    "\"shape\":[1]",
    "\"a\":",
    "__metadata__",
    "jem.digest",
    " ",
    "\xE2\x82\xAC",
    "\xFF",
    "[[[[",
    "16",
    "8",
};

enum {
    SIZE = 1024,
    N_SEEDS = sizeof seeds / sizeof seeds[0],
    N_WORDS = sizeof words / sizeof words[0]
};

typedef struct text {
    char bytes[SIZE];
    size_t size;
} text;

// Replaces `n` bytes at `place` by others, as far as there is room.
static void splice(text *t, size_t place, size_t n, const char *bytes, size_t n_bytes)
{
    if (t->size - n + n_bytes > SIZE)
        return;
    memmove(t->bytes + place + n_bytes, t->bytes + place + n, t->size - place - n);
    memcpy(t->bytes + place, bytes, n_bytes);
    t->size += n_bytes - n;
}

static void mutate(text *t)
{
    const size_t place = random_below((uint32_t)t->size + 1);
    const size_t left = t->size - place;
    const size_t n = random_below((uint32_t)(left < 12 ? left : 12) + 1);
    char piece[64];
    switch (random_below(5)) {
    case 0: // flip
        if (left > 0)
            t->bytes[place] = (char)(t->bytes[place] ^ 1 << random_below(8));
        break;
    case 1: // cut
        splice(t, place, n, "", 0);
        break;
    case 2: // another word
        splice(t, place, n, words[n % N_WORDS], strlen(words[n % N_WORDS]));
        break;
    case 3: { // a word put in
        const char *word = words[random_below(N_WORDS)];
        splice(t, place, 0, word, strlen(word));
        break;
    }
    default: // a piece from elsewhere
        memcpy(piece, t->bytes + place, n);
        splice(t, random_below((uint32_t)t->size + 1), 0, piece, n);
    }
}

static void run_once(void)
{
    text t;
    const char *seed = seeds[random_below(N_SEEDS)];
    t.size = strlen(seed);
    memcpy(t.bytes, seed, t.size);
    for (uint32_t i = random_below(4); i > 0; i--)
        mutate(&t);
    const size_t data_size = random_below(4) > 0 ? 16 : random_below(32);
    const uint64_t claimed = random_below(16) > 0 ? t.size : t.size + random_below(5) - 2;
    const size_t size = 8 + t.size + data_size;
    uint8_t *file = calloc(size, 1); // of this size, for the sanitizer
    MUST(file != NULL);
    memcpy(file, &claimed, 8);
    memcpy(file + 8, t.bytes, t.size);
    parse_one(file, size);
    free(file);
}

int main(int argc, char **argv)
{
    const long n = argc > 1 ? atol(argv[1]) : 200000;
    random_state = argc > 2 ? 2 * strtoull(argv[2], NULL, 10) + 1 : 1;
    for (long i = 0; i < n; i++)
        run_once();
    printf("fuzz_safetensors: %ld executions, %ld accepted, no finding\n", n, n_accepted);
    return 0;
}

#endif
