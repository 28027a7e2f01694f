/*
 * The model as a computing thing: parameters by seed, clones, tensors by name, batches of any size
 * with rows that do not know their neighbours, plans built ahead, bytes. Each test runs on every
 * backend of the build. Files are test_model_file.c's, 8-bit inputs test_input.c's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { FEATURES = 5, CLASSES = 3 };

static jem_exec_config exec_of(int index)
{
    return support_exec(support_backends[index], 2);
}

// ---- birth and copies ---------------------------------------------------------------------------

static float *params_of_seed(uint64_t seed, const jem_exec_config *exec)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-6-4";
    config.channels = FEATURES;
    config.classes = CLASSES;
    config.seed = seed;
    jem_model *model;
    MUST(jem_model_create(&model, &config, exec));
    float *params = support_params(model);
    jem_model_destroy(model);
    return params;
}

START_TEST(test_create_by_seed)
{
    const jem_exec_config exec = exec_of(_i);
    const size_t size = (5 * 6 + 6 + 6 * 4 + 4 + 4 * 3 + 3) * sizeof(float);
    float *first = params_of_seed(1, &exec), *again = params_of_seed(1, &exec);
    float *other = params_of_seed(2, &exec), *far = params_of_seed(UINT64_MAX, &exec);
    support_same_bits(first, again, size, "parameters of one seed");
    int same = 0;
    for (size_t i = 0; i < size / sizeof(float); i++) {
        same += first[i] == other[i];
        same += first[i] == far[i];
        ck_assert_msg(fabsf(first[i]) <= 0.5f, "parameter %zu exceeds 1 / sqrt(fan_in)", i);
    }
    ck_assert_int_le(same, 1);
    free(first);
    free(again);
    free(other);
    free(far);
}
END_TEST

static void check_same_logits(const jem_model *a, const jem_model *b, const char *what)
{
    float *x = support_uniform(9 * FEATURES, 3);
    float left[9 * CLASSES], right[9 * CLASSES];
    MUST(jem_logits(a, 9, x, left));
    MUST(jem_logits(b, 9, x, right));
    support_same_bits(left, right, sizeof left, what);
    free(x);
}

START_TEST(test_clone)
{
    const jem_exec_config exec = exec_of(_i);
    jem_model *model = support_model("mlp-6:act=tanh", FEATURES, CLASSES, &exec);
    const float ones[FEATURES] = {1, 1, 1, 1, 1};
    MUST(jem_model_set_metadata(model, "author", "somebody"));
    MUST(jem_model_set_class_name(model, 1, "dog"));
    MUST(jem_model_set_standardization(model, FEATURES, ones, ones));
    jem_model *clone;
    MUST(jem_model_clone(&clone, model, &exec));
    ck_assert_str_eq(jem_model_arch(clone), jem_model_arch(model));
    check_same_logits(clone, model, "logits of a clone");
    char text[16];
    MUST(jem_model_get_metadata(clone, "author", text, sizeof text, NULL));
    ck_assert_str_eq(text, "somebody");
    MUST(jem_model_get_class_name(clone, 1, text, sizeof text, NULL));
    ck_assert_str_eq(text, "dog");
    const uint8_t image[FEATURES] = {255, 255, 255, 255, 255};
    float x[FEATURES];
    MUST(jem_input_from_u8(clone, 1, image, JEM_LAYOUT_NCHW, x));
    NEAR(x[0], 0.0f, 1e-6f); // (255 / 255 - 1) / 1

    // Independent: what happens to one does not happen to the other.
    float *params = support_params(model);
    jem_model_destroy(model);
    params[0] += 1.0f;
    jem_model *second;
    MUST(jem_model_clone(&second, clone, &exec));
    MUST(jem_model_set_params(clone, support_param_count(clone), params));
    MUST(jem_model_set_class_name(clone, 1, "cat"));
    MUST(jem_model_get_class_name(second, 1, text, sizeof text, NULL));
    ck_assert_str_eq(text, "dog");
    float *kept = support_params(second);
    ck_assert_float_eq(kept[0] + 1.0f, params[0]);
    free(kept);
    free(params);
    jem_model_destroy(clone);
    jem_model_destroy(second);
}
END_TEST

// ---- parameters ---------------------------------------------------------------------------------

START_TEST(test_tensors)
{
    const jem_exec_config exec = exec_of(_i);
    jem_model *model = support_image_model("cnn-4", 2, 8, CLASSES, &exec);
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    ck_assert_int_eq(info.backend, support_backends[_i]);
    ck_assert_int_eq(info.threads, 2);
    ck_assert_int_eq(info.input_size, 2 * 8 * 8);
    float *params = support_params(model);
    int64_t end = 0;
    for (int32_t i = 0; i < info.tensor_count; i++) {
        jem_tensor_info tensor = {.struct_size = sizeof tensor};
        MUST(jem_model_tensor(model, i, &tensor));
        ck_assert_int_eq(tensor.offset, end); // tensors are laid end to end
        int64_t count = 1;
        for (int32_t d = 0; d < tensor.rank; d++)
            count *= tensor.shape[d];
        ck_assert_int_eq(tensor.count, count);
        end += count;
        float *values = malloc((size_t)count * sizeof *values);
        MUST(jem_model_get_tensor(model, tensor.name, count, values));
        support_same_bits(values, params + tensor.offset, (size_t)count * sizeof *values,
                          tensor.name);
        for (int64_t j = 0; j < count; j++)
            params[tensor.offset + j] = values[j] = (float)(i * 100 + j % 7) * 0.01f;
        MUST(jem_model_set_tensor(model, tensor.name, count, values));
        free(values);
    }
    ck_assert_int_eq(end, info.param_count);
    float *now = support_params(model);
    support_same_bits(now, params, (size_t)end * sizeof *now, "parameters set tensor by tensor");
    jem_model *twin = support_image_model("cnn-4", 2, 8, CLASSES, &exec);
    MUST(jem_model_set_params(twin, end, params));
    float *x = support_uniform(3 * info.input_size, 5), a[9], b[9];
    MUST(jem_logits(model, 3, x, a));
    MUST(jem_logits(twin, 3, x, b));
    support_same_bits(a, b, sizeof a, "logits after set_tensor and after set_params");
    free(x);
    free(now);
    free(params);
    jem_model_destroy(twin);
    jem_model_destroy(model);
}
END_TEST

// ---- batches ------------------------------------------------------------------------------------

typedef struct batch_row {
    const char *arch;
    int32_t channels, side;
} batch_row;

static const batch_row batch_nets[] = {
    {"mlp-9-7", FEATURES, 1},
    {"cnn-3-5:act=silu", 1, 6},
};

enum { ROWS_MOST = 300 };

// All outputs for n rows: logits, energies both ways, gradients, scores.
typedef struct outputs {
    float logits[ROWS_MOST * CLASSES], energy[ROWS_MOST], joint[ROWS_MOST], grad_energy[ROWS_MOST];
    float grad[ROWS_MOST * 64], scores[JEM_SCORE_GRADIENT_NORM][ROWS_MOST];
} outputs;

static void compute(const jem_model *model, int64_t n, const float *x, const int64_t *labels,
                    outputs *out)
{
    MUST(jem_logits(model, n, x, out->logits));
    MUST(jem_energy(model, n, x, NULL, out->energy));
    MUST(jem_energy(model, n, x, labels, out->joint));
    MUST(jem_energy_grad(model, n, x, labels, out->grad_energy, out->grad));
    for (int32_t kind = JEM_SCORE_ENERGY; kind <= JEM_SCORE_GRADIENT_NORM; kind++)
        MUST(jem_score(model, kind, NULL, n, x, out->scores[kind - 1]));
}

static void check_rows(const outputs *batch, const outputs *single, int64_t at, int64_t n,
                       int64_t size, const char *what)
{
    const size_t rows = (size_t)n * sizeof(float);
    support_same_bits(batch->logits, single->logits + at * CLASSES, rows * CLASSES, what);
    support_same_bits(batch->energy, single->energy + at, rows, what);
    support_same_bits(batch->joint, single->joint + at, rows, what);
    support_same_bits(batch->grad_energy, single->grad_energy + at, rows, what);
    support_same_bits(batch->grad, single->grad + at * size, rows * (size_t)size, what);
    for (int s = 0; s < 3; s++)
        support_same_bits(batch->scores[s], single->scores[s] + at, rows, what);
}

// Row by row, into the places of a batch.
static void compute_rows(const jem_model *model, const float *x, const int64_t *labels,
                         int64_t size, outputs *all)
{
    outputs *one = malloc(sizeof *one);
    for (int64_t i = 0; i < ROWS_MOST; i++) {
        compute(model, 1, x + i * size, labels + i, one);
        memcpy(all->logits + i * CLASSES, one->logits, CLASSES * sizeof(float));
        all->energy[i] = one->energy[0];
        all->joint[i] = one->joint[0];
        all->grad_energy[i] = one->grad_energy[0];
        memcpy(all->grad + i * size, one->grad, (size_t)size * sizeof(float));
        for (int s = 0; s < 3; s++)
            all->scores[s][i] = one->scores[s][0];
    }
    free(one);
}

START_TEST(test_batches)
{
    const batch_row *row = &batch_nets[_i / support_n_backends];
    const jem_exec_config exec = exec_of(_i % support_n_backends);
    jem_model *model = support_image_model(row->arch, row->channels, row->side, CLASSES, &exec);
    const int64_t size = row->channels * row->side * row->side;
    float *x = support_uniform(ROWS_MOST * size, 9);
    int64_t labels[ROWS_MOST];
    for (int64_t i = 0; i < ROWS_MOST; i++)
        labels[i] = i * 7 % CLASSES;
    outputs *single = malloc(sizeof *single), *batch = malloc(sizeof *batch);
    compute_rows(model, x, labels, size, single);
    for (int64_t n = 1; n <= ROWS_MOST; n = n < 70 ? n + 1 : n == 70 ? ROWS_MOST : n + 1) {
        const int64_t at = (n * 13) % (ROWS_MOST - n + 1); // other neighbours each time
        char what[64];
        snprintf(what, sizeof what, "%s, %d rows from %d on", row->arch, (int)n, (int)at);
        compute(model, n, x + at * size, labels + at, batch);
        check_rows(batch, single, at, n, size, what);
    }
    free(single);
    free(batch);
    free(x);
    jem_model_destroy(model);
}
END_TEST

// E(x) = -logsumexp f(x), E(x, y) = -f(x)[y], the scores: from the logits, in double.
START_TEST(test_energies_from_logits)
{
    const jem_exec_config exec = exec_of(_i);
    jem_model *model = support_model("mlp-9", FEATURES, CLASSES, &exec);
    enum { N = 20 };
    float *x = support_uniform(N * FEATURES, 4);
    int64_t labels[N];
    for (int i = 0; i < N; i++)
        labels[i] = i % CLASSES;
    outputs *out = malloc(sizeof *out);
    compute(model, N, x, labels, out);
    for (int i = 0; i < N; i++) {
        const float *f = out->logits + i * CLASSES;
        double sum = 0.0, most = -INFINITY, norm = 0.0;
        for (int k = 0; k < CLASSES; k++) {
            sum += exp(f[k]);
            most = f[k] > most ? f[k] : most;
        }
        float grad[FEATURES];
        MUST(jem_energy_grad(model, 1, x + i * FEATURES, NULL, NULL, grad));
        for (int j = 0; j < FEATURES; j++)
            norm += (double)grad[j] * grad[j];
        // One rounding to float of a value near 1 is 6e-8; a handful of them here.
        NEAR(out->energy[i], -log(sum), 5e-7);
        ck_assert_float_eq(out->joint[i], -f[labels[i]]);
        ck_assert_float_eq(out->grad_energy[i], out->joint[i]);
        ck_assert_float_eq(out->scores[0][i], out->energy[i]);
        NEAR(out->scores[JEM_SCORE_MAX_SOFTMAX - 1][i], -exp(most) / sum, 5e-7);
        NEAR(out->scores[JEM_SCORE_GRADIENT_NORM - 1][i], sqrt(norm), 5e-7);
    }
    free(out);
    free(x);
    jem_model_destroy(model);
}
END_TEST

// ---- plans ahead --------------------------------------------------------------------------------

static int64_t allocations;

static void *count_allocate(void *user, size_t alignment, size_t size)
{
    (void)user;
    allocations++;
    return aligned_alloc(alignment, size);
}

static void count_release(void *user, void *block)
{
    (void)user;
    free(block);
}

// Of libjem's own memory; test_memory.c counts every malloc of the process.
START_TEST(test_prepare)
{
    MUST(jem_set_allocator(&(jem_allocator){count_allocate, count_release, NULL}));
    const jem_exec_config exec = exec_of(_i);
    const int32_t all = JEM_PREPARE_LOGITS | JEM_PREPARE_GRAD | JEM_PREPARE_TRAIN;
    const int64_t sizes[] = {1, 7, 64, 88, 300};
    for (int i = 0; i < COUNT(sizes); i++) {
        const int64_t n = sizes[i];
        jem_model *model = support_model("mlp-9", FEATURES, CLASSES, &exec);
        float *x = support_uniform(n * FEATURES, 4);
        float *out = malloc((size_t)n * FEATURES * sizeof *out);
        const size_t before = jem_model_bytes(model);
        MUST(jem_model_prepare(model, all, n));
        ck_assert_uint_gt(jem_model_bytes(model), before);
        const int64_t prepared = allocations;
        MUST(jem_logits(model, n, x, out));
        MUST(jem_energy(model, n, x, NULL, out));
        MUST(jem_energy_grad(model, n, x, NULL, NULL, out));
        MUST(jem_score(model, JEM_SCORE_GRADIENT_NORM, NULL, n, x, out));
        ck_assert_msg(allocations == prepared, "%d rows: %d allocations after prepare", (int)n,
                      (int)(allocations - prepared));
        free(out);
        free(x);
        jem_model_destroy(model);
    }
    MUST(jem_set_allocator(NULL));
}
END_TEST

START_TEST(test_bytes)
{
    const jem_exec_config exec = exec_of(_i);
    jem_model *model = support_model("mlp-64-64", FEATURES, CLASSES, &exec);
    const size_t params = (size_t)support_param_count(model) * sizeof(float);
    const size_t born = jem_model_bytes(model);
    ck_assert_uint_ge(born, params);
    float *x = support_uniform(64 * FEATURES, 4), out[64 * CLASSES];
    MUST(jem_logits(model, 64, x, out));
    const size_t warm = jem_model_bytes(model);
    // Two hidden layers of 64 floats for 64 rows are held by any plan, layer by layer or in turns.
    ck_assert_uint_ge(warm, born + 64 * 64 * sizeof(float));
    MUST(jem_logits(model, 64, x, out));
    ck_assert_uint_eq(jem_model_bytes(model), warm);
    MUST(jem_logits(model, 3, x, out)); // another plan
    const size_t more = jem_model_bytes(model);
    ck_assert_uint_gt(more, warm);
    MUST(jem_logits(model, 3, x, out));
    ck_assert_uint_eq(jem_model_bytes(model), more);
    free(x);
    jem_model_destroy(model);
}
END_TEST

// Of a network whose packed weights are several times its parameters.
START_TEST(test_new_params_take_the_room_of_the_old)
{
    const jem_exec_config exec = exec_of(_i);
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "cnn-64-64";
    config.channels = 1;
    config.height = config.width = 8;
    config.classes = CLASSES;
    jem_model *model;
    MUST(jem_model_create(&model, &config, &exec));
    const int64_t count = support_param_count(model);
    float *params = malloc((size_t)count * sizeof *params), x[64] = {0}, out[CLASSES];
    MUST(jem_model_get_params(model, count, params));
    MUST(jem_logits(model, 1, x, out));
    const size_t once = jem_model_bytes(model);
    for (int k = 0; k < 3; k++) {
        MUST(jem_model_set_params(model, count, params));
        MUST(jem_logits(model, 1, x, out));
    }
    // The reference backend's weights are doubles, and made with each set of parameters.
    const size_t room = (exec.backend == JEM_BACKEND_REF ? 3 : 1) * (size_t)count * sizeof(float);
    ck_assert_uint_le(jem_model_bytes(model), once + room + 4096);
    free(params);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_loop_test(tcase, test_create_by_seed, 0, n);
    tcase_add_loop_test(tcase, test_clone, 0, n);
    tcase_add_loop_test(tcase, test_tensors, 0, n);
    tcase_add_loop_test(tcase, test_batches, 0, COUNT(batch_nets) * n);
    tcase_add_loop_test(tcase, test_energies_from_logits, 0, n);
    tcase_add_loop_test(tcase, test_prepare, 0, n);
    tcase_add_loop_test(tcase, test_bytes, 0, n);
    tcase_add_loop_test(tcase, test_new_params_take_the_room_of_the_old, 0, n);
}

int main(void)
{
    return support_main("model", add_tests);
}
