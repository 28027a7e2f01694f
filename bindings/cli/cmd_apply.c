/*
 * jem logits, energy, grad and score: a model applied to the rows of a .npy file, batch by batch,
 * the results written to another. The four differ in one call and the shape of a result.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "layout.h"
#include "range_watch.h"
#include "rows.h"
#include "score_names.h"
#include "stop.h"

typedef struct args_t {
    const char *model, *in, *out, *labels, *kind;
    int32_t layout;
    int64_t batch;
    double temperature;
    cli_exec_args exec;
} args_t;

/* clang-format off */
#define COMMON_ROWS                                                                                \
    CLI_ROW_HEADING("Options"),                                                                    \
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),     \
    CLI_ROWS_ROW(args_t, in),                                                                      \
    CLI_LAYOUT_ROW(args_t, layout),                                                                \
    CLI_ROW_OUTPUT("out", args_t, out, "Y.npy", "the file to write, float32", CLI_REQUIRED),         \
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows computed at once", 0),                     \
    CLI_EXEC_ROWS(args_t, exec)
#define LABELS_ROW                                                                                 \
    CLI_ROW_INPUT("labels", args_t, labels, "L.npy",                                                \
                 "labels, (n): E(x, y) is taken instead of E(x)", 0)
/* clang-format on */

static const cli_option plain_options[] = {COMMON_ROWS, CLI_ROW_END};
static const cli_option label_options[] = {COMMON_ROWS, LABELS_ROW, CLI_ROW_END};
static const cli_option score_options[] = {
    COMMON_ROWS,
    CLI_ROW_TEXT("kind", args_t, kind, "NAME", "which score, see above", 0),
    CLI_ROW_NUMBER("temperature", args_t, temperature, 0, FLT_MAX,
                   "of energy, max-softmax, entropy and gen: of softmax(f / X)", CLI_ABOVE),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.batch = 256, .kind = "energy", .temperature = 1.0};
}

typedef struct work {
    const args_t *args;
    jem_model *model;
    jem_model_info info;
    cli_rows rows;
    int64_t *labels; // NULL = none
    int32_t kind;    // of score, and its numbers
    jem_score_config score;
    float *x, *y; // one batch of inputs and results
    cli_range_watch watch;
} work;

// What a subcommand computes for n rows of w->x, into w->y.
typedef jem_status (*compute_fn)(const work *w, int64_t n, const int64_t *labels);

// ---- input -------------------------------------------------------------------------------------

static cli_status load_labels(work *w, cli_error *err)
{
    cli_npy npy;
    CLI_TRY(cli_npy_read(&npy, w->args->labels, err));
    cli_status status = cli_npy_to_labels(&npy, &w->labels, err);
    if (status == CLI_OK && npy.count != w->rows.n)
        status = cli_fail(err, "%s has %lld labels; expected %lld, one per row", npy.path,
                          (long long)npy.count, (long long)w->rows.n);
    for (int64_t i = 0; status == CLI_OK && i < w->rows.n; i++)
        if (w->labels[i] >= w->info.classes)
            status = cli_fail(err, "%s: label %lld of row %lld is out of range; expected 0..%d",
                              npy.path, (long long)w->labels[i], (long long)i, w->info.classes - 1);
    cli_npy_free(&npy);
    return status;
}

// ---- the run -----------------------------------------------------------------------------------

static cli_status prepare(work *w, int64_t result_size, cli_error *err)
{
    const args_t *args = w->args;
    const cli_rows_args asked = {args->in, args->layout, false, false, args->batch};
    CLI_TRY(cli_rows_open(&w->rows, w->model, &asked, err));
    if (args->labels != NULL)
        CLI_TRY(load_labels(w, err));
    CLI_TRY(cli_alloc(&w->x, args->batch * w->info.input_size, sizeof *w->x, err));
    return cli_alloc(&w->y, args->batch * result_size, sizeof *w->y, err);
}

static cli_status apply_batches(work *w, compute_fn compute, int64_t result_size,
                                cli_output *output, cli_error *err)
{
    for (int64_t first = 0, n; first < w->rows.n; first += n) {
        if (cli_stop_signal() != 0)
            return cli_stopped(err, cli_stop_signal(), "stopped by %s; nothing was written",
                               cli_stop_name());
        CLI_TRY(cli_rows_next(&w->rows, w->x, &n, err));
        CLI_TRY(cli_range_watch_rows(&w->watch, n, w->x, err));
        CLI_TRY(cli_jem(err, compute(w, n, w->labels != NULL ? w->labels + first : NULL)));
        cli_range_watch_results(&w->watch, first, n, result_size, w->y);
        CLI_TRY(cli_output_write(output, w->y, (size_t)(n * result_size) * sizeof *w->y, err));
    }
    return CLI_OK;
}

// A result row has the given shape: `rank` sizes, none for a single number.
static cli_status write_results(work *w, compute_fn compute, int rank, const int64_t *sizes,
                                int64_t result_size, cli_error *err)
{
    int64_t shape[CLI_NPY_RANK_MAX] = {w->rows.n};
    for (int i = 0; i < rank; i++)
        shape[i + 1] = sizes[i];
    cli_output output;
    CLI_TRY(cli_output_open(&output, w->args->out, err));
    cli_status status = cli_npy_write_header(&output, rank + 1, shape, err);
    if (status == CLI_OK)
        status = apply_batches(w, compute, result_size, &output, err);
    if (status == CLI_OK)
        return cli_output_commit(&output, err);
    cli_output_discard(&output);
    return status;
}

typedef enum result_shape { ONE_NUMBER, ONE_PER_CLASS, LIKE_INPUT } result_shape;

static cli_status apply_loaded(work *w, compute_fn compute, result_shape form, cli_error *err)
{
    CLI_TRY(cli_model_info(w->model, &w->info, err));
    const jem_model_info *info = &w->info;
    const int64_t image[] = {info->channels, info->height, info->width};
    const int64_t classes[] = {info->classes};
    const int64_t result_size = form == LIKE_INPUT      ? info->input_size
                                : form == ONE_PER_CLASS ? info->classes
                                                        : 1;
    CLI_TRY(prepare(w, result_size, err));
    cli_stop_catch(); // not before, so that a signal ends a program that waits for its input
    CLI_TRY(cli_range_watch_begin(&w->watch, w->model, w->args->batch, err));
    CLI_TRY(write_results(w, compute, form == LIKE_INPUT ? 3 : form == ONE_PER_CLASS,
                          form == LIKE_INPUT ? image : classes, result_size, err));
    cli_range_watch_say(&w->watch, w->rows.path, NULL);
    return CLI_OK;
}

static cli_status fill_score(work *w, cli_error *err)
{
    CLI_TRY(cli_score_find(w->args->kind, &w->kind, err));
    CLI_TRY(cli_jem(err, jem_score_config_init(&w->score, sizeof w->score)));
    w->score.temperature = (float)w->args->temperature;
    return CLI_OK;
}

static cli_status apply(const args_t *args, compute_fn compute, result_shape form, cli_error *err)
{
    work w = {.args = args};
    CLI_TRY(fill_score(&w, err));
    cli_status status = cli_model_load(&w.model, args->model, &args->exec, err);
    if (status == CLI_OK)
        status = apply_loaded(&w, compute, form, err);
    cli_rows_close(&w.rows);
    free(w.labels);
    free(w.x);
    free(w.y);
    cli_range_watch_end(&w.watch);
    jem_model_destroy(w.model);
    return status;
}

// ---- the four ----------------------------------------------------------------------------------

static jem_status compute_logits(const work *w, int64_t n, const int64_t *labels)
{
    (void)labels;
    return jem_logits(w->model, n, w->x, w->y);
}

static jem_status compute_energy(const work *w, int64_t n, const int64_t *labels)
{
    return jem_energy(w->model, n, w->x, labels, w->y);
}

static jem_status compute_grad(const work *w, int64_t n, const int64_t *labels)
{
    return jem_energy_grad(w->model, n, w->x, labels, NULL, w->y);
}

static jem_status compute_score(const work *w, int64_t n, const int64_t *labels)
{
    (void)labels;
    return jem_score(w->model, w->kind, &w->score, n, w->x, w->y);
}

static cli_status run_logits(const void *args, cli_error *err)
{
    return apply(args, compute_logits, ONE_PER_CLASS, err);
}

static cli_status run_energy(const void *args, cli_error *err)
{
    return apply(args, compute_energy, ONE_NUMBER, err);
}

static cli_status run_grad(const void *args, cli_error *err)
{
    return apply(args, compute_grad, LIKE_INPUT, err);
}

static cli_status run_score(const void *args, cli_error *err)
{
    return apply(args, compute_score, ONE_NUMBER, err);
}

const cli_command cli_logits = {
    .name = "logits",
    .summary = "class logits of the rows of a .npy file",
    .usage = "--model FILE --in X.npy --out Y.npy [options]",
    .description = "Writes the class logits f(x) of every row, (n, classes). Their softmax is "
                   "p(y|x).",
    .options = plain_options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run_logits,
};

const cli_command cli_energy = {
    .name = "energy",
    .summary = "energies of the rows of a .npy file",
    .usage = "--model FILE --in X.npy --out Y.npy [--labels L.npy] [options]",
    .description = "Writes the energy of every row, (n): E(x) = -logsumexp f(x), or with labels "
                   "E(x, y) = -f(x)[y]. Low = usual.",
    .options = label_options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run_energy,
};

const cli_command cli_grad = {
    .name = "grad",
    .summary = "gradients of the energy with respect to the input",
    .usage = "--model FILE --in X.npy --out Y.npy [--labels L.npy] [options]",
    .description = "Writes dE/dx of every row, (n, C, H, W).",
    .options = label_options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run_grad,
};

const cli_command cli_score = {
    .name = "score",
    .summary = "outlier scores of the rows of a .npy file",
    .usage = "--model FILE --in X.npy --out Y.npy [--kind NAME] [options]",
    .description = "Writes an outlier score of every row, (n). High = unusual, whatever the kind.",
    .print_more = cli_score_print_kinds,
    .options = score_options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run_score,
};
