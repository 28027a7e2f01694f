/*
 * Creating what oneDNN computes with, on systems that fork, that refuse executable memory, or whose
 * environment has switches of oneDNN.
 */
#include "backend/onednn/creation.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/lock.h"

void jemi_dnnl_creation_begin(void)
{
    jemi_lock_enter(jemi_lock_of(JEMI_RANK_ONEDNN));
}

void jemi_dnnl_creation_end(void)
{
    jemi_lock_leave(jemi_lock_of(JEMI_RANK_ONEDNN));
}

// Some of oneDNN's code generators do not look whether they got their memory, and crash. Asked anew
// each time, which costs a thousandth of compiling: many hosts start a sandbox after their models.
bool jemi_dnnl_may_compile(void)
{
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return true; // that is another trouble
    const bool may = mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
    munmap(page, size);
    return may;
}

dnnl_status_t jemi_dnnl_primitive_create(dnnl_primitive_t *primitive,
                                         const_dnnl_primitive_desc_t pd)
{
    if (!jemi_dnnl_may_compile())
        return dnnl_runtime_error;
    jemi_dnnl_creation_begin();
    const dnnl_status_t status = dnnl_primitive_create(primitive, pd);
    jemi_dnnl_creation_end();
    return status;
}

// These calls fail only in builds of oneDNN that have no such thing.
void jemi_dnnl_silence(void)
{
    dnnl_set_verbose(0);
    dnnl_set_jit_dump(0);
    dnnl_set_jit_profiling_flags(DNNL_JIT_PROFILE_NONE);
}
