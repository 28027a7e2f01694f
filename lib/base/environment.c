#include "base/environment.h"

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)

#include <xmmintrin.h>

// The control word of the x87 counts too: the C library's conversions of text look up the rounding
// mode there.
typedef struct registers {
    uint32_t mxcsr;
    uint16_t x87;
} registers;

// All exceptions masked, round to nearest; of MXCSR flush to zero and denormals are zero too.
static const registers library = {0x9fc0, 0x037f};

static registers read_registers(void)
{
    registers r = {.mxcsr = _mm_getcsr()};
    __asm__ volatile("fnstcw %0" : "=m"(r.x87));
    return r;
}

static void write_registers(registers r)
{
    uint16_t now;
    __asm__ volatile("fnstcw %0" : "=m"(now));
    if (now != r.x87)
        __asm__ volatile("fldcw %0" : : "m"(r.x87));
    _mm_setcsr(r.mxcsr);
}

// Whatever its flags.
static bool is_library(registers r)
{
    return (r.mxcsr & ~0x3fu) == library.mxcsr;
}

#elif defined(__aarch64__)

typedef struct registers {
    uint64_t fpcr, fpsr;
} registers;

static const registers library = {1u << 24, 0}; // FZ

static registers read_registers(void)
{
    registers r;
    __asm__ volatile("mrs %0, fpcr" : "=r"(r.fpcr));
    __asm__ volatile("mrs %0, fpsr" : "=r"(r.fpsr));
    return r;
}

static void write_registers(registers r)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(r.fpcr));
    __asm__ volatile("msr fpsr, %0" : : "r"(r.fpsr));
}

static bool is_library(registers r)
{
    return r.fpcr == library.fpcr;
}

#else

#include <fenv.h>

// No standard way to flush denormals.
typedef fenv_t registers;

#define library (*FE_DFL_ENV)

static registers read_registers(void)
{
    registers r;
    fegetenv(&r);
    return r;
}

static void write_registers(registers r)
{
    fesetenv(&r);
}

// A worker's own environment is as good where denormals are not flushed.
static bool is_library(registers r)
{
    (void)r;
    return false;
}

#endif

static _Thread_local struct {
    int depth;
    registers host; // where depth > 0
} own;

void jemi_environment_enter(void)
{
    if (own.depth++ > 0)
        return;
    own.host = read_registers();
    write_registers(library);
}

void jemi_environment_leave(void)
{
    if (--own.depth == 0)
        write_registers(own.host);
}

const void *jemi_environment_host(void)
{
    return &own.host;
}

void jemi_environment_enter_worker(const void *host)
{
    jemi_environment_enter();
    if (own.depth == 1 && is_library(own.host))
        own.host = *(const registers *)host;
}

int jemi_environment_host_begin(void)
{
    const int depth = own.depth;
    own.depth = 0;
    if (depth > 0)
        write_registers(own.host);
    return depth;
}

void jemi_environment_host_end(int begun)
{
    own.depth = begun;
    if (begun == 0)
        return;
    own.host = read_registers();
    write_registers(library);
}
