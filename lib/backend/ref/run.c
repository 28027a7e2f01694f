/*
 * The walk over the node list: forward in order, backward in reverse, each node's gradient complete
 * before it is passed on, because all its readers come later in the list. A node sees all rows
 * before the next one does, so that batch normalisation finds its batch. The double entry for tests
 * is here; the float one, a backend like any other, in backend.c.
 */
#include <string.h>

#include "backend/ref/nodes.h"
#include "backend/ref/ref.h"
#include "backend/ref/run.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/grain.h"

static jem_status allocate(jemi_ref_workspace *ws, int64_t rows, bool with_grads)
{
    size_t count = 0;
    const size_t n_states = (size_t)ws->graph->state_count;
    const bool with_statistics = ws->mode != JEMI_MODE_EVAL && n_states > 0;
    if (jemi_mul((size_t)rows, (size_t)ws->row_size, &count))
        ws->values = jemi_alloc(count, sizeof *ws->values);
    if (with_grads && ws->values != NULL)
        ws->grads = jemi_alloc(count, sizeof *ws->grads);
    if (with_statistics)
        ws->statistics = jemi_calloc(n_states, sizeof *ws->statistics);
    if (ws->values == NULL || (with_grads && ws->grads == NULL) ||
        (with_statistics && ws->statistics == NULL))
        return jemi_fail_memory("reference workspace");
    ws->bytes = (size_t)ws->graph->n_nodes * sizeof *ws->offset +
                count * (with_grads ? 2 : 1) * sizeof *ws->values +
                (with_statistics ? n_states * sizeof *ws->statistics : 0);
    return JEM_OK;
}

jem_status jemi_ref_workspace_init(jemi_ref_workspace *ws, const jemi_graph *graph, int64_t rows,
                                   bool with_grads, jemi_mode mode)
{
    *ws = (jemi_ref_workspace){.graph = graph, .mode = mode};
    ws->offset = jemi_alloc((size_t)graph->n_nodes, sizeof *ws->offset);
    if (ws->offset == NULL)
        return jemi_fail_memory("reference workspace");
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        ws->offset[i] = ws->row_size;
        ws->row_size += jemi_shape_size(graph->nodes[i].shape);
    }
    const jem_status status = allocate(ws, rows, with_grads);
    if (status != JEM_OK)
        jemi_ref_workspace_fini(ws);
    return status;
}

void jemi_ref_workspace_fini(jemi_ref_workspace *ws)
{
    jemi_free(ws->offset);
    jemi_free(ws->values);
    jemi_free(ws->grads);
    jemi_free(ws->statistics);
    *ws = (jemi_ref_workspace){0};
}

double *jemi_ref_value(const jemi_ref_workspace *ws, int64_t row, int32_t node)
{
    return ws->values + row * ws->row_size + ws->offset[node];
}

double *jemi_ref_grad(const jemi_ref_workspace *ws, int64_t row, int32_t node)
{
    return ws->grads + row * ws->row_size + ws->offset[node];
}

// Where a node's tensor lies in a flat vector; NULL when the node has none, or nobody wants it.
static const double *tensor(const jemi_graph *graph, const double *params, int32_t index)
{
    return index >= 0 ? params + graph->params[index].offset : NULL;
}

static double *tensor_grad(const jemi_graph *graph, double *dparams, int32_t index)
{
    return dparams != NULL && index >= 0 ? dparams + graph->params[index].offset : NULL;
}

// ---- batch normalisation -----------------------------------------------------------------------

static bool takes_batch(const jemi_ref_workspace *ws, const jemi_node *node)
{
    return node->kind == JEMI_NODE_BATCHNORM && ws->mode != JEMI_MODE_EVAL;
}

// Mean or variance that a BATCHNORM node uses: `index` in states, of the batch or running.
static const double *statistic(const jemi_ref_workspace *ws, const double *params, int32_t node,
                               int32_t index)
{
    const jemi_graph *graph = ws->graph;
    const int64_t offset = graph->states[index].offset;
    return takes_batch(ws, &graph->nodes[node]) ? ws->statistics + offset - graph->param_count
                                                : params + offset;
}

// A node for all rows.
typedef struct node_rows {
    const jemi_ref_workspace *ws;
    const double *params;
    int64_t n;
    int32_t index;
} node_rows;

static void statistics_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const node_rows *rows = context;
    const jemi_ref_workspace *ws = rows->ws;
    const jemi_graph *graph = ws->graph;
    const jemi_node *node = &graph->nodes[rows->index];
    const jemi_ref_rows x = {jemi_ref_value(ws, 0, node->input[0]), rows->n, ws->row_size};
    double *mean = ws->statistics + graph->states[node->mean].offset - graph->param_count;
    double *var = ws->statistics + graph->states[node->var].offset - graph->param_count;
    for (int64_t c = begin; c < end; c++)
        jemi_ref_batch_statistics(node, &x, c, &mean[c], &var[c]);
}

static void take_statistics(const jemi_ref_workspace *ws, int64_t n, int32_t index)
{
    const jemi_shape shape = ws->graph->nodes[index].shape;
    node_rows rows = {ws, NULL, n, index};
    jemi_parallel(shape.c, jemi_grain(shape.c, n * shape.h * shape.w * JEMI_WORK_OF_FLOAT),
                  statistics_task, &rows);
}

void jemi_ref_statistics(const jemi_ref_workspace *ws, int64_t n, double *state)
{
    const jemi_graph *graph = ws->graph;
    memcpy(state, ws->statistics, (size_t)graph->state_count * sizeof *state);
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        if (node->kind != JEMI_NODE_BATCHNORM)
            continue;
        double *var = state + graph->states[node->var].offset - graph->param_count;
        const double count = (double)(n * node->shape.h * node->shape.w);
        for (int64_t c = 0; c < node->shape.c; c++)
            var[c] *= count / (count - 1.0);
    }
}

// ---- nodes -------------------------------------------------------------------------------------

static void node_forward(const jemi_ref_workspace *ws, const double *params, int64_t row,
                         int32_t index)
{
    const jemi_graph *graph = ws->graph;
    const jemi_node *node = &graph->nodes[index];
    const jemi_shape in = graph->nodes[node->input[0]].shape;
    const double *x = jemi_ref_value(ws, row, node->input[0]);
    const double *w = tensor(graph, params, node->weight);
    const double *b = tensor(graph, params, node->bias);
    double *y = jemi_ref_value(ws, row, index);

    switch (node->kind) {
    case JEMI_NODE_INPUT:
        break;
    case JEMI_NODE_CONV:
        jemi_ref_conv_forward(node, in, x, w, b, y);
        break;
    case JEMI_NODE_LINEAR:
        jemi_ref_linear_forward(node, in, x, w, b, y);
        break;
    case JEMI_NODE_ACT:
        jemi_ref_act_forward(node, x, y);
        break;
    case JEMI_NODE_AVGPOOL:
        jemi_ref_avgpool_forward(node, in, x, y);
        break;
    case JEMI_NODE_GROUPNORM:
        jemi_ref_groupnorm_forward(node, x, w, b, y);
        break;
    case JEMI_NODE_BATCHNORM:
        jemi_ref_batchnorm_forward(node, statistic(ws, params, index, node->mean),
                                   statistic(ws, params, index, node->var), x, w, b, y);
        break;
    case JEMI_NODE_DROPOUT:
        if (ws->mode == JEMI_MODE_TRAIN)
            jemi_ref_dropout(node, &ws->dropout, row, x, false, y);
        else
            memcpy(y, x, (size_t)jemi_shape_size(in) * sizeof *y);
        break;
    case JEMI_NODE_ADD:
        memcpy(y, x, (size_t)jemi_shape_size(in) * sizeof *y);
        jemi_ref_accumulate(jemi_shape_size(in), jemi_ref_value(ws, row, node->input[1]), y);
        break;
    }
}

static void node_backward(const jemi_ref_workspace *ws, const double *params, int64_t row,
                          int32_t index, double *dparams)
{
    const jemi_graph *graph = ws->graph;
    const jemi_node *node = &graph->nodes[index];
    const jemi_shape in = graph->nodes[node->input[0]].shape;
    const double *x = jemi_ref_value(ws, row, node->input[0]);
    const double *w = tensor(graph, params, node->weight);
    const double *dy = jemi_ref_grad(ws, row, index);
    double *dx = jemi_ref_grad(ws, row, node->input[0]);
    double *dw = tensor_grad(graph, dparams, node->weight);
    double *db = tensor_grad(graph, dparams, node->bias);

    switch (node->kind) {
    case JEMI_NODE_INPUT:
        break;
    case JEMI_NODE_CONV:
        jemi_ref_conv_backward(node, in, x, w, dy, dx, dw, db);
        break;
    case JEMI_NODE_LINEAR:
        jemi_ref_linear_backward(node, in, x, w, dy, dx, dw, db);
        break;
    case JEMI_NODE_ACT:
        jemi_ref_act_backward(node, x, dy, dx);
        break;
    case JEMI_NODE_AVGPOOL:
        jemi_ref_avgpool_backward(node, in, dy, dx);
        break;
    case JEMI_NODE_GROUPNORM:
        jemi_ref_groupnorm_backward(node, x, w, dy, dx, dw, db);
        break;
    case JEMI_NODE_BATCHNORM:
        jemi_ref_batchnorm_backward(node, statistic(ws, params, index, node->mean),
                                    statistic(ws, params, index, node->var), x, w, dy, dx, dw, db);
        break;
    case JEMI_NODE_DROPOUT:
        if (ws->mode == JEMI_MODE_TRAIN)
            jemi_ref_dropout(node, &ws->dropout, row, dy, true, dx);
        else
            jemi_ref_accumulate(jemi_shape_size(in), dy, dx);
        break;
    case JEMI_NODE_ADD:
        jemi_ref_accumulate(jemi_shape_size(in), dy, dx);
        jemi_ref_accumulate(jemi_shape_size(in), dy, jemi_ref_grad(ws, row, node->input[1]));
        break;
    }
}

static void batch_backward(const jemi_ref_workspace *ws, const double *params, int64_t n,
                           int32_t index, double *dparams)
{
    const jemi_graph *graph = ws->graph;
    const jemi_node *node = &graph->nodes[index];
    const jemi_ref_rows x = {jemi_ref_value(ws, 0, node->input[0]), n, ws->row_size};
    const jemi_ref_rows dy = {jemi_ref_grad(ws, 0, index), n, ws->row_size};
    const jemi_ref_rows dx = {jemi_ref_grad(ws, 0, node->input[0]), n, ws->row_size};
    jemi_ref_batchnorm_backward_batch(
        node, statistic(ws, params, index, node->mean), statistic(ws, params, index, node->var), &x,
        tensor(graph, params, node->weight), &dy, &dx, tensor_grad(graph, dparams, node->weight),
        tensor_grad(graph, dparams, node->bias));
}

// ---- graphs ------------------------------------------------------------------------------------

static void forward_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const node_rows *rows = context;
    for (int64_t row = begin; row < end; row++)
        node_forward(rows->ws, rows->params, row, rows->index);
}

// Naive sums take long; all else is done once per value.
static int64_t grain_of(const jemi_node *node, int64_t n)
{
    const bool sums = node->kind == JEMI_NODE_CONV || node->kind == JEMI_NODE_LINEAR;
    return sums ? 1 : jemi_grain(n, jemi_shape_size(node->shape) * JEMI_WORK_OF_FLOAT);
}

void jemi_ref_forward(const jemi_ref_workspace *ws, const double *params, int64_t n)
{
    for (int32_t i = 1; i < ws->graph->n_nodes; i++) {
        if (takes_batch(ws, &ws->graph->nodes[i]))
            take_statistics(ws, n, i);
        node_rows rows = {ws, params, n, i};
        jemi_parallel(n, grain_of(&ws->graph->nodes[i], n), forward_task, &rows);
    }
}

void jemi_ref_backward(const jemi_ref_workspace *ws, const double *params, int64_t n,
                       double *dparams)
{
    const int32_t last = ws->graph->n_nodes - 1;
    for (int64_t row = 0; row < n; row++)
        memset(jemi_ref_grad(ws, row, 0), 0, (size_t)ws->offset[last] * sizeof *ws->grads);
    for (int32_t i = last; i > 0; i--) {
        if (takes_batch(ws, &ws->graph->nodes[i])) {
            batch_backward(ws, params, n, i, dparams);
            continue;
        }
        for (int64_t row = 0; row < n; row++)
            node_backward(ws, params, row, i, dparams);
    }
}

// ---- the double entry --------------------------------------------------------------------------

// Copies the value of one node between a workspace and an array of rows.
static void put_rows(double *first, int64_t stride, int64_t n, int64_t size, const double *from)
{
    for (int64_t row = 0; row < n; row++)
        memcpy(first + row * stride, from + row * size, (size_t)size * sizeof *from);
}

static void get_rows(const double *first, int64_t stride, int64_t n, int64_t size, double *to)
{
    for (int64_t row = 0; row < n; row++)
        memcpy(to + row * size, first + row * stride, (size_t)size * sizeof *to);
}

jem_status jemi_ref_run_mode_f64(const jemi_graph *graph, jemi_mode mode,
                                 const jemi_dropout *dropout, const double *params, int64_t n,
                                 const double *in, double *out, const double *dout, double *din,
                                 double *dparams, double *state)
{
    const int32_t last = graph->n_nodes - 1;
    const int64_t in_size = jemi_shape_size(graph->nodes[0].shape);
    const int64_t out_size = jemi_shape_size(graph->nodes[last].shape);
    jemi_ref_workspace ws;
    JEMI_TRY(jemi_ref_workspace_init(&ws, graph, n, dout != NULL, mode));
    if (dropout != NULL)
        ws.dropout = *dropout;
    put_rows(jemi_ref_value(&ws, 0, 0), ws.row_size, n, in_size, in);
    jemi_ref_forward(&ws, params, n);
    get_rows(jemi_ref_value(&ws, 0, last), ws.row_size, n, out_size, out);
    if (state != NULL)
        jemi_ref_statistics(&ws, n, state);
    if (dout != NULL) {
        put_rows(jemi_ref_grad(&ws, 0, last), ws.row_size, n, out_size, dout);
        if (dparams != NULL)
            memset(dparams, 0, (size_t)graph->param_count * sizeof *dparams);
        jemi_ref_backward(&ws, params, n, dparams);
        if (din != NULL)
            get_rows(jemi_ref_grad(&ws, 0, 0), ws.row_size, n, in_size, din);
    }
    jemi_ref_workspace_fini(&ws);
    return JEM_OK;
}

jem_status jemi_ref_run_f64(const jemi_graph *graph, const double *params, int64_t n,
                            const double *in, double *out, const double *dout, double *din,
                            double *dparams)
{
    return jemi_ref_run_mode_f64(graph, JEMI_MODE_EVAL, NULL, params, n, in, out, dout, din,
                                 dparams, NULL);
}
