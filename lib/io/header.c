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
    [JEMI_F32] = {"F32", 4},
    [JEMI_F16] = {"F16", 2},
    [JEMI_BF16] = {"BF16", 2},
    [JEMI_I64] = {"I64", 8},
    {"F64", 0},
    {"F8_E4M3", 0},
    {"F8_E5M2", 0},
    {"F8_E8M0", 0},
    {"F4", 0},
    {"F6_E2M3", 0},
    {"F6_E3M2", 0},
    {"I8", 0},
    {"I16", 0},
    {"I32", 0},
    {"U8", 0},
    {"U16", 0},
    {"U32", 0},
    {"U64", 0},
    {"BOOL", 0},
    {"C64", 0},
};

typedef struct shown {
    char text[84];
} shown;

// A name from a file as it may stand in a one-line message.
static shown show(const char *name)
{
    shown s;
    size_t n = strlen(name);
    if (n >= sizeof s.text) {
        n = sizeof s.text - 1;
        while (((unsigned char)name[n] & 0xC0) == 0x80) // not within a character
            n--;
    }
    for (size_t i = 0; i < n; i++)
        s.text[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i];
    s.text[n] = '\0';
    return s;
}

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

static jem_status read_dtype(jemi_json *json, jemi_safetensor *tensor)
{
    const char *name;
    size_t length;
    JEMI_TRY(jemi_json_string(json, &name, &length));
    for (size_t i = 0; i < sizeof jemi_dtypes / sizeof jemi_dtypes[0]; i++) {
        if (strcmp(jemi_dtypes[i].name, name) != 0)
            continue;
        tensor->dtype = (jemi_dtype)i;
        if (jemi_dtypes[i].size > 0)
            return JEM_OK;
        return jemi_fail(JEM_EUNSUPPORTED,
                         "tensor '%s' has dtype %s; F32, F16, BF16 and I64 are read",
                         show(tensor->name).text, name);
    }
    return jemi_fail(JEM_EFORMAT, "tensor '%s' has dtype '%s', which safetensors does not know",
                     show(tensor->name).text, show(name).text);
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
            return jemi_fail(JEM_EFORMAT, "tensor '%s' has more than %d dimensions",
                             show(tensor->name).text, JEMI_SAFETENSORS_RANK_MAX);
        JEMI_TRY(jemi_json_count(json, &tensor->shape[tensor->rank++]));
    }
}

static jem_status read_offsets(jemi_json *json, jemi_header_entry *entry, size_t data_size)
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
                         "tensor '%s' has data_offsets [%" PRId64 ", %" PRId64
                         "]; expected a range within the %zu bytes of data",
                         show(entry->tensor.name).text, offsets[0], offsets[1], data_size);
    entry->begin = (size_t)offsets[0];
    entry->bytes = (size_t)(offsets[1] - offsets[0]);
    return JEM_OK;
}

// Shape times dtype must be the bytes that the offsets span.
static jem_status check_size(jemi_header_entry *entry)
{
    jemi_safetensor *tensor = &entry->tensor;
    size_t count = 1;
    bool fits = true;
    for (int32_t i = 0; i < tensor->rank && fits; i++)
        fits = jemi_mul(count, (size_t)tensor->shape[i], &count);
    size_t bytes;
    fits = fits && jemi_mul(count, jemi_dtypes[tensor->dtype].size, &bytes);
    if (!fits)
        return jemi_fail(JEM_EFORMAT, "the size of tensor '%s' overflows", show(tensor->name).text);
    if (bytes != entry->bytes)
        return jemi_fail(JEM_EFORMAT,
                         "tensor '%s' has %zu elements of %s, %zu bytes, but data_offsets of %zu "
                         "bytes",
                         show(tensor->name).text, count, jemi_dtypes[tensor->dtype].name, bytes,
                         entry->bytes);
    tensor->count = (int64_t)count;
    return JEM_OK;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static jem_status read_field(jemi_json *json, jemi_header_entry *entry, size_t data_size,
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
        return jemi_fail(JEM_EFORMAT, "tensor '%s' has a field '%s', which safetensors lacks",
                         show(entry->tensor.name).text, show(key).text);
    if (*fields & field)
        return jemi_fail(JEM_EFORMAT, "tensor '%s' has its %s twice", show(entry->tensor.name).text,
                         key);
    *fields |= field;
    return field == HAS_DTYPE   ? read_dtype(json, &entry->tensor)
           : field == HAS_SHAPE ? read_shape(json, &entry->tensor)
                                : read_offsets(json, entry, data_size);
}

static jem_status read_entry(jemi_json *json, jemi_header_entry *entry, size_t data_size)
{
    JEMI_TRY(jemi_json_open(json, '{'));
    unsigned fields = 0;
    int64_t n = 0;
    for (;;) {
        bool more;
        JEMI_TRY(jemi_json_next(json, '{', &n, &more));
        if (!more)
            break;
        JEMI_TRY(read_field(json, entry, data_size, &fields));
    }
    if (fields != HAS_ALL)
        return jemi_fail(JEM_EFORMAT, "tensor '%s' lacks its %s", show(entry->tensor.name).text,
                         !(fields & HAS_DTYPE)   ? "dtype"
                         : !(fields & HAS_SHAPE) ? "shape"
                                                 : "data_offsets");
    return check_size(entry);
}

// ---- the header's members ----------------------------------------------------------------------

static jem_status read_tensor(jemi_header *header, jemi_json *json, const char *name, size_t length,
                              size_t data_size)
{
    if (length == 0 || length > JEMI_SAFETENSORS_NAME_MAX)
        return jemi_fail(JEM_EFORMAT, "tensor name '%s' has %zu bytes; expected 1 to %d",
                         show(name).text, length, JEMI_SAFETENSORS_NAME_MAX);
    void *items = with_room(header->entries, header->n_entries, sizeof header->entries[0]);
    if (items == NULL)
        return jemi_fail_memory("list of tensors");
    header->entries = items;
    jemi_header_entry *entry = &header->entries[header->n_entries++];
    *entry = (jemi_header_entry){.tensor.name = name};
    return read_entry(json, entry, data_size);
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
    return strcmp(header->entries[a].tensor.name, header->entries[b].tensor.name);
}

static int by_key(const jemi_header *header, size_t a, size_t b)
{
    return strcmp(header->metadata[a].key, header->metadata[b].key);
}

// Of two that begin together, all but the last must be empty.
static int by_place(const jemi_header *header, size_t a, size_t b)
{
    const jemi_header_entry *left = &header->entries[a], *right = &header->entries[b];
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
    JEMI_TRY(sort(header, by_place, header->n_entries, &order));
    jemi_header_entry *sorted = jemi_alloc(header->n_entries, sizeof *sorted);
    if (sorted == NULL) {
        jemi_free(order);
        return jemi_fail_memory("list of tensors");
    }
    for (size_t i = 0; i < header->n_entries; i++)
        sorted[i] = header->entries[order[i]];
    jemi_free(order);
    jemi_free(header->entries);
    header->entries = sorted;
    return JEM_OK;
}

static jem_status check_tiling(const jemi_header *header, size_t data_size)
{
    size_t end = 0;
    for (size_t i = 0; i < header->n_entries; i++) {
        const jemi_header_entry *entry = &header->entries[i];
        if (entry->begin != end)
            return jemi_fail(JEM_EFORMAT,
                             "tensor '%s' begins at byte %zu of the data; expected %zu, without "
                             "%s",
                             show(entry->tensor.name).text, entry->begin, end,
                             entry->begin < end ? "overlap" : "gap");
        end += entry->bytes; // at most data_size, as each entry
    }
    if (end != data_size)
        return jemi_fail(JEM_EFORMAT, "the tensors take %zu bytes, but the file has %zu of data",
                         end, data_size);
    return JEM_OK;
}

static jem_status check_names(jemi_header *header)
{
    JEMI_TRY(sort(header, by_name, header->n_entries, &header->entries_by_name));
    for (size_t i = 1; i < header->n_entries; i++)
        if (by_name(header, header->entries_by_name[i - 1], header->entries_by_name[i]) == 0)
            return jemi_fail(JEM_EFORMAT, "tensor '%s' appears twice",
                             show(header->entries[header->entries_by_name[i]].tensor.name).text);
    JEMI_TRY(sort(header, by_key, header->n_metadata, &header->metadata_by_key));
    for (size_t i = 1; i < header->n_metadata; i++)
        if (by_key(header, header->metadata_by_key[i - 1], header->metadata_by_key[i]) == 0)
            return jemi_fail(JEM_EFORMAT, "metadata '%s' appears twice",
                             show(header->metadata[header->metadata_by_key[i]].key).text);
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
    jemi_free(header->entries);
    jemi_free(header->metadata);
    jemi_free(header->entries_by_name);
    jemi_free(header->metadata_by_key);
    jemi_free(header->text);
    *header = (jemi_header){0};
}
