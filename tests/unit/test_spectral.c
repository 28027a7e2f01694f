/*
 * Spectral normalisation by itself: that its estimate comes to the largest singular value, what the
 * backend is handed, and the gradient against differences. That a training step is PyTorch's is the
 * goldens' to prove.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/spectral.h"
#include "support.h"

typedef struct net {
    jemi_graph graph;
    float *params, *normalized;
    int64_t size;
} net;

static net make(const char *arch)
{
    net n;
    MUST(jemi_graph_init(&n.graph, arch, (jemi_shape){3, 5, 5}, 4));
    n.size = jemi_graph_size(&n.graph);
    n.params = malloc((size_t)n.size * sizeof(float));
    n.normalized = malloc((size_t)n.size * sizeof(float));
    jemi_graph_init_params(&n.graph, 3, n.params);
    return n;
}

static void destroy(net *n)
{
    jemi_graph_fini(&n->graph);
    free(n->params);
    free(n->normalized);
}

// |W v| for a unit v after many power iterations, in double: sigma to many digits.
static double largest_singular_value(const jemi_param *param, const float *w)
{
    const int64_t rows = param->shape[0], columns = param->count / rows;
    double *v = malloc((size_t)columns * sizeof *v), *u = malloc((size_t)rows * sizeof *u);
    double sigma = 0.0;
    for (int64_t j = 0; j < columns; j++)
        v[j] = 1.0 + 0.01 * (double)j;
    for (int k = 0; k < 2000; k++) {
        double squares = 0.0;
        for (int64_t j = 0; j < columns; j++)
            squares += v[j] * v[j];
        for (int64_t i = 0; i < rows; i++) {
            u[i] = 0.0;
            for (int64_t j = 0; j < columns; j++)
                u[i] += (double)w[i * columns + j] * v[j] / sqrt(squares);
        }
        sigma = 0.0;
        for (int64_t i = 0; i < rows; i++)
            sigma += u[i] * u[i];
        for (int64_t j = 0; j < columns; j++) {
            v[j] = 0.0;
            for (int64_t i = 0; i < rows; i++)
                v[j] += (double)w[i * columns + j] * u[i];
        }
    }
    free(u);
    free(v);
    return sqrt(sigma);
}

START_TEST(test_largest_singular_value_is_one)
{
    net n = make("cnn-6-8:norm=spectral");
    ck_assert(jemi_spectral_any(&n.graph));
    jemi_spectral_normalize(&n.graph, n.params, n.normalized);
    for (int32_t i = 0; i < n.graph.n_params; i++) {
        const jemi_param *param = &n.graph.params[i];
        if (param->rank == 1) {
            support_same_bits(n.params + param->offset, n.normalized + param->offset,
                              (size_t)param->count * sizeof(float), "a bias");
            continue;
        }
        // The estimate is from below. The first values have few iterations behind them.
        const double first = largest_singular_value(param, n.normalized + param->offset);
        ck_assert_msg(first >= 1.0 - 1e-6 && first < 1.1, "%s: %g", param->name, first);
    }
    for (int k = 0; k < 300; k++)
        jemi_spectral_iterate(&n.graph, n.params);
    jemi_spectral_normalize(&n.graph, n.params, n.normalized);
    for (int32_t i = 0; i < n.graph.n_params; i++)
        if (n.graph.params[i].rank > 1)
            NEAR(
                largest_singular_value(&n.graph.params[i], n.normalized + n.graph.params[i].offset),
                1.0, 1e-5); // of float vectors
    destroy(&n);
}
END_TEST

// L = sum of g * W / sigma; u and v are constants, so L is smooth in W and large steps will do.
static double loss(net *n, const float *g)
{
    double sum = 0.0;
    jemi_spectral_normalize(&n->graph, n->params, n->normalized);
    for (int64_t i = 0; i < n->graph.param_count; i++)
        sum += (double)g[i] * (double)n->normalized[i];
    return sum;
}

START_TEST(test_gradient)
{
    net n = make("mlp-6-5:norm=spectral");
    float *g = support_uniform(n.graph.param_count, 5);
    float *mapped = malloc((size_t)n.graph.param_count * sizeof *mapped);
    memcpy(mapped, g, (size_t)n.graph.param_count * sizeof *mapped);
    jemi_spectral_gradient(&n.graph, n.params, mapped);
    int changed = 0;
    for (int64_t i = 0; i < n.graph.param_count; i++) {
        const float value = n.params[i], step = 0x1p-8f;
        n.params[i] = value + step;
        const double above = loss(&n, g), width = (double)n.params[i];
        n.params[i] = value - step;
        const double below = loss(&n, g);
        const double expected = (above - below) / (width - (double)n.params[i]);
        n.params[i] = value;
        // 2^-16 of curvature, and 500 floats' roundings by 2^-8; gradients are of size 1.
        NEAR(mapped[i], expected, 1e-4);
        changed += fabs((double)mapped[i] - (double)g[i]) > 1e-2;
    }
    ck_assert_int_gt(changed, 100);
    free(g);
    free(mapped);
    destroy(&n);
}
END_TEST

START_TEST(test_zeros_stay_zeros)
{
    net n = make("mlp-3:norm=spectral");
    memset(n.params, 0, (size_t)n.graph.param_count * sizeof *n.params);
    jemi_spectral_iterate(&n.graph, n.params);
    jemi_spectral_normalize(&n.graph, n.params, n.normalized);
    for (int64_t i = 0; i < n.size; i++)
        ck_assert(n.normalized[i] == 0.0f);
    destroy(&n);
}
END_TEST

START_TEST(test_other_networks_are_left_alone)
{
    net n = make("mlp-4:norm=batch");
    ck_assert(!jemi_spectral_any(&n.graph));
    jemi_spectral_normalize(&n.graph, n.params, n.normalized);
    const size_t bytes = (size_t)n.size * sizeof(float);
    support_same_bits(n.params, n.normalized, bytes, "weights");
    jemi_spectral_iterate(&n.graph, n.params);
    jemi_spectral_gradient(&n.graph, n.params, n.params);
    support_same_bits(n.params, n.normalized, bytes, "after iteration");
    destroy(&n);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_largest_singular_value_is_one);
    tcase_add_test(tcase, test_gradient);
    tcase_add_test(tcase, test_zeros_stay_zeros);
    tcase_add_test(tcase, test_other_networks_are_left_alone);
}

int main(void)
{
    return support_main("spectral", add_tests);
}
