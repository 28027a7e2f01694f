/*
 * Which kernel computes a layer: the table's rows are sound and found, where they are for, and a
 * plan takes what was chosen; the choice's digest tells choices apart.
 */
#include <stdlib.h>

#include "conformance/fixture.h"
#include "kernels/epilogue.h"
#include "kernels/isa.h"

static bool same_layer(const jemi_choice *a, const jemi_choice *b)
{
    return a->in == b->in && a->out == b->out && a->h == b->h && a->w == b->w &&
           a->kernel == b->kernel && a->stride == b->stride && a->direction == b->direction &&
           a->precision == b->precision;
}

static const jemi_conv_rows *rows_of(const net *t)
{
    return &((const jemi_cpu_program *)t->program)->rows;
}

static bool is_for_this_machine(const net *t, const jemi_choice *row)
{
    const jemi_isa isa = jemi_bf16_available()     ? JEMI_ISA_AVX512_BF16
                         : jemi_avx512_available() ? JEMI_ISA_AVX512
                                                   : JEMI_ISA_OTHER;
    return row->isa == isa && (row->onednn == 0 || row->onednn == rows_of(t)->version);
}

// What the table should give for the layer of a row: by the first row that is for this machine.
static jemi_kernel expected_choice(const net *t, const jemi_choice *row)
{
    for (int i = 0; i < jemi_choice_rows; i++)
        if (same_layer(&jemi_choice_table[i], row) && is_for_this_machine(t, &jemi_choice_table[i]))
            return jemi_choice_table[i].choice;
    return JEMI_KERNEL_AUTO;
}

static jemi_kernel choose_by(const net *t, const jemi_choice *row, jemi_choosing by)
{
    return jemi_choose(rows_of(t), &t->graph, t->graph.n_nodes - 1, row->direction, row->precision,
                       by)
        ->kernel;
}

static jemi_kernel choose(const net *t, const jemi_choice *row, jemi_kernel wanted)
{
    return choose_by(t, row, (jemi_choosing){.kernel = wanted});
}

START_TEST(a_row_names_a_kernel_that_fits)
{
    const jemi_choice *row = &jemi_choice_table[_i];
    ck_assert(row->precision == JEM_PRECISION_F32 || row->precision == JEM_PRECISION_BF16);
    ck_assert(row->precision == JEM_PRECISION_BF16 || row->choice != JEMI_KERNEL_DIRECT_BF16);
    ck_assert(row->isa != JEMI_ISA_OTHER);
    // The native backend has the same bits on every instruction set.
    ck_assert(row->precision == JEM_PRECISION_BF16 || row->choice == JEMI_KERNEL_ONEDNN);
    ck_assert(row->onednn != 0 || row->choice != JEMI_KERNEL_ONEDNN);
    for (int i = 0; i < _i; i++) // else it is never reached
        ck_assert(!same_layer(&jemi_choice_table[i], row) || jemi_choice_table[i].isa != row->isa ||
                  (jemi_choice_table[i].onednn != 0 && jemi_choice_table[i].onednn != row->onednn));
    if (!jemi_avx512_available() || (row->isa == JEMI_ISA_AVX512_BF16 && !jemi_bf16_available()))
        return;
    char name[ROW_NAME];
    const net_case c = row_case(row, name);
    net t;
    net_init(&t, &c, 1);
    const bool here = row->choice != JEMI_KERNEL_ONEDNN || backend->id == JEM_BACKEND_ONEDNN;
    ck_assert_msg(!here || choose(&t, row, row->choice) == row->choice,
                  "row %d: kernel %d cannot do it", _i, (int)row->choice);
    net_fini(&t);
}
END_TEST

START_TEST(a_row_is_found)
{
    const jemi_choice *row = &jemi_choice_table[_i];
    char name[ROW_NAME];
    const net_case c = row_case(row, name);
    net t;
    net_init(&t, &c, 1);
    const jemi_kernel expected = expected_choice(&t, row);
    if (expected != JEMI_KERNEL_AUTO)
        ck_assert_int_eq(choose(&t, row, JEMI_KERNEL_AUTO), expected);
    // The table was measured on many rows at a time; where latency counts, our kernels go first.
    if (expected == JEMI_KERNEL_ONEDNN && jemi_kernels_available())
        ck_assert_int_ne(choose_by(&t, row, (jemi_choosing){.latency = true}), expected);
    net_fini(&t);
}
END_TEST

// Every part of the key of a row of the table counts. The neighbours have no rows of their own.
START_TEST(a_row_is_for_its_layer_alone)
{
    const jemi_choice other[] = {
        {32, 48, 28, 28, 1, 2, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {48, 64, 28, 28, 1, 2, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {32, 64, 28, 26, 1, 2, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {32, 64, 26, 28, 1, 2, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {32, 64, 28, 28, 1, 1, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {32, 64, 28, 28, 2, 2, JEMI_CONV_TRANSPOSED, JEM_PRECISION_F32, 0, 0, 0},
        {32, 64, 28, 28, 1, 2, JEMI_CONV_WEIGHTS, JEM_PRECISION_F32, 0, 0, 0},
    };
    char name[ROW_NAME];
    const net_case c = row_case(&other[_i], name);
    net t;
    net_init(&t, &c, 1);
    const bool ours = jemi_kernels_available() || backend->id == JEM_BACKEND_NATIVE;
    ck_assert_int_eq(choose(&t, &other[_i], JEMI_KERNEL_AUTO),
                     ours ? JEMI_KERNEL_DIRECT : JEMI_KERNEL_ONEDNN);
    net_fini(&t);
}
END_TEST

// ---- plans -------------------------------------------------------------------------------------

// The kernel of the convolution in each direction.
static void find_kernel(void *user, const jem_step_info *step)
{
    jemi_kernel *found = user;
    if (step->macs > 0)
        ok(jemi_kernel_read(step->kernel, &found[step->direction]));
}

// Each direction by itself: with AVX-512 and bf16, direct forward and Winograd backward.
START_TEST(a_plan_takes_what_was_chosen)
{
    static const int32_t steps[] = {[JEMI_CONV_FORWARD] = JEM_STEP_FORWARD,
                                    [JEMI_CONV_TRANSPOSED] = JEM_STEP_TRANSPOSED,
                                    [JEMI_CONV_WEIGHTS] = JEM_STEP_WEIGHTS};
    const net_case c = {"made:layer-64-3-2", 64, 28, 28, 0, 2, 2, 1};
    net t;
    net_init(&t, &c, 1);
    for (jemi_kernel wanted = JEMI_KERNEL_AUTO; wanted < JEMI_KERNELS; wanted++) {
        jemi_kernel found[JEM_STEP_WEIGHTS + 1] = {JEMI_KERNEL_AUTO};
        t.program->choosing.kernel = wanted;
        jemi_plan *plan = new_plan(&t, 2, 1, 3);
        backend->planner->describe(plan, find_kernel, found);
        backend->planner->destroy(plan);
        for (int d = JEMI_CONV_FORWARD; d <= JEMI_CONV_WEIGHTS; d++) {
            const jemi_kernel kernel =
                jemi_choose(rows_of(&t), &t.graph, t.graph.n_nodes - 1, (jemi_conv_direction)d,
                            t.precision, t.program->choosing)
                    ->kernel;
            ck_assert_msg(found[steps[d]] == kernel, "wanted %d: direction %d is by %d, not by %d",
                          (int)wanted, d, (int)found[steps[d]], (int)kernel);
        }
    }
    net_fini(&t);
}
END_TEST

START_TEST(digests_tell_choices_apart)
{
    if (!jemi_kernels_available())
        return;
    const net_case c = {"wrn-10-1", 1, 28, 28, 10, 2, 2, 1};
    uint32_t seen[8];
    char text[2][128];
    net t;
    net_init(&t, &c, 1);
    const jemi_kernel first =
        backend->id == JEM_BACKEND_ONEDNN ? JEMI_KERNEL_ONEDNN : JEMI_KERNEL_WINOGRAD;
    for (jemi_kernel k = first; k <= JEMI_KERNEL_DIRECT; k++) {
        seen[k] = jemi_choose_digest(rows_of(&t), &t.graph, JEM_PRECISION_F32,
                                     (jemi_choosing){.kernel = k});
        for (jemi_kernel before = first; before < k; before++)
            ck_assert_uint_ne(seen[k], seen[before]);
    }
    backend->choice(t.program, JEM_PRECISION_F32, text[0], sizeof text[0]);
    backend->choice(t.program, JEM_PRECISION_F32_STRICT, text[1], sizeof text[1]);
    ck_assert_str_ne(text[0], text[1]);
    // In f32-strict it is oneDNN's direct convolutions everywhere, if there are any.
    const char *provider = backend->id == JEM_BACKEND_ONEDNN ? "oneDNN " : "native, ";
    ck_assert_msg(strstr(text[1], provider) == text[1], "%s", text[1]);
    net_fini(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_row_names_a_kernel_that_fits, 0, jemi_choice_rows);
    tcase_add_loop_test(tcase, a_row_is_found, 0, jemi_choice_rows);
    tcase_add_loop_test(tcase, a_row_is_for_its_layer_alone, 0, 7);
    tcase_add_test(tcase, a_plan_takes_what_was_chosen);
    tcase_add_test(tcase, digests_tell_choices_apart);
}

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    return support_main("choice", add_tests);
}
