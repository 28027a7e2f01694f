/*
 * The vtable of the native backend: the CPU executor with our own kernels alone.
 */
#include "backend/cpu/choose.h"
#include "backend/cpu/executor.h"

static const jemi_conv_impl *const rows[] = {JEMI_NATIVE_ROWS};

static jem_status program_create(jemi_program **out, const jemi_graph *graph)
{
    return jemi_cpu_program_create(out, &jemi_backend_native, graph,
                                   (jemi_conv_rows){rows, sizeof rows / sizeof rows[0], 0});
}

static void choice(const jemi_program *base, int32_t precision, char *out, size_t size)
{
    const jemi_cpu_program *program = (const jemi_cpu_program *)base;
    jemi_choose_words(base, &program->rows, precision, NULL, out, size);
}

const jemi_backend jemi_backend_native = {
    .name = "native",
    .id = JEM_BACKEND_NATIVE,
    .program_create = program_create,
    JEMI_EXECUTOR_SLOTS,
    .choice = choice,
};
