#include "base/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    SPIN_MIN_NS = 1000,
    SPIN_MAX_NS = 50000, // about what sleeping and waking costs
    LOOKS = 32,          // at the word between two looks at the clock
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool changes_until(_Atomic uint32_t *word, uint32_t value, int64_t deadline)
{
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value)
                return true;
            relax();
        }
    } while (jemi_nanoseconds() < deadline);
    return false;
}

// A sleep that staying awake would have spared makes more patient, any other less. What was waited
// includes falling asleep and waking, which may take as long as the limit.
static void learn(jemi_patience *patience, int64_t waited_ns)
{
    if (waited_ns <= 2 * SPIN_MAX_NS)
        patience->spin_ns *= 2;
    else
        patience->spin_ns /= 2;
    if (patience->spin_ns > SPIN_MAX_NS)
        patience->spin_ns = SPIN_MAX_NS;
    if (patience->spin_ns < SPIN_MIN_NS)
        patience->spin_ns = SPIN_MIN_NS;
}

void jemi_wait_while(_Atomic uint32_t *word, uint32_t value, _Atomic uint32_t *sleepers, bool awake,
                     jemi_patience *patience)
{
    if (patience->spin_ns == 0)
        patience->spin_ns = SPIN_MAX_NS;
    const int64_t begin = jemi_nanoseconds();
    if (awake && changes_until(word, value, begin + patience->spin_ns))
        return;
    atomic_fetch_add(sleepers, 1);
    if (atomic_load(word) == value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    atomic_fetch_sub(sleepers, 1);
    learn(patience, jemi_nanoseconds() - begin);
}

void jemi_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
