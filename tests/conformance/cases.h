/*
 * The networks on which the executor is tested, and texts that are looked for in the steps of its
 * plans.
 */
#ifndef JEM_TESTS_CASES_H
#define JEM_TESTS_CASES_H

#include "conformance/fixture.h"

static const int32_t precisions[] = {JEM_PRECISION_F32, JEM_PRECISION_F32_STRICT,
                                     JEM_PRECISION_BF16};

enum { N_PRECISIONS = sizeof precisions / sizeof precisions[0] };

static const net_case cases[] = {
    {"mlp-64-64", 30, 1, 1, 10, 7, 7, 2},
    {"mlp-20-33-5", 3, 5, 7, 37, 3, 2, 1},
    {"mlp-100:act=silu", 1, 1, 1, 1, 1, 1, 3},
    {"mlp-64-48:act=tanh", 32, 1, 1, 10, 7, 7, 2},
    {"mlp-1500", 1300, 1, 1, 10, 17, 16, 2}, // long sums: where inner products split
    {"cnn-32-64", 1, 28, 28, 10, 3, 3, 2},
    {"cnn-5-20-33", 3, 13, 9, 37, 7, 5, 3},
    {"cnn-1-3", 5, 7, 11, 1, 3, 1, 2},
    {"cnn-16", 20, 6, 5, 10, 1, 1, 1},
    {"cnn-20", 2, 5, 19, 10, 3, 2, 2},
    {"cnn-37-16", 4, 7, 16, 10, 2, 2, 3},
    {"cnn-16-33", 33, 4, 4, 10, 7, 7, 2},
    {"cnn-20-20", 3, 1, 1, 10, 3, 3, 2},
    {"cnn-33-20:act=softplus", 3, 9, 7, 10, 3, 2, 2}, // padded lanes that must stay zero
    {"cnn-20-33:act=silu", 20, 9, 7, 10, 3, 3, 2},
    {"cnn-20:act=elu", 1, 7, 9, 37, 7, 7, 1},
    {"cnn-33:act=tanh", 5, 8, 8, 10, 3, 3, 3},
    {"cnn-16-20:act=relu", 3, 8, 8, 10, 3, 2, 2},
    {"wrn-10-1", 1, 28, 28, 10, 3, 3, 2},
    {"wrn-10-1", 3, 9, 7, 1, 7, 4, 1},
    {"wrn-10-2", 5, 16, 12, 37, 1, 1, 3},
    {"wrn-16-1", 3, 16, 16, 10, 3, 3, 2},
    {"wrn-10-1:act=silu", 1, 11, 11, 10, 3, 2, 2},
    {"wrn-10-1:act=softplus", 3, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=elu", 33, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=tanh", 20, 5, 5, 10, 3, 3, 1},
    {"wrn-10-1:act=relu", 3, 8, 8, 10, 3, 3, 2},
    {"made:residual-input", 16, 1, 1, 0, 3, 3, 2}, // one pixel: no layout to convert to
    {"made:double-add", 20, 5, 5, 0, 3, 3, 2},
    {"made:shared-gradient", 16, 5, 5, 0, 3, 3, 2},
    {"made:big-kernel", 3, 17, 14, 0, 2, 2, 2},
    {"made:wide-stem", 3, 4, 21, 0, 3, 3, 2},
    {"made:act-first", 5, 4, 4, 0, 3, 3, 2},
    {"made:late-reader", 16, 6, 6, 0, 3, 2, 2},
    {"made:negative-slope", 7, 6, 6, 0, 3, 3, 2},
    {"made:three-readers", 16, 6, 6, 0, 3, 3, 2},
    {"mlp-64-20:norm=layer", 30, 1, 1, 10, 7, 6, 2},
    {"mlp-40:norm=group5,act=tanh", 30, 1, 1, 10, 7, 7, 3},
    {"mlp-33:norm=batch,dropout=0.3", 30, 1, 1, 10, 7, 5, 2},
    {"cnn-16-33:norm=layer", 3, 8, 8, 10, 3, 2, 2},
    {"cnn-20-40:norm=group4,act=silu", 3, 9, 7, 10, 3, 3, 2}, // groups across blocks of channels
    {"cnn-20-33:norm=instance", 1, 9, 8, 10, 3, 3, 1},
    {"cnn-20-33:norm=batch,act=elu,dropout=0.2", 3, 9, 7, 10, 3, 2, 3},
    {"wrn-10-1:norm=group8", 3, 9, 7, 10, 3, 2, 2},
    {"wrn-10-1:norm=batch", 3, 9, 7, 10, 3, 2, 2},
    {"made:norm-first", 5, 4, 4, 0, 3, 3, 2},
    {"made:norm-of-norm", 3, 6, 5, 0, 3, 2, 2},
    {"made:dropped-twice", 3, 6, 5, 0, 3, 2, 2},
};

typedef struct mode_case {
    net_case net;
    jemi_mode mode;
} mode_case;

// Modes other than JEMI_MODE_EVAL. Where rows share statistics the plan has their number.
static const mode_case mode_cases[] = {
    {{"mlp-33-20:norm=batch", 30, 1, 1, 10, 11, 11, 2}, JEMI_MODE_CHAIN},
    {{"mlp-33-20:norm=batch,dropout=0.3", 30, 1, 1, 10, 17, 17, 2}, JEMI_MODE_TRAIN},
    {{"mlp-33-20:dropout=0.5", 30, 1, 1, 10, 7, 5, 2}, JEMI_MODE_TRAIN},
    {{"cnn-20-33:norm=batch", 3, 9, 7, 10, 5, 5, 3}, JEMI_MODE_CHAIN},
    {{"cnn-20-33:norm=batch,act=silu,dropout=0.2", 3, 9, 7, 10, 5, 5, 2}, JEMI_MODE_TRAIN},
    {{"cnn-20-33:dropout=0.4", 3, 13, 9, 10, 5, 3, 2}, JEMI_MODE_TRAIN},
    {{"wrn-10-1:norm=batch", 3, 9, 7, 10, 5, 5, 2}, JEMI_MODE_CHAIN},
    {{"wrn-10-1:norm=instance,dropout=0.3", 1, 11, 11, 10, 3, 2, 1}, JEMI_MODE_TRAIN},
    {{"wrn-10-1:norm=batch,dropout=0.3,act=silu", 3, 8, 8, 10, 4, 4, 2}, JEMI_MODE_TRAIN},
    {{"made:norm-first", 5, 4, 4, 0, 3, 3, 2}, JEMI_MODE_TRAIN},
    {{"made:norm-of-norm", 3, 6, 5, 0, 3, 3, 2}, JEMI_MODE_TRAIN},
    {{"made:dropped-twice", 3, 6, 5, 0, 3, 2, 2}, JEMI_MODE_TRAIN},
};

enum {
    N_EVAL_CASES = sizeof cases / sizeof cases[0],
    N_CASES = N_EVAL_CASES + sizeof mode_cases / sizeof mode_cases[0],
};

static inline mode_case case_at(int i)
{
    return i < N_EVAL_CASES ? (mode_case){cases[i], JEMI_MODE_EVAL} : mode_cases[i - N_EVAL_CASES];
}

// ---- steps -------------------------------------------------------------------------------------

typedef struct needle {
    const char *text;
    int32_t direction; // JEM_STEP_*, 0 = any
    int32_t expected, found;
} needle;

static inline void count_needles(void *user, const jem_step_info *step)
{
    for (needle *each = user; each->text != NULL; each++)
        each->found += strstr(step->text, each->text) != NULL &&
                       (each->direction == 0 || each->direction == step->direction);
}

// Fails unless each text is in as many steps of the Langevin plan as expected.
static inline void check_needles(const net_case *c, int32_t precision, needle *needles)
{
    net t;
    net_init(&t, c, 1);
    t.precision = precision;
    jemi_plan *plan = new_plan(&t, c->batch, c->threads, JEMI_WANT_DINPUT);
    backend->planner->describe(plan, count_needles, needles);
    for (const needle *each = needles; each->text != NULL; each++)
        ck_assert_msg(each->found == each->expected, "%d lines with \"%s\", expected %d",
                      (int)each->found, each->text, (int)each->expected);
    backend->planner->destroy(plan);
    net_fini(&t);
}

// Is this a precision of its own, or does it choose the kernels of another one here?
static inline bool differs(const net *t)
{
    needle needles[] = {{"bf16", 0, 0, 0}, {NULL, 0, 0, 0}};
    if (t->precision != JEM_PRECISION_BF16)
        return true;
    jemi_plan *plan = new_plan(t, 1, 1, JEMI_WANT_DINPUT);
    backend->planner->describe(plan, count_needles, needles);
    backend->planner->destroy(plan);
    return needles[0].found > 0;
}

#endif
