/*
 * Fuzzing of arch strings: what is accepted is a network within its bounds, and its full form means
 * the same network.
 */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "fuzz.h"
#include "nn/graph.h"

static const jemi_shape shape = {.c = 3, .h = 8, .w = 8};
enum { CLASSES = 4 };

static void check_graph(const jemi_graph *graph)
{
    const int64_t size = jemi_graph_size(graph);
    MUST(size > 0 && size < INT32_MAX && graph->macs > 0);
    int64_t end = 0;
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++) {
        const jemi_param *param = jemi_graph_tensor(graph, i);
        MUST(strnlen(param->name, sizeof param->name) < sizeof param->name);
        MUST(param->offset == end && param->count > 0);
        end += param->count;
    }
    MUST(end == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *string = malloc(size + 1);
    MUST(string != NULL);
    if (size > 0)
        memcpy(string, data, size);
    string[size] = '\0';
    jemi_graph graph, again;
    const jem_status status = jemi_graph_init(&graph, string, shape, CLASSES);
    MUST(status == JEM_OK || status == JEM_EINVAL || status == JEM_EUNSUPPORTED);
    MUST(status == JEM_OK || *jemi_last_message() != '\0');
    if (status == JEM_OK) {
        fuzz_accepted++;
        check_graph(&graph);
        MUST(jemi_graph_init(&again, graph.arch, shape, CLASSES) == JEM_OK);
        MUST(strcmp(again.arch, graph.arch) == 0 && again.n_nodes == graph.n_nodes);
        MUST(jemi_graph_size(&again) == jemi_graph_size(&graph));
        jemi_graph_fini(&again);
    }
    jemi_graph_fini(&graph);
    free(string);
    MUST(jemi_memory_set_allocator(NULL)); // refused if a block were left
    return 0;
}

static bool make_seed(int i, fuzz_input *seed)
{
    static const char *const seeds[] = {"mlp-8",
                                        "mlp-512-512:act=silu,norm=layer",
                                        "cnn-32-64:dropout=0.3",
                                        "wrn-10-1",
                                        "wrn-16-2:norm=batch,act=tanh",
                                        "mlp-3:norm=spectral",
                                        "cnn-4:norm=group2",
                                        "wrn-10-2:norm=instance,dropout=0.25"};
    if (i == sizeof seeds / sizeof seeds[0])
        return false;
    seed->size = strlen(seeds[i]);
    memcpy(seed->bytes, seeds[i], seed->size);
    return true;
}

// Longer than any that is accepted: these end in the grammar, which must not take long either.
static void make_large(size_t size, fuzz_input *large)
{
    static const char *const fronts[] = {"mlp", "cnn-", "mlp-8:act=silu,", "wrn-10-"};
    static const char *const pieces[] = {"-1", "9", "norm=batch,", "0"};
    const size_t which = size / 1024 % 4;
    large->size = 0;
    for (const char *piece = fronts[which]; large->size + strlen(piece) < size;
         piece = pieces[which]) {
        memcpy(large->bytes + large->size, piece, strlen(piece));
        large->size += strlen(piece);
    }
}

static const char *const words[] = {
    "-",        ":",       ",",      "=",      "mlp", "cnn",  "wrn",  "act=",  "norm=",
    "dropout=", "batch",   "group2", "layer",  "0.5", "10",   "1000", "16384", "16385",
    "64",       "65",      "-1",     "\xFF",   "\n",  "none", "relu", "0",     "instance",
    "spectral", "group16", "1",      "-1-1-1", "16",  "22",   NULL,
};

const fuzz_target fuzz_this = {"fuzz_arch", make_seed, make_large, words};
