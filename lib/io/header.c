/*
 * Reads the header: {"__metadata__": {string: string}, name: {dtype, shape, data_offsets}}.
 *
 * Each tensor is checked by itself while it is read; order, gaps and names are checked when all are
 * known, by sorting: n log n for any input. Memory stays in proportion to the text read so far.
 */
#include "io/header.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/json.h"

const jemi_dtype_info jemi_dtypes[] = {
    [JEMI_F32] = {"F32", 32},
    [JEMI_F16] = {"F16", 16},
    [JEMI_BF16] = {"BF16", 16},
    [JEMI_F64] = {"F64", 64},
    [JEMI_I64] = {"I64", 64},
    [JEMI_OTHER_DTYPE] = {"a dtype that libjem does not know", 0},
    {"F8_E4M3", 8},
    {"F8_E5M2", 8},
    {"F8_E8M0", 8},
    {"F4", 4},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"I8", 8},
    {"I16", 16},
    {"I32", 32},
    {"U8", 8},
    {"U16", 16},
    {"U32", 32},
    {"U64", 64},
    {"BOOL", 8},
    {"C64", 64},
};

// `items` with room for one more than n; NULL when out of memory, then they are as before.
// Capacities are powers of two, so n alone tells when an array is full.
static void *with_room(void *items, size_t n, size_t size)
{
    const size_t smallest = 16;
    if (n < smallest ? n > 0 : (n & (n - 1)) != 0)
        return items;
    void *more = jemi_alloc(n < smallest ? smallest : 2 * n, size);
    if (more != NULL && n > 0) {
        memcpy(more, items, n * size);
        jemi_free(items);
    }
    return more;
}

// ---- one tensor --------------------------------------------------------------------------------

// A dtype that is not known is no fault of a file whose reader may want other tensors.
static jem_status read_dtype(jemi_json *json, jemi_safetensor *tensor)
{
    const char *name;
    size_t length;
    JEMI_TRY(jemi_json_string(json, &name, &length));
    tensor->dtype = JEMI_OTHER_DTYPE;
    for (size_t i = 0; i < sizeof jemi_dtypes / sizeof jemi_dtypes[0]; i++)
        if (strcmp(jemi_dtypes[i].name, name) == 0)
            tensor->dtype = (jemi_dtype)i;
    return JEM_OK;
}

static jem_status read_shape(jemi_json *json, jemi_safetensor *tensor)
{
    JEMI_TRY(jemi_json_open(json, '['));
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '[', &n, &more));
        if (!more)
            return JEM_OK;
        if (tensor->rank == JEMI_SAFETENSORS_RANK_MAX)
            return jemi_fail(JEM_EFORMAT, "tensor '%.80s' has more than %d dimensions",
                             tensor->name, JEMI_SAFETENSORS_RANK_MAX);
        JEMI_TRY(jemi_json_count(json, &tensor->shape[tensor->rank++]));
    }
}

static jem_status read_offsets(jemi_json *json, jemi_safetensor *tensor, size_t data_size)
{
    int64_t offsets[2] = {0};
    JEMI_TRY(jemi_json_open(json, '['));
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '[', &n, &more));
        if (!more)
            break;
        if (n > 2)
            return jemi_json_fail(json, "two data_offsets, not more");
        JEMI_TRY(jemi_json_count(json, &offsets[n - 1]));
    }
    if (n != 2)
        return jemi_json_fail(json, "two data_offsets before this");
    if (offsets[0] > offsets[1] || (uint64_t)offsets[1] > data_size)
        return jemi_fail(JEM_EFORMAT,
                         "tensor '%.80s' has data_offsets [%" PRId64 ", %" PRId64
                         "]; expected a range within the %zu bytes of data",
                         tensor->name, offsets[0], offsets[1], data_size);
    tensor->begin = (size_t)offsets[0];
    tensor->bytes = (size_t)(offsets[1] - offsets[0]);
    return JEM_OK;
}

// Shape times dtype must be the bytes that the offsets span.
static jem_status check_size(jemi_safetensor *tensor)
{
    size_t count = 1, bits;
    bool fits = true;
    for (int32_t i = 0; i < tensor->rank && fits; i++)
        fits = jemi_mul(count, (size_t)tensor->shape[i], &count);
    const jemi_dtype_info *dtype = &jemi_dtypes[tensor->dtype];
    if (!fits || !jemi_mul(count, dtype->bits, &bits) || count > INT64_MAX)
        return jemi_fail(JEM_EFORMAT, "the size of tensor '%.80s' overflows", tensor->name);
    tensor->count = (int64_t)count;
    if (tensor->dtype != JEMI_OTHER_DTYPE && (bits % 8 != 0 || bits / 8 != tensor->bytes))
        return jemi_fail(JEM_EFORMAT,
                         "tensor '%.80s' has %zu elements of %s, %zu bytes, but data_offsets of "
                         "%zu bytes",
                         tensor->name, count, dtype->name, bits / 8, tensor->bytes);
    return JEM_OK;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static jem_status read_field(jemi_json *json, jemi_safetensor *tensor, size_t data_size,
                             unsigned *fields)
{
    const char *key;
    size_t length;
    JEMI_TRY(jemi_json_key(json, &key, &length));
    const unsigned field = strcmp(key, "dtype") == 0          ? HAS_DTYPE
                           : strcmp(key, "shape") == 0        ? HAS_SHAPE
                           : strcmp(key, "data_offsets") == 0 ? HAS_OFFSETS
                                                              : 0;
    if (field == 0)
        return jemi_fail(JEM_EFORMAT, "tensor '%.80s' has a field '%.80s', which safetensors lacks",
                         tensor->name, key);
    if (*fields & field)
        return jemi_fail(JEM_EFORMAT, "tensor '%.80s' has its %s twice", tensor->name, key);
    *fields |= field;
    return field == HAS_DTYPE   ? read_dtype(json, tensor)
           : field == HAS_SHAPE ? read_shape(json, tensor)
                                : read_offsets(json, tensor, data_size);
}

static jem_status read_entry(jemi_json *json, jemi_safetensor *tensor, size_t data_size)
{
    JEMI_TRY(jemi_json_open(json, '{'));
    unsigned fields = 0;
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '{', &n, &more));
        if (!more)
            break;
        JEMI_TRY(read_field(json, tensor, data_size, &fields));
    }
    if (fields != HAS_ALL)
        return jemi_fail(JEM_EFORMAT, "tensor '%.80s' lacks its %s", tensor->name,
                         !(fields & HAS_DTYPE)   ? "dtype"
                         : !(fields & HAS_SHAPE) ? "shape"
                                                 : "data_offsets");
    return check_size(tensor);
}

// ---- the header's members ----------------------------------------------------------------------

static jem_status read_tensor(jemi_header *header, jemi_json *json, const char *name, size_t length,
                              size_t data_size)
{
    if (length == 0 || length > JEMI_SAFETENSORS_NAME_MAX)
        return jemi_fail(JEM_EFORMAT, "tensor name '%.80s' has %zu bytes; expected 1 to %d", name,
                         length, JEMI_SAFETENSORS_NAME_MAX);
    void *items = with_room(header->tensors, header->n_tensors, sizeof header->tensors[0]);
    if (items == NULL)
        return jemi_fail_memory("list of tensors");
    header->tensors = items;
    jemi_safetensor *tensor = &header->tensors[header->n_tensors++];
    *tensor = (jemi_safetensor){.name = name};
    return read_entry(json, tensor, data_size);
}

static jem_status read_metadata(jemi_header *header, jemi_json *json)
{
    JEMI_TRY(jemi_json_open(json, '{'));
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '{', &n, &more));
        if (!more)
            return JEM_OK;
        void *items = with_room(header->metadata, header->n_metadata, sizeof header->metadata[0]);
        if (items == NULL)
            return jemi_fail_memory("metadata");
        header->metadata = items;
        jemi_string_pair *pair = &header->metadata[header->n_metadata++];
        size_t length;
        JEMI_TRY(jemi_json_key(json, &pair->key, &length));
        JEMI_TRY(jemi_json_string(json, &pair->value, &length));
    }
}

// What follows the opening brace.
static jem_status read_members(jemi_header *header, jemi_json *json, size_t data_size)
{
    bool metadata_seen = false;
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '{', &n, &more));
        if (!more)
            return jemi_json_finish(json);
        const char *name;
        size_t length;
        JEMI_TRY(jemi_json_key(json, &name, &length));
        if (strcmp(name, "__metadata__") != 0) {
            JEMI_TRY(read_tensor(header, json, name, length, data_size));
            continue;
        }
        if (metadata_seen)
            return jemi_fail(JEM_EFORMAT, "__metadata__ appears twice");
        metadata_seen = true;
        JEMI_TRY(read_metadata(header, json));
    }
}

// ---- the whole ---------------------------------------------------------------------------------

typedef int (*compare_fn)(const jemi_header *header, size_t a, size_t b);

static int by_name(const jemi_header *header, size_t a, size_t b)
{
    return strcmp(header->tensors[a].name, header->tensors[b].name);
}

static int by_key(const jemi_header *header, size_t a, size_t b)
{
    return strcmp(header->metadata[a].key, header->metadata[b].key);
}

// Of two that begin together, all but the last must be empty.
static int by_place(const jemi_header *header, size_t a, size_t b)
{
    const jemi_safetensor *left = &header->tensors[a], *right = &header->tensors[b];
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

// One pass of a merge sort: runs of `width` in `from` become runs of twice that in `to`.
static void merge_runs(const jemi_header *header, compare_fn compare, const size_t *from,
                       size_t *to, size_t n, size_t width)
{
    for (size_t start = 0; start < n; start += 2 * width) {
        const size_t middle = start + width < n ? start + width : n;
        const size_t end = middle + width < n ? middle + width : n;
        size_t left = start, right = middle;
        for (size_t k = start; k < end; k++) {
            const bool take_left =
                right == end || (left < middle && compare(header, from[left], from[right]) <= 0);
            to[k] = take_left ? from[left++] : from[right++];
        }
    }
}

// *order becomes the stable permutation that sorts 0..n-1. (qsort would call malloc.)
static jem_status sort(const jemi_header *header, compare_fn compare, size_t n, size_t **order)
{
    size_t *from = jemi_alloc(n, sizeof *from);
    size_t *to = jemi_alloc(n, sizeof *to);
    if (from == NULL || to == NULL) {
        jemi_free(from);
        jemi_free(to);
        return jemi_fail_memory("order of the tensors");
    }
    for (size_t i = 0; i < n; i++)
        from[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        merge_runs(header, compare, from, to, n, width);
        size_t *const swap = from;
        from = to;
        to = swap;
    }
    jemi_free(to);
    *order = from;
    return JEM_OK;
}

static jem_status order_by_place(jemi_header *header)
{
    size_t *order = NULL;
    JEMI_TRY(sort(header, by_place, header->n_tensors, &order));
    jemi_safetensor *sorted = jemi_alloc(header->n_tensors, sizeof *sorted);
    if (sorted == NULL) {
        jemi_free(order);
        return jemi_fail_memory("list of tensors");
    }
    for (size_t i = 0; i < header->n_tensors; i++)
        sorted[i] = header->tensors[order[i]];
    jemi_free(order);
    jemi_free(header->tensors);
    header->tensors = sorted;
    return JEM_OK;
}

static jem_status check_tiling(jemi_header *header, size_t data_size)
{
    size_t end = 0;
    for (size_t i = 0; i < header->n_tensors; i++) {
        const jemi_safetensor *tensor = &header->tensors[i];
        if (tensor->begin != end)
            return jemi_fail(JEM_EFORMAT,
                             "tensor '%.80s' begins at byte %zu of the data; expected %zu, without "
                             "%s",
                             tensor->name, tensor->begin, end,
                             tensor->begin < end ? "overlap" : "gap");
        end += tensor->bytes; // at most data_size, as each tensor
    }
    if (data_size != JEMI_DATA_SIZE_UNKNOWN && end != data_size)
        return jemi_fail(JEM_EFORMAT, "the tensors take %zu bytes, but the file has %zu of data",
                         end, data_size);
    header->data_size = end;
    return JEM_OK;
}

static jem_status check_names(jemi_header *header)
{
    JEMI_TRY(sort(header, by_name, header->n_tensors, &header->tensors_by_name));
    for (size_t i = 1; i < header->n_tensors; i++)
        if (by_name(header, header->tensors_by_name[i - 1], header->tensors_by_name[i]) == 0)
            return jemi_fail(JEM_EFORMAT, "tensor '%.80s' appears twice",
                             header->tensors[header->tensors_by_name[i]].name);
    JEMI_TRY(sort(header, by_key, header->n_metadata, &header->metadata_by_key));
    for (size_t i = 1; i < header->n_metadata; i++)
        if (by_key(header, header->metadata_by_key[i - 1], header->metadata_by_key[i]) == 0)
            return jemi_fail(JEM_EFORMAT, "metadata '%.80s' appears twice",
                             header->metadata[header->metadata_by_key[i]].key);
    return JEM_OK;
}

static jem_status read_whole(jemi_header *header, const char *json, size_t size, size_t data_size)
{
    if (size == 0 || json[0] != '{')
        return jemi_fail(JEM_EFORMAT, "the safetensors header does not start with '{'");
    header->text = jemi_alloc(size, 1);
    if (header->text == NULL)
        return jemi_fail_memory("names of the tensors");
    jemi_json cursor = {"safetensors header", json, json + 1, json + size, header->text};
    JEMI_TRY(read_members(header, &cursor, data_size));
    JEMI_TRY(order_by_place(header));
    JEMI_TRY(check_tiling(header, data_size));
    return check_names(header);
}

jem_status jemi_header_read(jemi_header *header, const char *json, size_t size, size_t data_size)
{
    *header = (jemi_header){0};
    const jem_status status = read_whole(header, json, size, data_size);
    if (status != JEM_OK)
        jemi_header_fini(header);
    return status;
}

void jemi_header_fini(jemi_header *header)
{
    jemi_free(header->tensors);
    jemi_free(header->metadata);
    jemi_free(header->tensors_by_name);
    jemi_free(header->metadata_by_key);
    jemi_free(header->text);
    *header = (jemi_header){0};
}
