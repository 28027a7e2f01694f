/*
 * A model for each kernel, which takes it for all layers that it can do, shows what they cost
 * there. Layers of one shape are a row of the report; their times are summed.
 *
 * Activations, sums and reorderings that one kernel does along and another leaves to passes count
 * as part of the layer that they follow, or prepare.
 */
#include "bench_tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "median.h"

static const struct {
    const char *name; // as jem_exec_config has it
    const char *row;  // in the library's table
} kernels[] = {
    {"winograd", "WINOGRAD"}, {"direct-bf16", "DIRECT_BF16"}, {"direct", "DIRECT"},
    {"stem", "STEM"},         {"onednn", "ONEDNN"},
};

// In the library's table, by JEM_STEP_*.
static const char *const directions[] = {"", "FORWARD", "TRANSPOSED", "WEIGHTS"};

// A model for each, and one that computes as it was asked to.
enum { KERNELS = sizeof kernels / sizeof kernels[0], MODELS, ASKED = KERNELS, RUNS = 3 };

static const double slower = 1.1; // than the fastest: worth a row of the table

// Of the forward convolution. A linear layer is a 1x1 convolution of single pixels.
typedef struct shape {
    int64_t n, in, out, h, w, kernel, stride;
} shape;

typedef struct row {
    int32_t direction; // JEM_STEP_*
    shape shape;
    int layers;
    int kernel[MODELS]; // which one the model took; -1 = not run yet
    double *ms[MODELS]; // of each round
    double median[MODELS];
} row;

typedef struct tune {
    row *rows;
    int n_rows, max_rows;
    int64_t rounds, round;
    int model;
    int last;         // row of the last layer, -1 = none yet
    int waiting_node; // of passes that no layer has been charged for
    double waiting;   // their seconds
    bool out_of_memory;
    const char *stranger; // kernel whose model has a layer that the one it is compared with lacks
    const char *isa;      // in the library's table
    int onednn;           // major version
} tune;

// ---- what a step is ----------------------------------------------------------------------------

static int kernel_of(const jem_step_info *step)
{
    int k = 0;
    while (k < KERNELS - 1 && strcmp(step->kernel, kernels[k].name) != 0)
        k++;
    return k;
}

static shape shape_of(const jem_step_info *step)
{
    const bool transposed = step->direction == JEM_STEP_TRANSPOSED;
    const int64_t *in = transposed ? step->dst : step->src;
    const int64_t *out = transposed ? step->src : step->dst, *weight = step->weight;
    if (strcmp(step->op, "linear") == 0)
        return (shape){in[0], weight[1], weight[0], 1, 1, 1, 1};
    const int64_t stride = (in[2] + out[2] - 1) / out[2];
    return (shape){in[0], weight[1], weight[0], in[2], in[3], weight[2], stride};
}

// ---- measurement -------------------------------------------------------------------------------

static int new_row(tune *t, int32_t direction, const shape *s)
{
    if (t->n_rows == t->max_rows) {
        const int more = 2 * t->max_rows + 32;
        row *rows = realloc(t->rows, (size_t)more * sizeof *rows);
        if (rows == NULL)
            return -1;
        t->rows = rows;
        t->max_rows = more;
    }
    row *r = &t->rows[t->n_rows];
    *r = (row){.direction = direction, .shape = *s};
    double *ms = calloc((size_t)(MODELS * t->rounds), sizeof *ms);
    if (ms == NULL)
        return -1;
    for (int m = 0; m < MODELS; m++) {
        r->ms[m] = ms + m * t->rounds;
        r->kernel[m] = -1;
    }
    return t->n_rows++;
}

static int find_row(tune *t, int32_t direction, const shape *s)
{
    for (int i = 0; i < t->n_rows; i++)
        if (t->rows[i].direction == direction && memcmp(&t->rows[i].shape, s, sizeof *s) == 0)
            return i;
    return t->model == ASKED ? new_row(t, direction, s) : -1;
}

static void charge(tune *t, double seconds)
{
    if (t->last >= 0)
        t->rows[t->last].ms[t->model][t->round] += 1e3 * seconds;
}

// Whatever waits for the next layer belongs to the one before, unless that next one is of its node.
static void settle(tune *t, int node)
{
    if (t->waiting_node == node)
        return;
    charge(t, t->waiting);
    t->waiting = 0.0;
    t->waiting_node = node;
}

static void note_pass(tune *t, const jem_step_info *step)
{
    static const char *const along[] = {"activation", "sum", "to layout", "to canonical",
                                        "to bf16"};
    if (strcmp(step->op, "reorder") == 0) // of the weights' gradient that was just computed
        charge(t, step->seconds);
    for (size_t i = 0; i < sizeof along / sizeof along[0]; i++)
        if (strcmp(step->op, along[i]) == 0) {
            settle(t, step->node);
            t->waiting += step->seconds;
        }
}

static void note_step(void *user, const jem_step_info *step)
{
    tune *t = user;
    if (step->macs == 0) {
        note_pass(t, step);
        return;
    }
    settle(t, step->node);
    const shape s = shape_of(step);
    t->last = find_row(t, step->direction, &s);
    if (t->last < 0) {
        t->out_of_memory |= t->model == ASKED;
        if (t->model != ASKED)
            t->stranger = kernels[t->model].name;
        return;
    }
    row *r = &t->rows[t->last];
    r->layers += t->round == 0 && t->model == ASKED;
    r->kernel[t->model] = kernel_of(step);
    charge(t, step->seconds + t->waiting);
    t->waiting = 0.0;
}

// One model at a time: packed weights of large networks take gigabytes.
static cli_status measure_model(tune *t, const jem_model *model, jem_exec_config exec, int32_t what,
                                int64_t n, cli_error *err)
{
    jem_model *clone;
    if (t->model != ASKED)
        exec.kernel = kernels[t->model].name;
    CLI_TRY(cli_jem(err, jem_model_clone(&clone, model, &exec)));
    t->last = t->waiting_node = -1;
    const cli_status status = cli_jem(err, jem_model_profile(clone, what, n, RUNS, note_step, t));
    settle(t, -1);
    jem_model_destroy(clone);
    return status;
}

static void take_medians(tune *t)
{
    for (int i = 0; i < t->n_rows; i++)
        for (int m = 0; m < MODELS; m++) {
            double *ms = t->rows[i].ms[m];
            cli_sort(ms, t->rounds);
            t->rows[i].median[m] = cli_median(ms, t->rounds);
        }
}

// Kernels take turns, so that none has the quiet minutes of the machine to itself.
static cli_status measure(tune *t, const jem_model *model, const jem_exec_config *exec,
                          int32_t what, int64_t n, cli_error *err)
{
    for (t->round = 0; t->round < t->rounds; t->round++)
        for (t->model = ASKED; t->model >= 0; t->model--)
            CLI_TRY(measure_model(t, model, *exec, what, n, err));
    if (t->out_of_memory)
        return cli_fail(err, "out of memory");
    if (t->stranger != NULL)
        return cli_fail(err,
                        "--tune cannot compare kernels: %s describes a layer otherwise than the "
                        "model that it was asked about",
                        t->stranger);
    take_medians(t);
    return CLI_OK;
}

// ---- verdicts ----------------------------------------------------------------------------------

// Models that cannot take their own kernel measure another one once more. INFINITY: nobody took it.
static double ms_of(const row *r, int kernel)
{
    double ms = INFINITY;
    for (int m = 0; m < MODELS; m++)
        if (r->kernel[m] == kernel)
            ms = fmin(ms, r->median[m]);
    return ms;
}

static int fastest(const row *r)
{
    int best = 0;
    for (int k = 1; k < KERNELS; k++)
        if (ms_of(r, k) < ms_of(r, best))
            best = k;
    return best;
}

static bool deserves_row(const row *r)
{
    return ms_of(r, r->kernel[ASKED]) > slower * ms_of(r, fastest(r));
}

static bool involves(const row *r, const char *kernel)
{
    return strcmp(kernels[r->kernel[ASKED]].name, kernel) == 0 ||
           strcmp(kernels[fastest(r)].name, kernel) == 0;
}

// As lib/backend/cpu/choice_table.c has it. f32 kernels are chosen alike in f32 and bf16.
static void format_row(const tune *t, const row *r, char *text, size_t size)
{
    const shape *s = &r->shape;
    const int chosen = r->kernel[ASKED], best = fastest(r);
    snprintf(text, size,
             "ROW(%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
             ", %s, %s, %s, %d, %s), // %.3f, %s %.3f",
             s->in, s->out, s->h, s->w, s->kernel, s->stride, directions[r->direction],
             involves(r, "direct-bf16") ? "BF16" : "F32", t->isa,
             involves(r, "onednn") ? t->onednn : 0, kernels[best].row, ms_of(r, best),
             kernels[chosen].row, ms_of(r, chosen));
}

// ---- report ------------------------------------------------------------------------------------

enum { LINE = 160 };

static json_t *row_json(const tune *t, const row *r)
{
    const shape *s = &r->shape;
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:s, s:s, s:{}}", "direction",
        directions[r->direction], "n", (json_int_t)s->n, "in", (json_int_t)s->in, "out",
        (json_int_t)s->out, "h", (json_int_t)s->h, "w", (json_int_t)s->w, "kernel",
        (json_int_t)s->kernel, "stride", (json_int_t)s->stride, "layers", r->layers, "chosen",
        kernels[r->kernel[ASKED]].row, "fastest", kernels[fastest(r)].row, "ms");
    for (int k = 0; k < KERNELS; k++)
        if (isfinite(ms_of(r, k)))
            json_object_set_new(json_object_get(json, "ms"), kernels[k].row,
                                json_real(ms_of(r, k)));
    char text[LINE];
    format_row(t, r, text, sizeof text);
    json_object_set_new(json, "row", deserves_row(r) ? json_string(text) : json_null());
    return json;
}

static void print_row(const row *r)
{
    const shape *s = &r->shape;
    char text[96];
    snprintf(text, sizeof text,
             "%" PRId64 ", %" PRId64 " -> %" PRId64 ", %" PRId64 "x%" PRId64 ", %" PRId64
             "x%" PRId64 " / %" PRId64,
             s->n, s->in, s->out, s->h, s->w, s->kernel, s->kernel, s->stride);
    printf("%c %6d %-10s %-40s %-12s", deserves_row(r) ? '*' : ' ', r->layers,
           directions[r->direction], text, kernels[r->kernel[ASKED]].row);
    for (int k = 0; k < KERNELS; k++)
        if (isfinite(ms_of(r, k)))
            printf(" %12.3f", ms_of(r, k));
        else
            printf(" %12s", "-");
    putchar('\n');
}

static void print_table(const tune *t)
{
    int n_deserved = 0;
    printf("\n  layers %-10s %-40s %-12s", "", "rows, in -> out, image, kernel / stride", "chosen");
    for (int k = 0; k < KERNELS; k++)
        printf(" %12s", kernels[k].row);
    putchar('\n');
    for (int i = 0; i < t->n_rows; i++) {
        print_row(&t->rows[i]);
        n_deserved += deserves_row(&t->rows[i]);
    }
    puts("\nMilliseconds, with the activations and sums that a kernel does along the way.");
    if (n_deserved == 0) {
        puts("The table is right: no kernel is faster than the chosen one by more than 10 %.");
        return;
    }
    puts("* Another kernel is faster by more than 10 %. What is so in several runs is a row of\n"
         "  lib/backend/cpu/choice_table.c:\n");
    for (int i = 0; i < t->n_rows; i++) {
        char text[LINE];
        format_row(t, &t->rows[i], text, sizeof text);
        if (deserves_row(&t->rows[i]))
            printf("    %s\n", text);
    }
}

static void report_rows(cli_report *report, const tune *t)
{
    if (report->root == NULL) {
        print_table(t);
        return;
    }
    json_t *rows = json_array();
    for (int i = 0; i < t->n_rows; i++)
        json_array_append_new(rows, row_json(t, &t->rows[i]));
    json_object_set_new(report->root, "tune", rows);
}

// What the table's rows are for, besides the layer.
static cli_status read_machine(tune *t, cli_error *err)
{
    const char *version = NULL;
    int avx512 = 0, bf16 = 0;
    json_t *info = json_loads(jem_build_info(), 0, NULL);
    if (info == NULL || json_unpack(info, "{s:{s:s}, s:{s:b, s:b}}", "onednn", "version", &version,
                                    "kernels", "avx512", &avx512, "bf16", &bf16) != 0) {
        json_decref(info);
        return cli_fail(err, "jem_build_info() does not tell what --tune needs");
    }
    t->onednn = atoi(version);
    t->isa = bf16 ? "AVX512_BF16" : avx512 ? "AVX512" : "OTHER";
    json_decref(info);
    return CLI_OK;
}

cli_status cli_bench_tune(cli_report *report, const jem_model *model, const jem_exec_config *exec,
                          int32_t what, int64_t n, int64_t rounds, cli_error *err)
{
    tune t = {.rounds = rounds};
    cli_status status = read_machine(&t, err);
    if (status == CLI_OK)
        status = measure(&t, model, exec, what, n, err);
    if (status == CLI_OK)
        report_rows(report, &t);
    for (int i = 0; i < t.n_rows; i++)
        free(t.rows[i].ms[0]); // the first of one block
    free(t.rows);
    return status;
}
