/*
 * oneDNN inside of a host that has not asked for it: nothing is printed and no file written whatever
 * the environment says, the precision is ours, and a system that refuses executable memory gets a
 * sentence instead of a crash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { ROWS = 4, SIDE = 4, CLASSES = 3 };

static const char as_child[] = "--as-child"; // this program is its own host

// oneDNN's own kernels wherever it has some, so that it compiles on every processor. Without Check's
// functions, which want to be in a test: NULL on failure.
static jem_model *make_model(int32_t backend)
{
    jem_exec_config exec;
    jem_model_config config;
    jem_model *model;
    if (jem_exec_config_init(&exec, sizeof exec) != JEM_OK ||
        jem_model_config_init(&config, sizeof config) != JEM_OK)
        return NULL;
    exec.backend = backend;
    exec.threads = 1;
    exec.kernel = backend == JEM_BACKEND_ONEDNN ? "onednn" : "auto";
    config.arch = "cnn-8-8";
    config.channels = 3;
    config.height = config.width = SIDE;
    config.classes = CLASSES;
    return jem_model_create(&model, &config, &exec) == JEM_OK ? model : NULL;
}

static jem_status compute(const jem_model *model, float *logits)
{
    float x[ROWS * 3 * SIDE * SIDE], grad[ROWS * 3 * SIDE * SIDE];
    for (int i = 0; i < COUNT(x); i++)
        x[i] = (float)(i % 7) / 7.0f;
    const jem_status status = jem_logits(model, ROWS, x, logits);
    return status == JEM_OK ? jem_energy_grad(model, ROWS, x, NULL, NULL, grad) : status;
}

static int exit_status(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
}

// ---- the environment ----------------------------------------------------------------------------

// What a host does that knows libjem only; the logits go to descriptor 3.
static int be_a_host(void)
{
    float logits[ROWS * CLASSES];
    jem_model *model = make_model(JEM_BACKEND_ONEDNN);
    if (strstr(jem_build_info(), "onednn") == NULL || compute(model, logits) != JEM_OK)
        return 1;
    jem_model_destroy(model);
    return write(3, logits, sizeof logits) == (ssize_t)sizeof logits ? 0 : 2;
}

static char *const loud[] = {"DNNL_VERBOSE=2",
                             "ONEDNN_VERBOSE=2",
                             "DNNL_JIT_DUMP=1",
                             "ONEDNN_JIT_DUMP=1",
                             "DNNL_JIT_PROFILE=6",
                             "ONEDNN_JIT_PROFILE=6",
                             "ONEDNN_DEFAULT_FPMATH_MODE=ANY",
                             "DNNL_DEFAULT_FPMATH_MODE=ANY",
                             "HOME=.",
                             "JITDUMPDIR=.",
                             NULL};
static char *const quiet[] = {NULL};

// Runs the host in `dir` with standard output and error in one file, and reads its logits.
static void run_host(const char *dir, char *const *environment, float *logits)
{
    char program[400] = "";
    ck_assert_int_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    int results[2];
    ck_assert_int_eq(pipe(results), 0);
    const pid_t child = fork();
    if (child == 0) {
        char *const arguments[] = {program, (char *)as_child, NULL};
        const int output = chdir(dir) == 0 ? open("output", O_CREAT | O_WRONLY, 0600) : -1;
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        dup2(results[1], 3);
        execve(program, arguments, environment);
        _exit(99);
    }
    close(results[1]);
    const size_t size = ROWS * CLASSES * sizeof *logits;
    const ssize_t got = read(results[0], logits, size);
    close(results[0]);
    ck_assert_int_eq(exit_status(child), 0);
    ck_assert_int_eq(got, (ssize_t)size);
    char map[64];
    snprintf(map, sizeof map, "/tmp/perf-%d.map", (int)child);
    ck_assert_msg(access(map, F_OK) != 0, "%s was written", map);
}

// The one file is the output, and it is empty.
static void check_quiet(const char *dir)
{
    DIR *directory = opendir(dir);
    ck_assert_ptr_nonnull(directory);
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        ck_assert_msg(entry->d_name[0] == '.' ? strlen(entry->d_name) <= 2
                                              : strcmp(entry->d_name, "output") == 0,
                      "'%s' was written", entry->d_name);
    closedir(directory);
    char path[300];
    snprintf(path, sizeof path, "%s/output", dir);
    size_t size;
    char *text = support_read_file(path, &size);
    ck_assert_msg(size == 0, "printed: %.*s", (int)(size < 300 ? size : 300), text);
    free(text);
}

START_TEST(test_environment)
{
    char dir[200];
    float expected[ROWS * CLASSES], logits[ROWS * CLASSES];
    support_make_dir(dir, sizeof dir);
    run_host(dir, quiet, expected);
    run_host(dir, loud, logits);
    check_quiet(dir);
    support_same_bits(logits, expected, sizeof logits, "logits under another environment");
    support_remove_dir(dir);
}
END_TEST

// ---- executable memory --------------------------------------------------------------------------

// Refuses mmap and mprotect with PROT_EXEC, as sandboxes do.
static bool refuse_executable_memory(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 13), // EACCES
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {COUNT(filter), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NO_SANDBOX = 77 };

static int compute_in_sandbox(void)
{
    if (!refuse_executable_memory())
        return NO_SANDBOX;
    float logits[ROWS * CLASSES];
    jem_model *model = make_model(JEM_BACKEND_ONEDNN), *ref = make_model(JEM_BACKEND_REF);
    for (int i = 0; i < 2; i++) // nothing of the first failure stays
        if (compute(model, logits) != JEM_EBACKEND ||
            strstr(jem_last_error(), "executable") == NULL ||
            strstr(jem_last_error(), "JEM_BACKEND_REF") == NULL)
            return 1;
    if (compute(ref, logits) != JEM_OK)
        return 2;
    jem_model_destroy(model);
    jem_model_destroy(ref);
    return 0;
}

// The usual order: models are loaded and used, then the sandbox begins.
static int compute_before_sandbox(void)
{
    float before[ROWS * CLASSES], after[ROWS * CLASSES];
    jem_model *model = make_model(JEM_BACKEND_ONEDNN), *late = make_model(JEM_BACKEND_ONEDNN);
    if (compute(model, before) != JEM_OK)
        return 1;
    if (!refuse_executable_memory())
        return NO_SANDBOX;
    if (compute(model, after) != JEM_OK || memcmp(before, after, sizeof before) != 0)
        return 2;
    const jem_status status = compute(late, after);
    return status == JEM_OK || status == JEM_EBACKEND ? 0 : 3; // OK: from oneDNN's cache
}

static int (*const sandboxes[])(void) = {compute_in_sandbox, compute_before_sandbox};

START_TEST(test_no_executable_memory)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        _exit(sandboxes[_i]());
    const int status = exit_status(child);
    if (status == NO_SANDBOX)
        printf("SKIPPED: this system has no seccomp filters\n");
    else
        ck_assert_int_eq(status, 0);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_environment);
    tcase_add_loop_test(tcase, test_no_executable_memory, 0, COUNT(sandboxes));
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], as_child) == 0)
        return be_a_host();
    return support_main("onednn_host", add_tests);
}
