/*
 * A row of the table is a layer and a direction; steps of several models belong to it when their
 * texts name the same node and direction. The rounding of a source to bfloat16 and the reordering
 * of finished weight gradients count as part of the step that needs them.
 */
#include "bench_tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISIONS = 3, KERNEL = 64 };

static const struct {
    const char *name;
    int32_t precision;
} columns[PRECISIONS] = {
    {"f32", JEM_PRECISION_F32},
    {"f32-strict", JEM_PRECISION_F32_STRICT},
    {"bf16", JEM_PRECISION_BF16},
};

enum { F32, STRICT };

static const double slower = 1.1; // than direct convolution: worth a second thought

// Of the forward convolution. A linear layer is a 1x1 convolution of single pixels.
typedef struct shape {
    int64_t n, in, out, h, w, kernel, stride;
} shape;

typedef struct choice {
    char kernel[KERNEL];
    double *ms; // of each round
    double median;
} choice;

typedef struct row {
    int node;
    const char *direction;
    shape shape;
    choice choices[PRECISIONS];
} row;

typedef struct tune {
    row *rows;
    int n_rows, max_rows;
    int64_t rounds, round;
    int column;
    double rounding; // seconds that belong to the next step
    row *last;
    bool out_of_memory;
} tune;

// ---- what the text of a step says --------------------------------------------------------------

typedef struct tensor {
    int64_t n, c, h, w;
} tensor;

typedef struct parsed {
    int node;
    const char *direction;
    const char *kernel;
    bool linear;
    tensor src, dst;
} parsed;

#define TENSOR "%" SCNd64 "x%" SCNd64 "x%" SCNd64 "x%" SCNd64

// "backward: node 5 convolution: 16x32x14x14 nChw16c, 16x32x28x28 nChw16c + sum: own direct"
static bool parse(const char *text, parsed *out)
{
    char half[16], name[64];
    tensor *s = &out->src, *d = &out->dst;
    if (sscanf(text, "%15[a-z]: node %d %63[^:]: " TENSOR " %*[^,], " TENSOR, half, &out->node,
               name, &s->n, &s->c, &s->h, &s->w, &d->n, &d->c, &d->h, &d->w) != 11)
        return false;
    out->direction = strcmp(half, "forward") == 0               ? "forward"
                     : strstr(name, "backward weights") != NULL ? "weights"
                                                                : "data";
    out->linear = strstr(name, "linear") != NULL;
    for (const char *at = text; (at = strstr(at, ": ")) != NULL;)
        out->kernel = at += 2;
    return true;
}

// The kernel is what remains of the multiply-adds.
static shape shape_of(const parsed *p, int64_t macs)
{
    const bool data = strcmp(p->direction, "data") == 0;
    const tensor in = data ? p->dst : p->src, out = data ? p->src : p->dst;
    if (p->linear)
        return (shape){in.n, in.c * in.h * in.w, out.c, 1, 1, 1, 1};
    const int64_t taps = macs / (in.n * in.c * out.c * out.h * out.w);
    return (shape){
        in.n, in.c, out.c, in.h, in.w, llround(sqrt((double)taps)), (in.h + out.h - 1) / out.h};
}

// ---- measurement -------------------------------------------------------------------------------

static row *new_row(tune *t, const parsed *p, int64_t macs)
{
    if (t->n_rows == t->max_rows) {
        const int more = 2 * t->max_rows + 32;
        row *rows = realloc(t->rows, (size_t)more * sizeof *rows);
        if (rows == NULL)
            return NULL;
        t->rows = rows;
        t->max_rows = more;
    }
    row *r = &t->rows[t->n_rows];
    *r = (row){.node = p->node, .direction = p->direction, .shape = shape_of(p, macs)};
    double *ms = calloc((size_t)(PRECISIONS * t->rounds), sizeof *ms);
    if (ms == NULL)
        return NULL;
    for (int c = 0; c < PRECISIONS; c++)
        r->choices[c].ms = ms + c * t->rounds;
    t->n_rows++;
    return r;
}

static row *find_row(tune *t, const parsed *p, int64_t macs)
{
    for (int i = 0; i < t->n_rows; i++)
        if (t->rows[i].node == p->node && strcmp(t->rows[i].direction, p->direction) == 0)
            return &t->rows[i];
    return new_row(t, p, macs);
}

static void note_step(void *user, const jem_step_info *step)
{
    tune *t = user;
    parsed p = {.kernel = step->text};
    if (strstr(step->text, " to bf16: ") != NULL)
        t->rounding = step->seconds;
    if (strstr(step->text, " reorder of diff_weights: ") != NULL && t->last != NULL)
        t->last->choices[t->column].ms[t->round] += 1e3 * step->seconds;
    if (step->macs == 0 || !parse(step->text, &p))
        return;
    t->last = find_row(t, &p, step->macs);
    if (t->last == NULL) {
        t->out_of_memory = true;
        return;
    }
    choice *chosen = &t->last->choices[t->column];
    snprintf(chosen->kernel, sizeof chosen->kernel, "%s", p.kernel);
    chosen->ms[t->round] = 1e3 * (step->seconds + t->rounding);
    t->rounding = 0.0;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void take_medians(tune *t)
{
    for (int i = 0; i < t->n_rows; i++)
        for (int c = 0; c < PRECISIONS; c++) {
            choice *chosen = &t->rows[i].choices[c];
            qsort(chosen->ms, (size_t)t->rounds, sizeof *chosen->ms, compare);
            chosen->median = 0.5 * (chosen->ms[(t->rounds - 1) / 2] + chosen->ms[t->rounds / 2]);
        }
}

// Precisions take turns, so that none has the quiet minutes of the machine to itself.
static cli_status measure(tune *t, jem_model *const *models, int32_t what, int64_t n,
                          cli_error *err)
{
    for (t->round = 0; t->round < t->rounds; t->round++)
        for (t->column = 0; t->column < PRECISIONS; t->column++) {
            t->last = NULL;
            CLI_TRY(cli_jem(err, jem_model_profile(models[t->column], what, n, 1, note_step, t)));
        }
    if (t->out_of_memory)
        return cli_fail(err, "out of memory");
    take_medians(t);
    return CLI_OK;
}

// ---- report ------------------------------------------------------------------------------------

static int fastest(const row *r)
{
    int best = 0;
    for (int c = 1; c < PRECISIONS; c++)
        if (r->choices[c].median < r->choices[best].median)
            best = c;
    return best;
}

// Two times of one kernel only tell how noisy the machine is.
static bool doubtful(const row *r)
{
    const choice *chosen = &r->choices[F32], *direct = &r->choices[STRICT];
    return strcmp(chosen->kernel, direct->kernel) != 0 && chosen->median > slower * direct->median;
}

static json_t *row_json(const row *r)
{
    const shape *s = &r->shape;
    json_t *json = json_pack(
        "{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b}", "node", r->node, "direction",
        r->direction, "n", (json_int_t)s->n, "in", (json_int_t)s->in, "out", (json_int_t)s->out,
        "h", (json_int_t)s->h, "w", (json_int_t)s->w, "kernel", (json_int_t)s->kernel, "stride",
        (json_int_t)s->stride, "fastest", columns[fastest(r)].name, "doubtful", doubtful(r));
    for (int c = 0; c < PRECISIONS; c++)
        json_object_set_new(
            json, columns[c].name,
            json_pack("{s:s, s:f}", "kernel", r->choices[c].kernel, "ms", r->choices[c].median));
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
    printf("%c %4d %-8s %-40s", doubtful(r) ? '*' : ' ', r->node, r->direction, text);
    for (int c = 0; c < PRECISIONS; c++)
        printf(" %10.3f", r->choices[c].median);
    printf("  %-10s ", columns[fastest(r)].name);
    for (int c = 0; c < PRECISIONS; c++)
        printf("%s%s", c > 0 ? " | " : " ", r->choices[c].kernel);
    putchar('\n');
}

static void print_table(const tune *t)
{
    printf("\n  node %-8s %-40s", "", "rows, in -> out, image, kernel / stride");
    for (int c = 0; c < PRECISIONS; c++)
        printf(" %10s", columns[c].name);
    printf("  %-10s  kernels of each\n", "fastest");
    for (int i = 0; i < t->n_rows; i++)
        print_row(&t->rows[i]);
    puts("\nMilliseconds, with the activations and sums that a kernel does along the way.\n"
         "* f32's kernel is slower than f32-strict's by more than 10 %: lib/backend/onednn/choose.c"
         "\n  should be revisited for this shape.");
}

static void report_rows(cli_report *report, const tune *t)
{
    if (report->root == NULL) {
        print_table(t);
        return;
    }
    json_t *rows = json_array();
    for (int i = 0; i < t->n_rows; i++)
        json_array_append_new(rows, row_json(&t->rows[i]));
    json_object_set_new(report->root, "tune", rows);
}

static cli_status create_models(jem_model **models, const jem_model *model,
                                const cli_exec_args *args, cli_error *err)
{
    jem_exec_config exec;
    CLI_TRY(cli_exec_config(args, &exec, err));
    for (int c = 0; c < PRECISIONS; c++) {
        exec.precision_scoring = exec.precision_chains = exec.precision_training =
            columns[c].precision;
        CLI_TRY(cli_jem(err, jem_model_clone(&models[c], model, &exec)));
    }
    return CLI_OK;
}

cli_status cli_bench_tune(cli_report *report, const jem_model *model, const cli_exec_args *exec,
                          int32_t what, int64_t n, int64_t runs, cli_error *err)
{
    jem_model *models[PRECISIONS] = {NULL};
    tune t = {.rounds = runs};
    cli_status status = create_models(models, model, exec, err);
    if (status == CLI_OK)
        status = measure(&t, models, what, n, err);
    if (status == CLI_OK)
        report_rows(report, &t);
    for (int i = 0; i < t.n_rows; i++)
        free(t.rows[i].choices[0].ms); // the first of one block
    free(t.rows);
    for (int c = 0; c < PRECISIONS; c++)
        jem_model_destroy(models[c]);
    return status;
}
