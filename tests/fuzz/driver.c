/*
 * Runs a fuzzer without libFuzzer: NAME [seconds [seed]], a second by default. The largest valid
 * input comes first. Then seeds are mutated a little, and now and then a large input.
 *
 * Each input has a budget of processor time that grows with its size and no faster; so a reader
 * whose cost is quadratic fails on the large ones. An input that ends the program is left in
 * NAME.input, which NAME --run FILE runs again.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

enum { SEEDS_MAX = 32, LARGE_EVERY = 500 };

#ifdef __SANITIZE_ADDRESS__
static const double slowness = 10.0;
#else
static const double slowness = 1.0;
#endif
static const double budget = 0.05, budget_per_byte = 1e-6;

long fuzz_accepted;

static uint64_t random_state;

static uint32_t random_below(uint32_t bound) // xorshift64*
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 32) % bound);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// ---- mutation ----------------------------------------------------------------------------------

// Replaces `n` bytes at `place` by others, as far as there is room.
static void splice(fuzz_input *input, size_t place, size_t n, const void *bytes, size_t n_bytes)
{
    if (input->size - n + n_bytes > FUZZ_SIZE_MAX)
        return;
    uint8_t *at = input->bytes + place;
    memmove(at + n_bytes, at + n, input->size - place - n);
    memcpy(at, bytes, n_bytes);
    input->size += n_bytes - n;
}

static const char *random_word(void)
{
    uint32_t n = 0;
    while (fuzz_this.words[n] != NULL)
        n++;
    return fuzz_this.words[random_below(n)];
}

// Another number in place of one, if there is one at `place`.
static void renumber(fuzz_input *input, size_t place)
{
    size_t n = 0;
    while (place + n < input->size && input->bytes[place + n] >= '0' &&
           input->bytes[place + n] <= '9')
        n++;
    char digits[24];
    snprintf(digits, sizeof digits, "%u", random_below(random_below(4) > 0 ? 70 : 1u << 31));
    if (n > 0)
        splice(input, place, n, digits, strlen(digits));
}

static void mutate(fuzz_input *input)
{
    const size_t place = random_below((uint32_t)input->size + 1);
    const size_t left = input->size - place;
    const size_t n = random_below((uint32_t)(left < 40 ? left : 40) + 1);
    uint8_t piece[64];
    memcpy(piece, input->bytes + place, n);
    const char *word = random_word();
    switch (random_below(6)) {
    case 0: // flip
        if (left > 0)
            input->bytes[place] ^= (uint8_t)(1 << random_below(8));
        break;
    case 1: // cut
        splice(input, place, n, "", 0);
        break;
    case 2: // another word
        splice(input, place, n, word, strlen(word));
        break;
    case 3: // a word put in
        splice(input, place, 0, word, strlen(word));
        break;
    case 4:
        renumber(input, place);
        break;
    default: // a piece from elsewhere
        splice(input, random_below((uint32_t)input->size + 1), 0, piece, n);
    }
}

// ---- running -----------------------------------------------------------------------------------

static fuzz_input input;

// As the program ends; only calls that a signal handler may make.
static void keep_input(int signal_number)
{
    char name[64] = "";
    strncat(strncat(name, fuzz_this.name, sizeof name - 8), ".input", 8);
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && write(fd, input.bytes, input.size) == (ssize_t)input.size)
        close(fd);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

// In a block of its size, so that a sanitizer sees what is read beyond it.
static double time_input(void)
{
    uint8_t *copy = malloc(input.size + (input.size == 0));
    MUST(copy != NULL);
    memcpy(copy, input.bytes, input.size);
    const double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    LLVMFuzzerTestOneInput(copy, input.size);
    const double taken = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
    free(copy);
    return taken;
}

// An input that costs too much does so every time; what a virtual machine's host takes away meanwhile
// counts as this thread's time, too.
static void run_input(void)
{
    const double most = slowness * (budget + budget_per_byte * (double)input.size);
    double taken = time_input();
    for (int i = 0; i < 3 && taken > most; i++)
        taken = time_input();
    if (taken > most) {
        fprintf(stderr, "%s: %zu bytes took %.3f s\n", fuzz_this.name, input.size, taken);
        abort();
    }
}

static int run_file(const char *name)
{
    FILE *file = fopen(name, "rb");
    MUST(file != NULL);
    input.size = fread(input.bytes, 1, FUZZ_SIZE_MAX, file);
    fclose(file);
    run_input();
    return 0;
}

static void run_random(const fuzz_input *seeds, int n_seeds)
{
    if (random_below(LARGE_EVERY) == 0) {
        fuzz_this.make_large(1024u << random_below(9), &input);
    } else {
        const fuzz_input *seed = &seeds[random_below((uint32_t)n_seeds)];
        memcpy(input.bytes, seed->bytes, seed->size);
        input.size = seed->size;
    }
    for (uint32_t i = random_below(4); i > 0; i--)
        mutate(&input);
    run_input();
}

static int make_seeds(fuzz_input seeds[SEEDS_MAX])
{
    int n = 0;
    for (;; n++) {
        MUST(n < SEEDS_MAX);
        seeds[n].bytes = malloc(FUZZ_SIZE_MAX);
        MUST(seeds[n].bytes != NULL);
        if (!fuzz_this.make_seed(n, &seeds[n]))
            break;
    }
    free(seeds[n].bytes);
    return n;
}

int main(int argc, char **argv)
{
    static fuzz_input seeds[SEEDS_MAX];
    const int n_seeds = make_seeds(seeds);
    input.bytes = malloc(FUZZ_SIZE_MAX);
    MUST(input.bytes != NULL);
    if (argc > 2 && strcmp(argv[1], "--run") == 0)
        return run_file(argv[2]);
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    random_state = argc > 2 ? 2 * strtoull(argv[2], NULL, 10) + 1 : 1;
    const double end = seconds(CLOCK_MONOTONIC) + (argc > 1 ? atof(argv[1]) : 1.0);
    fuzz_this.make_large(FUZZ_SIZE_MAX, &input); // whatever the seed, cost shows here
    run_input();
    long n = 1;
    for (; seconds(CLOCK_MONOTONIC) < end; n++)
        run_random(seeds, n_seeds);
    printf("%s: %ld executions, %ld accepted, no finding\n", fuzz_this.name, n, fuzz_accepted);
    for (int i = 0; i < n_seeds; i++)
        free(seeds[i].bytes);
    free(input.bytes);
    return fuzz_accepted > 0 ? 0 : 1;
}
