/*
 * The public functions against wrong arguments: each gives the documented status, a fresh message
 * that names the argument, and leaves the handles as they were. A row's name is the call itself.
 * The fields of config structs and their sizes are test_api_structs.c's, metrics are
 * test_metrics_arguments.c's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 4, FEATURES = 3, CLASSES = 3 };
static const int64_t too_many = (int64_t)INT32_MAX + 1;

// What every test begins with, and must find unharmed at its end.
typedef struct fixture {
    jem_model *model;
    jem_model *other;  // takes other rows
    jem_model *deeper; // takes the same rows, has other parameters
    jem_model *fewer;  // takes the same rows, has fewer classes
    jem_sampler *sampler;
    jem_sampler *unfitted;
    jem_optimizer *optimizer;
    float *x;
    float with_nan[ROWS * FEATURES], with_inf[ROWS * FEATURES];
    float out[64];
    float logits[ROWS * CLASSES];
    int64_t labels[ROWS], past_end[ROWS], negative[ROWS];
    int64_t ages[ROWS];
    int64_t param_count;
    float params[256];
    uint8_t images[ROWS * FEATURES];
    char text[16];
    jem_train_batch batch;
    char dir[256];
} fixture;

static fixture f;

static void set_up_rows(void)
{
    f.x = support_uniform(ROWS * FEATURES, 1);
    memcpy(f.with_nan, f.x, sizeof f.with_nan);
    memcpy(f.with_inf, f.x, sizeof f.with_inf);
    f.with_nan[2 * FEATURES + 1] = NAN;
    f.with_inf[ROWS * FEATURES - 1] = -INFINITY;
    for (int i = 0; i < ROWS; i++)
        f.labels[i] = f.past_end[i] = f.negative[i] = i % CLASSES;
    f.past_end[3] = CLASSES;
    f.negative[1] = -1;
}

static void set_up(void)
{
    set_up_rows();
    f.model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    f.other = support_model("mlp-4", FEATURES + 1, CLASSES, NULL);
    f.deeper = support_model("mlp-4-4", FEATURES, CLASSES, NULL);
    f.fewer = support_model("mlp-4", FEATURES, CLASSES - 1, NULL);
    jem_sampler_config config = support_sampler_config(ROWS, 2);
    f.sampler = support_sampler(f.model, &config);
    config.start = JEM_START_GAUSSIAN;
    f.unfitted = support_sampler(f.model, &config);
    f.optimizer = support_optimizer(f.model, 0.01f);
    f.param_count = support_param_count(f.model);
    ck_assert_int_le(f.param_count, COUNT(f.params));
    MUST(jem_model_get_params(f.model, f.param_count, f.params));
    MUST(jem_logits(f.model, ROWS, f.x, f.logits));
    MUST(jem_model_set_metadata(f.model, "author", "nobody"));
    f.batch = support_batch(ROWS, f.x, f.labels);
    support_make_dir(f.dir, sizeof f.dir);
}

static void tear_down(void)
{
    float again[ROWS * CLASSES];
    MUST(jem_logits(f.model, ROWS, f.x, again));
    support_same_bits(again, f.logits, sizeof again, "logits after refused calls");
    int64_t steps;
    MUST(jem_optimizer_get(f.optimizer, NULL, &steps));
    ck_assert_int_eq(steps, 0);
    jem_optimizer_destroy(f.optimizer);
    jem_sampler_destroy(f.sampler);
    jem_sampler_destroy(f.unfitted);
    jem_model_destroy(f.model);
    jem_model_destroy(f.other);
    jem_model_destroy(f.deeper);
    jem_model_destroy(f.fewer);
    free(f.x);
    support_remove_dir(f.dir);
}

// ---- compute ------------------------------------------------------------------------------------

START_TEST(test_logits)
{
    REFUSED(JEM_EINVAL, "model", jem_logits(NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_logits(f.model, -1, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is 2147483648", jem_logits(f.model, too_many, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is -9", jem_logits(f.model, INT64_MIN, f.x, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_logits(f.model, 1, NULL, f.out));
    REFUSED(JEM_EINVAL, "logits is NULL", jem_logits(f.model, 1, f.x, NULL));
    REFUSED(JEM_EINVAL, "x is nan at row 2, element 1",
            jem_logits(f.model, ROWS, f.with_nan, f.out));
    REFUSED(JEM_EINVAL, "x is -inf at row 3, element 2",
            jem_logits(f.model, ROWS, f.with_inf, f.out));
}
END_TEST

START_TEST(test_energy)
{
    REFUSED(JEM_EINVAL, "model", jem_energy(NULL, 1, f.x, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_energy(f.model, -1, f.x, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is 2147483648", jem_energy(f.model, too_many, f.x, NULL, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_energy(f.model, 1, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "energy is NULL", jem_energy(f.model, 1, f.x, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_energy(f.model, ROWS, f.with_nan, NULL, f.out));
    REFUSED(JEM_EINVAL, "labels is 3 at row 3; expected 0..2",
            jem_energy(f.model, ROWS, f.x, f.past_end, f.out));
    REFUSED(JEM_EINVAL, "labels is -1 at row 1", jem_energy(f.model, ROWS, f.x, f.negative, f.out));
    REFUSED(JEM_EINVAL, "model", jem_energy_grad(NULL, 1, f.x, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_energy_grad(f.model, -1, f.x, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is 2147", jem_energy_grad(f.model, too_many, f.x, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_energy_grad(f.model, 1, NULL, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "grad is NULL", jem_energy_grad(f.model, 1, f.x, NULL, f.out, NULL));
    REFUSED(JEM_EINVAL, "x is -inf", jem_energy_grad(f.model, ROWS, f.with_inf, NULL, NULL, f.out));
    REFUSED(JEM_EINVAL, "labels is 3",
            jem_energy_grad(f.model, ROWS, f.x, f.past_end, NULL, f.out));
    REFUSED(JEM_EINVAL, "labels is -1",
            jem_energy_grad(f.model, ROWS, f.x, f.negative, NULL, f.out));
}
END_TEST

START_TEST(test_score)
{
    REFUSED(JEM_EINVAL, "model", jem_score(NULL, JEM_SCORE_ENERGY, NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "kind is 0", jem_score(f.model, 0, NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "kind is 21", jem_score(f.model, 21, NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "statistics", jem_score(f.model, JEM_SCORE_KNN, NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_score(f.model, JEM_SCORE_ENERGY, NULL, -1, f.x, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_score(f.model, JEM_SCORE_ENERGY, NULL, 1, NULL, f.out));
    REFUSED(JEM_EINVAL, "scores", jem_score(f.model, JEM_SCORE_ENERGY, NULL, 1, f.x, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_score(f.model, 2, NULL, ROWS, f.with_nan, f.out));
}
END_TEST

// A detector of one kind of logits, calibrated by the rows themselves.
static jem_detector *make_detector(void)
{
    jem_detector_config config;
    jem_detector *detector;
    MUST(jem_detector_config_init(&config, sizeof config));
    config.kinds = 1 << JEM_SCORE_ENERGY;
    config.fpr = 0.9;
    MUST(jem_detector_create(&detector, f.model, &config, NULL));
    MUST(jem_detector_calibrate(detector, f.model, ROWS, f.x, NULL, NULL, NULL));
    return detector;
}

START_TEST(test_explain)
{
    jem_detector *d = make_detector();
    MUST(jem_explain(d, f.model, NULL, 0, NULL, NULL, NULL, NULL));
    MUST(jem_explain(d, f.model, NULL, 1, f.x, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "detector", jem_explain(NULL, f.model, NULL, 1, f.x, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "model", jem_explain(d, NULL, NULL, 1, f.x, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is -1", jem_explain(d, f.model, NULL, -1, f.x, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is NULL", jem_explain(d, f.model, NULL, 1, NULL, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "map is NULL", jem_explain(d, f.model, NULL, 1, f.x, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "map is x", jem_explain(d, f.model, NULL, 1, f.x, f.x, NULL, NULL));
    REFUSED(JEM_EINVAL, "usual is x", jem_explain(d, f.model, NULL, 1, f.x, f.out, f.x, NULL));
    jem_detector_destroy(d);
}
END_TEST

// ---- model --------------------------------------------------------------------------------------

static jem_model *const sentinel = (jem_model *)&f;

START_TEST(test_model_create)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-4";
    config.channels = FEATURES;
    config.classes = CLASSES;
    REFUSED(JEM_EINVAL, "out is NULL", jem_model_create(NULL, &config, NULL));
    jem_model *model = sentinel;
    REFUSED(JEM_EINVAL, "config is NULL", jem_model_create(&model, NULL, NULL));
    ck_assert_ptr_null(model);
    model = sentinel;
    config.arch = "resnet-18";
    REFUSED(JEM_EINVAL, "resnet-18", jem_model_create(&model, &config, NULL));
    ck_assert_ptr_null(model);
    model = sentinel;
    config.arch = "mlp-4";
    config.channels = 4096;
    config.height = config.width = 1024;
    REFUSED(JEM_EUNSUPPORTED, "4096x1024x1024", jem_model_create(&model, &config, NULL));
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(test_model_copies)
{
    char missing[300], foreign[300], elsewhere[300];
    snprintf(missing, sizeof missing, "%s/missing.safetensors", f.dir);
    snprintf(foreign, sizeof foreign, "%s/foreign", f.dir);
    snprintf(elsewhere, sizeof elsewhere, "%s/no/such/place", f.dir);
    FILE *file = fopen(foreign, "w");
    fputs("this is not a model file", file);
    fclose(file);
    jem_model *model = sentinel;
    REFUSED(JEM_EINVAL, "out is NULL", jem_model_clone(NULL, f.model, NULL));
    REFUSED(JEM_EINVAL, "model is NULL", jem_model_clone(&model, NULL, NULL));
    ck_assert_ptr_null(model);
    model = sentinel;
    REFUSED(JEM_EINVAL, "out is NULL", jem_model_load(NULL, missing, NULL));
    REFUSED(JEM_EINVAL, "path is NULL", jem_model_load(&model, NULL, NULL));
    ck_assert_ptr_null(model);
    model = sentinel;
    REFUSED(JEM_EIO, "missing.safetensors", jem_model_load(&model, missing, NULL));
    ck_assert_ptr_null(model);
    REFUSED(JEM_EIO, f.dir, jem_model_load(&model, f.dir, NULL));
    REFUSED(JEM_EIO, "", jem_model_load(&model, "", NULL));
    REFUSED(JEM_EFORMAT, "text file", jem_model_load(&model, foreign, NULL));
    REFUSED(JEM_EINVAL, "out is NULL", jem_model_load_buffer(NULL, "x", 1, NULL));
    model = sentinel;
    REFUSED(JEM_EINVAL, "data is NULL", jem_model_load_buffer(&model, NULL, 9, NULL));
    ck_assert_ptr_null(model);
    REFUSED(JEM_EFORMAT, "0 bytes", jem_model_load_buffer(&model, "", 0, NULL));
    REFUSED(JEM_EINVAL, "model is NULL", jem_model_save(NULL, missing));
    REFUSED(JEM_EINVAL, "path is NULL", jem_model_save(f.model, NULL));
    REFUSED(JEM_EIO, "no/such/place", jem_model_save(f.model, elsewhere));
    REFUSED(JEM_EIO, "", jem_model_save(f.model, ""));
    REFUSED(JEM_EIO, f.dir, jem_model_save(f.model, f.dir));
    REFUSED(JEM_EINVAL, "model is NULL", jem_model_load_matching(NULL, missing, NULL));
    REFUSED(JEM_EINVAL, "path is NULL", jem_model_load_matching(f.model, NULL, NULL));
    REFUSED(JEM_EIO, "missing", jem_model_load_matching(f.model, missing, NULL));
    REFUSED(JEM_EFORMAT, "text file", jem_model_load_matching(f.model, foreign, NULL));
}
END_TEST

START_TEST(test_model_parameters)
{
    jem_model_info info = {.struct_size = sizeof info};
    jem_tensor_info tensor = {.struct_size = sizeof tensor};
    MUST(jem_model_tensor(f.model, 0, &tensor));
    const char *name = tensor.name;
    REFUSED(JEM_EINVAL, "model", jem_model_get_info(NULL, &info));
    REFUSED(JEM_EINVAL, "info", jem_model_get_info(f.model, NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_tensor(NULL, 0, &tensor));
    REFUSED(JEM_EINVAL, "index is -1", jem_model_tensor(f.model, -1, &tensor));
    REFUSED(JEM_EINVAL, "index is 4; expected 0..3", jem_model_tensor(f.model, 4, &tensor));
    REFUSED(JEM_EINVAL, "info", jem_model_tensor(f.model, 0, NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_get_params(NULL, f.param_count, f.params));
    REFUSED(JEM_EINVAL, "count", jem_model_get_params(f.model, f.param_count - 1, f.params));
    REFUSED(JEM_EINVAL, "params", jem_model_get_params(f.model, f.param_count, NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_set_params(NULL, f.param_count, f.params));
    REFUSED(JEM_EINVAL, "count is 0", jem_model_set_params(f.model, 0, f.params));
    REFUSED(JEM_EINVAL, "count", jem_model_set_params(f.model, f.param_count + 1, f.params));
    REFUSED(JEM_EINVAL, "params", jem_model_set_params(f.model, f.param_count, NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_get_tensor(NULL, name, tensor.count, f.out));
    REFUSED(JEM_EINVAL, "name", jem_model_get_tensor(f.model, NULL, tensor.count, f.out));
    REFUSED(JEM_ENOTFOUND, "nowhere", jem_model_get_tensor(f.model, "nowhere", 1, f.out));
    REFUSED(JEM_ENOTFOUND, "''", jem_model_get_tensor(f.model, "", 1, f.out));
    REFUSED(JEM_EINVAL, "count", jem_model_get_tensor(f.model, name, tensor.count - 1, f.out));
    REFUSED(JEM_EINVAL, "values", jem_model_get_tensor(f.model, name, tensor.count, NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_set_tensor(NULL, name, tensor.count, f.x));
    REFUSED(JEM_EINVAL, "name", jem_model_set_tensor(f.model, NULL, tensor.count, f.x));
    REFUSED(JEM_ENOTFOUND, "nowhere", jem_model_set_tensor(f.model, "nowhere", 1, f.x));
    REFUSED(JEM_EINVAL, "count", jem_model_set_tensor(f.model, name, tensor.count + 1, f.x));
    REFUSED(JEM_EINVAL, "values", jem_model_set_tensor(f.model, name, tensor.count, NULL));
    ck_assert_int_eq(tensor.count, ROWS * FEATURES);
    REFUSED(JEM_EINVAL, "values", jem_model_set_tensor(f.model, name, tensor.count, f.with_nan));
    f.params[5] = INFINITY;
    REFUSED(JEM_EINVAL, "element 5", jem_model_set_params(f.model, f.param_count, f.params));
}
END_TEST

START_TEST(test_model_rest)
{
    REFUSED(JEM_EINVAL, "model", jem_model_prepare(NULL, JEM_PREPARE_LOGITS, 1));
    REFUSED(JEM_EINVAL, "what is 0", jem_model_prepare(f.model, 0, 1));
    REFUSED(JEM_EINVAL, "what is 8", jem_model_prepare(f.model, 8, 1));
    REFUSED(JEM_EINVAL, "n is -1", jem_model_prepare(f.model, JEM_PREPARE_LOGITS, -1));
    REFUSED(JEM_EINVAL, "n is 2147", jem_model_prepare(f.model, JEM_PREPARE_LOGITS, too_many));
    REFUSED(JEM_EINVAL, "model", jem_model_arch(NULL) == NULL ? JEM_EINVAL : JEM_OK);
    REFUSED(JEM_EINVAL, "model", jem_model_bytes(NULL) == 0 ? JEM_EINVAL : JEM_OK);
    const jem_allocator half[] = {{.allocate = NULL, .release = NULL}};
    REFUSED(JEM_EINVAL, "allocate", jem_set_allocator(half));
    REFUSED(JEM_EBUSY, "allocator", jem_set_allocator(NULL));
    ck_assert_str_eq(jem_status_string(JEM_ENOTFOUND), "JEM_ENOTFOUND");
    ck_assert_str_eq(jem_status_string(1), "JEM_UNKNOWN");
    ck_assert_str_eq(jem_status_string(INT32_MIN), "JEM_UNKNOWN");
}
END_TEST

START_TEST(test_metadata)
{
    char key_255[256], key_256[257];
    memset(key_255, 'k', 255);
    memset(key_256, 'k', 256);
    key_255[255] = key_256[256] = '\0';
    size_t length = 99;
    REFUSED(JEM_EINVAL, "model", jem_model_set_metadata(NULL, "a", "b"));
    REFUSED(JEM_EINVAL, "key is NULL", jem_model_set_metadata(f.model, NULL, "b"));
    REFUSED(JEM_EINVAL, "key has 0", jem_model_set_metadata(f.model, "", "b"));
    REFUSED(JEM_EINVAL, "key has 256", jem_model_set_metadata(f.model, key_256, "b"));
    REFUSED(JEM_EINVAL, "'jem.arch'", jem_model_set_metadata(f.model, "jem.arch", "b"));
    REFUSED(JEM_EINVAL, "key", jem_model_set_metadata(f.model, "\xff", "b"));
    REFUSED(JEM_EINVAL, "value", jem_model_set_metadata(f.model, "a", "\xc0\x80"));
    MUST(jem_model_set_metadata(f.model, key_255, "longest"));
    MUST(jem_model_set_metadata(f.model, "never set", NULL));
    REFUSED(JEM_EINVAL, "model", jem_model_get_metadata(NULL, "author", f.text, 16, &length));
    REFUSED(JEM_EINVAL, "key is NULL", jem_model_get_metadata(f.model, NULL, f.text, 16, &length));
    REFUSED(JEM_ENOTFOUND, "'age'", jem_model_get_metadata(f.model, "age", f.text, 16, &length));
    REFUSED(JEM_EINVAL, "buffer", jem_model_get_metadata(f.model, "author", NULL, 16, &length));
    REFUSED(JEM_EINVAL, "model", jem_model_metadata_key(NULL, NULL, f.text, 16, &length));
    REFUSED(JEM_EINVAL, "buffer", jem_model_metadata_key(f.model, NULL, NULL, 16, &length));
    REFUSED(JEM_ENOTFOUND, "after 'age'",
            jem_model_metadata_key(f.model, "age", f.text, 16, &length));
    ck_assert_uint_eq(length, 99);
    REFUSED(JEM_EINVAL, "size is 6", jem_model_get_metadata(f.model, "author", f.text, 6, &length));
    ck_assert_uint_eq(length, 6);
    REFUSED(JEM_EINVAL, "size is 5", jem_model_metadata_key(f.model, NULL, f.text, 5, &length));
    ck_assert_uint_eq(length, strlen("author"));
    MUST(jem_model_metadata_key(f.model, "author", NULL, 0, &length));
    ck_assert_uint_eq(length, 255);
    MUST(jem_model_get_metadata(f.model, "author", f.text, 7, NULL));
    ck_assert_str_eq(f.text, "nobody");
    MUST(jem_model_get_metadata(f.model, "author", NULL, 0, &length));
}
END_TEST

START_TEST(test_class_names)
{
    size_t length = 99;
    REFUSED(JEM_EINVAL, "model", jem_model_set_class_name(NULL, 0, "cat"));
    REFUSED(JEM_EINVAL, "label is -1", jem_model_set_class_name(f.model, -1, "cat"));
    REFUSED(JEM_EINVAL, "label is 3; expected 0..2", jem_model_set_class_name(f.model, 3, "cat"));
    REFUSED(JEM_EINVAL, "name is NULL", jem_model_set_class_name(f.model, 0, NULL));
    REFUSED(JEM_EINVAL, "name", jem_model_set_class_name(f.model, 0, "\xed\xa0\x80"));
    REFUSED(JEM_EINVAL, "model", jem_model_get_class_name(NULL, 0, f.text, 16, &length));
    REFUSED(JEM_EINVAL, "label is -1", jem_model_get_class_name(f.model, -1, f.text, 16, &length));
    REFUSED(JEM_EINVAL, "label is 3", jem_model_get_class_name(f.model, 3, f.text, 16, &length));
    REFUSED(JEM_EINVAL, "buffer", jem_model_get_class_name(f.model, 2, NULL, 16, &length));
    REFUSED(JEM_EINVAL, "size is 1", jem_model_get_class_name(f.model, 2, f.text, 1, &length));
    ck_assert_uint_eq(length, 1);
    MUST(jem_model_get_class_name(f.model, 2, f.text, 2, &length));
    ck_assert_str_eq(f.text, "2");
}
END_TEST

START_TEST(test_inputs)
{
    const float mean[] = {0.5f, 0.5f, 0.5f}, std[] = {1.0f, 0.0f, 1.0f};
    REFUSED(JEM_EINVAL, "model", jem_model_set_standardization(NULL, FEATURES, mean, mean));
    REFUSED(JEM_EINVAL, "channels is 2", jem_model_set_standardization(f.model, 2, mean, mean));
    REFUSED(JEM_EINVAL, "mean", jem_model_set_standardization(f.model, FEATURES, NULL, mean));
    REFUSED(JEM_EINVAL, "std", jem_model_set_standardization(f.model, FEATURES, mean, NULL));
    REFUSED(JEM_EINVAL, "std is 0", jem_model_set_standardization(f.model, FEATURES, mean, std));
    REFUSED(JEM_EINVAL, "mean", jem_model_set_standardization(f.model, 3, f.with_nan + 6, mean));
    REFUSED(JEM_EINVAL, "model", jem_input_from_u8(NULL, 1, f.images, 1, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_input_from_u8(f.model, -1, f.images, 1, f.out));
    REFUSED(JEM_EINVAL, "images", jem_input_from_u8(f.model, 1, NULL, 1, f.out));
    REFUSED(JEM_EINVAL, "layout is 0", jem_input_from_u8(f.model, 1, f.images, 0, f.out));
    REFUSED(JEM_EINVAL, "layout is 3", jem_input_from_u8(f.model, 1, f.images, 3, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_input_from_u8(f.model, 1, f.images, 1, NULL));
    REFUSED(JEM_EINVAL, "model", jem_input_to_u8(NULL, 1, f.x, 1, f.images));
    REFUSED(JEM_EINVAL, "n is 2147", jem_input_to_u8(f.model, too_many, f.x, 1, f.images));
    REFUSED(JEM_EINVAL, "layout is -1", jem_input_to_u8(f.model, 1, f.x, -1, f.images));
    REFUSED(JEM_EINVAL, "x is NULL", jem_input_to_u8(f.model, 1, NULL, 1, f.images));
    REFUSED(JEM_EINVAL, "images", jem_input_to_u8(f.model, 1, f.x, 1, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_input_to_u8(f.model, ROWS, f.with_nan, 1, f.images));
    REFUSED(JEM_EINVAL, "model", jem_input_from_float(NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_input_from_float(f.model, -1, f.x, f.out));
    REFUSED(JEM_EINVAL, "values is NULL", jem_input_from_float(f.model, 1, NULL, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_input_from_float(f.model, 1, f.x, NULL));
    REFUSED(JEM_EINVAL, "values is nan", jem_input_from_float(f.model, ROWS, f.with_nan, f.out));
    REFUSED(JEM_EINVAL, "model", jem_input_to_float(NULL, 1, f.x, f.out));
    REFUSED(JEM_EINVAL, "n is 2147", jem_input_to_float(f.model, too_many, f.x, f.out));
    REFUSED(JEM_EINVAL, "values is NULL", jem_input_to_float(f.model, 1, f.x, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_input_to_float(f.model, ROWS, f.with_nan, f.out));
}
END_TEST

// ---- sampler ------------------------------------------------------------------------------------

START_TEST(test_a_chain_of_each_class)
{
    jem_sampler_config config = support_sampler_config(CLASSES - 1, 1);
    jem_sampler *sampler = (jem_sampler *)&f;
    config.class_conditional = 1;
    config.capacity = CLASSES - 1;
    REFUSED(JEM_EINVAL, "a chain of each class", jem_sampler_create(&sampler, f.model, &config));
    ck_assert_ptr_null(sampler);
    config.capacity = CLASSES;
    MUST(jem_sampler_create(&sampler, f.model, &config));
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_sampler_starts)
{
    const jem_sampler_config config = support_sampler_config(4, 1);
    jem_sampler *sampler = (jem_sampler *)&f;
    REFUSED(JEM_EINVAL, "out is NULL", jem_sampler_create(NULL, f.model, &config));
    REFUSED(JEM_EINVAL, "model is NULL", jem_sampler_create(&sampler, NULL, &config));
    ck_assert_ptr_null(sampler);
    sampler = (jem_sampler *)&f;
    REFUSED(JEM_EINVAL, "config is NULL", jem_sampler_create(&sampler, f.model, NULL));
    ck_assert_ptr_null(sampler);
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_fit(NULL, 1, f.x, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is 0", jem_sampler_fit(f.sampler, 0, f.x, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is -3", jem_sampler_fit(f.sampler, -3, f.x, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is NULL", jem_sampler_fit(f.sampler, 1, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_sampler_fit(f.sampler, ROWS, f.with_nan, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "labels is 3",
            jem_sampler_fit(f.sampler, ROWS, f.x, f.past_end, NULL, NULL));
    REFUSED(JEM_EINVAL, "labels is -1",
            jem_sampler_fit(f.sampler, ROWS, f.x, f.negative, NULL, NULL));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_start(NULL, 1, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is -1", jem_sampler_start(f.sampler, -1, NULL, f.out));
    REFUSED(JEM_EINVAL, "n is 2147", jem_sampler_start(f.sampler, too_many, NULL, f.out));
    REFUSED(JEM_EINVAL, "x is NULL", jem_sampler_start(f.sampler, 1, NULL, NULL));
    REFUSED(JEM_EINVAL, "labels is 3", jem_sampler_start(f.sampler, ROWS, f.past_end, f.out));
    REFUSED(JEM_EINVAL, "fit", jem_sampler_start(f.unfitted, 1, NULL, f.out));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_reset(NULL));
}
END_TEST

START_TEST(test_sampler_chains)
{
    float x[ROWS * FEATURES];
    memcpy(x, f.x, sizeof x);
    REFUSED(JEM_EINVAL, "model", jem_sgld_step(NULL, f.sampler, 1, NULL, x));
    REFUSED(JEM_EINVAL, "sampler", jem_sgld_step(f.model, NULL, 1, NULL, x));
    REFUSED(JEM_EINVAL, "n is -1", jem_sgld_step(f.model, f.sampler, -1, NULL, x));
    REFUSED(JEM_EINVAL, "n is 2147", jem_sgld_step(f.model, f.sampler, too_many, NULL, x));
    REFUSED(JEM_EINVAL, "x is NULL", jem_sgld_step(f.model, f.sampler, 1, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_sgld_step(f.model, f.sampler, ROWS, NULL, f.with_nan));
    REFUSED(JEM_EINVAL, "labels is 3", jem_sgld_step(f.model, f.sampler, ROWS, f.past_end, x));
    REFUSED(JEM_EMISMATCH, "sampler", jem_sgld_step(f.other, f.sampler, 1, NULL, x));
    REFUSED(JEM_EMISMATCH, "3 classes", jem_sgld_step(f.fewer, f.sampler, 1, NULL, x));
    REFUSED(JEM_EINVAL, "steps", jem_sampler_run(f.model, f.sampler, 1, NULL, x, -1, NULL, NULL));
    REFUSED(JEM_EINVAL, "model", jem_sampler_run(NULL, f.sampler, 1, NULL, x, 1, NULL, NULL));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_run(f.model, NULL, 1, NULL, x, 1, NULL, NULL));
    support_same_bits(x, f.x, sizeof x, "rows of refused steps");
    MUST(jem_sgld_step(f.deeper, f.sampler, 1, NULL, x)); // other parameters are no mismatch
}
END_TEST

START_TEST(test_sampler_buffer)
{
    jem_sampler *s = f.sampler;
    REFUSED(JEM_EINVAL, "model", jem_sampler_draw(NULL, s, 1, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_draw(f.model, NULL, 1, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is -1", jem_sampler_draw(f.model, s, -1, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is 5; expected 0..4",
            jem_sampler_draw(f.model, s, 5, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "x is NULL", jem_sampler_draw(f.model, s, 1, NULL, NULL, NULL, NULL));
    REFUSED(JEM_EMISMATCH, "sampler", jem_sampler_draw(f.other, s, 1, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "fit", jem_sampler_draw(f.model, f.unfitted, 1, f.out, NULL, NULL, NULL));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_get_chains(NULL, 0, 1, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "first is -1", jem_sampler_get_chains(s, -1, 1, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "first is 5", jem_sampler_get_chains(s, 5, 0, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is 2; expected 0..1",
            jem_sampler_get_chains(s, 3, 2, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is 9", jem_sampler_get_chains(s, 3, INT64_MAX, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "n is -1", jem_sampler_get_chains(s, 0, -1, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "fit", jem_sampler_get_chains(f.unfitted, 0, 1, f.out, NULL, NULL));
    REFUSED(JEM_EINVAL, "sampler", jem_sampler_set_chains(NULL, 0, 1, f.x));
    REFUSED(JEM_EINVAL, "first is 5", jem_sampler_set_chains(s, 5, 1, f.x));
    REFUSED(JEM_EINVAL, "n is 5", jem_sampler_set_chains(s, 0, 5, f.x));
    REFUSED(JEM_EINVAL, "x is NULL", jem_sampler_set_chains(s, 0, 1, NULL));
    REFUSED(JEM_EINVAL, "x is nan", jem_sampler_set_chains(s, 0, ROWS, f.with_nan));
    REFUSED(JEM_EINVAL, "fit", jem_sampler_set_chains(f.unfitted, 0, 1, f.x));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_logits);
    tcase_add_test(tcase, test_energy);
    tcase_add_test(tcase, test_score);
    tcase_add_test(tcase, test_explain);
    tcase_add_test(tcase, test_model_create);
    tcase_add_test(tcase, test_model_copies);
    tcase_add_test(tcase, test_model_parameters);
    tcase_add_test(tcase, test_model_rest);
    tcase_add_test(tcase, test_metadata);
    tcase_add_test(tcase, test_class_names);
    tcase_add_test(tcase, test_inputs);
    tcase_add_test(tcase, test_a_chain_of_each_class);
    tcase_add_test(tcase, test_sampler_starts);
    tcase_add_test(tcase, test_sampler_chains);
    tcase_add_test(tcase, test_sampler_buffer);
}

int main(void)
{
    return support_main("API arguments", add_tests);
}
