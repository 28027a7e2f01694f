/*
 * The walk over the node list: forward in order, backward in reverse, each node's gradient complete
 * before it is passed on, because all its readers come later in the list. The double entry for
 * tests is here; the float one, a backend like any other, in backend.c.
 */
#include <string.h>

#include "backend/ref/nodes.h"
#include "backend/ref/ref.h"
#include "backend/ref/run.h"
#include "base/memory.h"
#include "base/status.h"

jem_status jemi_ref_workspace_init(jemi_ref_workspace *ws, const jemi_graph *graph, int64_t rows,
                                   bool with_grads)
{
    *ws = (jemi_ref_workspace){.graph = graph};
    ws->offset = jemi_alloc((size_t)graph->n_nodes, sizeof *ws->offset);
    if (ws->offset == NULL)
        return jemi_fail_memory("reference workspace");
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        ws->offset[i] = ws->row_size;
        ws->row_size += jemi_shape_size(graph->nodes[i].shape);
    }

    size_t count = 0;
    if (jemi_mul((size_t)rows, (size_t)ws->row_size, &count))
        ws->values = jemi_alloc(count, sizeof *ws->values);
    if (with_grads)
        ws->grads = jemi_alloc((size_t)ws->row_size, sizeof *ws->grads);
    if (ws->values == NULL || (with_grads && ws->grads == NULL)) {
        jemi_ref_workspace_fini(ws);
        return jemi_fail_memory("reference workspace");
    }
    ws->bytes = (size_t)graph->n_nodes * sizeof *ws->offset + count * sizeof *ws->values +
                (with_grads ? (size_t)ws->row_size * sizeof *ws->grads : 0);
    return JEM_OK;
}

void jemi_ref_workspace_fini(jemi_ref_workspace *ws)
{
    jemi_free(ws->offset);
    jemi_free(ws->values);
    jemi_free(ws->grads);
    *ws = (jemi_ref_workspace){0};
}

double *jemi_ref_value(const jemi_ref_workspace *ws, int64_t row, int32_t node)
{
    return ws->values + row * ws->row_size + ws->offset[node];
}

double *jemi_ref_grad(const jemi_ref_workspace *ws, int32_t node)
{
    return ws->grads + ws->offset[node];
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
    const double *dy = jemi_ref_grad(ws, index);
    double *dx = jemi_ref_grad(ws, node->input[0]);
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
    case JEMI_NODE_ADD:
        jemi_ref_accumulate(jemi_shape_size(in), dy, dx);
        jemi_ref_accumulate(jemi_shape_size(in), dy, jemi_ref_grad(ws, node->input[1]));
        break;
    }
}

void jemi_ref_forward_row(const jemi_ref_workspace *ws, const double *params, int64_t row)
{
    for (int32_t i = 1; i < ws->graph->n_nodes; i++)
        node_forward(ws, params, row, i);
}

void jemi_ref_backward_row(const jemi_ref_workspace *ws, const double *params, int64_t row,
                           double *dparams)
{
    const int32_t last = ws->graph->n_nodes - 1;
    memset(ws->grads, 0, (size_t)ws->offset[last] * sizeof *ws->grads);
    for (int32_t i = last; i > 0; i--)
        node_backward(ws, params, row, i, dparams);
}

static void run_forward(const jemi_ref_workspace *ws, const double *params, int64_t n,
                        const double *in, double *out)
{
    const int32_t last = ws->graph->n_nodes - 1;
    const int64_t in_size = jemi_shape_size(ws->graph->nodes[0].shape);
    const int64_t out_size = jemi_shape_size(ws->graph->nodes[last].shape);
    for (int64_t row = 0; row < n; row++) {
        memcpy(jemi_ref_value(ws, row, 0), in + row * in_size, (size_t)in_size * sizeof *in);
        jemi_ref_forward_row(ws, params, row);
        memcpy(out + row * out_size, jemi_ref_value(ws, row, last), (size_t)out_size * sizeof *out);
    }
}

static void run_backward(const jemi_ref_workspace *ws, const double *params, int64_t n,
                         const double *dout, double *din, double *dparams)
{
    const int32_t last = ws->graph->n_nodes - 1;
    const int64_t in_size = jemi_shape_size(ws->graph->nodes[0].shape);
    const int64_t out_size = jemi_shape_size(ws->graph->nodes[last].shape);
    if (dparams != NULL)
        memset(dparams, 0, (size_t)ws->graph->param_count * sizeof *dparams);
    for (int64_t row = 0; row < n; row++) {
        memcpy(jemi_ref_grad(ws, last), dout + row * out_size, (size_t)out_size * sizeof *dout);
        jemi_ref_backward_row(ws, params, row, dparams);
        if (din != NULL)
            memcpy(din + row * in_size, jemi_ref_grad(ws, 0), (size_t)in_size * sizeof *din);
    }
}

jem_status jemi_ref_run_f64(const jemi_graph *graph, const double *params, int64_t n,
                            const double *in, double *out, const double *dout, double *din,
                            double *dparams)
{
    jemi_ref_workspace ws;
    JEMI_TRY(jemi_ref_workspace_init(&ws, graph, n, dout != NULL));
    run_forward(&ws, params, n, in, out);
    if (dout != NULL)
        run_backward(&ws, params, n, dout, din, dparams);
    jemi_ref_workspace_fini(&ws);
    return JEM_OK;
}
