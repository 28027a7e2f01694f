/*
 * libjem: Joint Energy-based Models in C.
 *
 * A classifier's logits f(x) are read as an energy (Grathwohl et al. 2020, arXiv 1912.03263):
 *
 *     E(x, y) = -f(x)[y]        E(x) = -logsumexp_y f(x)[y] = -F(x)        p(x) ~ exp(-E(x))
 *
 * so that one network classifies (jem_logits), tells how usual an input is (jem_energy, jem_score)
 * and generates by Langevin sampling (jem_sampler_*). jem_train_step trains all three together.
 *
 * Conventions, true of every function below:
 *
 * - Returns. Functions that can fail return a jem_status, JEM_OK (0) or a negative code; then
 *   jem_last_error() holds one sentence about the last failing call of this thread. A status other
 *   than JEM_OK and a set message always go together.
 * - Arrays belong to the caller, are contiguous and row-major, and are not kept after the return.
 *   Images are (n, C, H, W) float, in the model's input range. n is a count of rows; n = 0 is a
 *   no-op. Outputs are complete on JEM_OK and unspecified otherwise.
 * - NaN or infinite inputs are refused with JEM_EINVAL; so are labels outside 0..classes-1.
 * - Sign. jem_energy() is E: low = usual. jem_score() kinds are outlier scores: high = unusual.
 * - Config structs start with `struct_size` and are filled by their `_init` function; then change
 *   what you need. They only ever grow at the end, so old programs keep working with new libraries.
 *   No struct of this header has padding: a field named `reserved` stands where there would be
 *   some, and a config in which it is not 0 is JEM_EUNSUPPORTED.
 *   Those of training are filled much as Grathwohl et al. have it, without clamps or guard; what
 *   we recommend is JEM_PRESET_SAFE, which jem_preset() fills in.
 * - Handles. `*out` is NULL after a failed create; destroying NULL is a no-op. Handles never point
 *   at each other and may be destroyed in any order.
 * - Threads. Functions that take a `const jem_model *` may be called from any number of threads at
 *   once, also while one thread trains that model. A sampler, an optimizer or a monitor serves one
 *   caller at a time; a second caller, like a second writer of a model, gets JEM_EBUSY.
 * - A call computes on the calling thread and up to `threads` - 1 others (jem_exec_config). These
 *   belong to the library, serve all models of the process, sleep between calls, and have a stack
 *   of 512 KiB, the name "jem-worker" and every signal blocked. Work is claimed in pieces: a call
 *   never waits for a thread that has not begun one, and what is small runs on the calling thread
 *   alone. Large products of oneDNN run in teams of OpenMP's instead. Where threads cannot be
 *   started, a call computes with fewer. Inside a parallel region of the host a call has one
 *   thread.
 * - Stack. A calling thread needs 128 KiB, and what the host's own callbacks take besides.
 * - fork(). At any moment, from any thread, callbacks included. The child can use and destroy every
 *   handle: a model has the parameters from before or after a write in progress, whole; a sampler
 *   or an optimizer that another thread was using may stand between two of its steps; JEM_EBUSY of
 *   threads that are not in the child is over. What those threads had allocated for their calls
 *   stays allocated. fork() waits while another thread compiles or packs weights, some
 *   milliseconds. The handlers (pthread_atfork) are registered in the first call of the library; an
 *   allocator that has handlers of its own registers them before. vfork, posix_spawn and system do
 *   not run them. A call inside of which the host forks, in a progress function, may fail with
 *   JEM_ECANCELLED in the child.
 * - Floating point. Every function computes with rounding to nearest, without traps, and with
 *   numbers below FLT_MIN flushed to zero (a parameter or setting as small as that counts as 0),
 *   whatever the host has set. The host's environment, with its flags, is back when the function
 *   returns, and in force in callbacks.
 * - The library never aborts, prints, reads the environment for its behaviour, or leaves the
 *   host's locale, floating-point environment or OpenMP thread count changed. oneDNN ends the
 *   process when it is out of memory; which calls use it is told below, before jem_logits(). Its
 *   verbose mode, dumps and profiling files are turned off when the first model of
 *   JEM_BACKEND_ONEDNN is made, whatever the environment says; a host that wants them calls
 *   dnnl_set_verbose() after that.
 */
#ifndef JEM_JEM_H
#define JEM_JEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define JEM_API __attribute__((visibility("default")))
#else
#define JEM_API
#endif

/* ------------------------------------------------------------------------------------------- */
/* Version                                                                                      */
/* ------------------------------------------------------------------------------------------- */

#define JEM_VERSION_MAJOR 0
#define JEM_VERSION_MINOR 1
#define JEM_VERSION_PATCH 0

/** Version of the loaded library: major * 10000 + minor * 100 + patch. */
JEM_API uint32_t jem_version_number(void);

/** The same as text, for example "0.1.0". Static storage. */
JEM_API const char *jem_version_string(void);

/**
 * What this library was built with, as one JSON object: version, backends, oneDNN version and the
 * instruction set it uses here, that of our own kernels and whether they use avx512 and bf16, a
 * digest of the table that chooses among all of them, what has other bits on other processors
 * ("bits_by_processor"), OpenMP runtime, build options. Static storage.
 */
JEM_API const char *jem_build_info(void);

/* ------------------------------------------------------------------------------------------- */
/* Status, log, memory                                                                          */
/* ------------------------------------------------------------------------------------------- */

typedef int32_t jem_status;

enum {
    JEM_OK = 0,
    JEM_EINVAL = -1,       /* an argument is wrong; the message names it and what was expected */
    JEM_ENOMEM = -2,       /* out of memory; every handle is as before the call */
    JEM_EIO = -3,          /* a file could not be opened, read or written */
    JEM_EFORMAT = -4,      /* a file's contents are not what its format demands */
    JEM_EMISMATCH = -5,    /* a file, handle or preset belongs to a model of another shape */
    JEM_EUNSUPPORTED = -6, /* understood, but not offered by this build or version */
    JEM_EBACKEND = -7,     /* the compute backend failed */
    JEM_EDIVERGED = -8,    /* training or a chain became non-finite; no update was made */
    JEM_EBUSY = -9,        /* another thread is using this handle for writing */
    JEM_ECANCELLED = -10,  /* a progress callback asked to stop */
    JEM_ENOTFOUND = -11    /* no tensor, metadata or preset of that name */
};

/** Name of a status, for example "JEM_EINVAL"; "JEM_UNKNOWN" for any other number. Static storage.
 */
JEM_API const char *jem_status_string(jem_status status);

/**
 * One sentence on the last call of this thread that failed; "" if none has. Never NULL. Valid until
 * the next failing call of the same thread. It is one line of UTF-8: in names that come from files,
 * and in lines of the log, '?' stands for control characters, for controls of the writing direction
 * and for bytes that are not UTF-8.
 */
JEM_API const char *jem_last_error(void);

/**
 * The errno of the operating system behind that failure, ENOENT for example, where it returned
 * JEM_EIO; 0 where no call of the operating system had failed.
 */
JEM_API int32_t jem_last_errno(void);

enum { JEM_LOG_DEBUG = 1, JEM_LOG_INFO = 2, JEM_LOG_WARNING = 3 };

/** Receives one line without a newline. Runs on the calling thread; must not call libjem. */
typedef void (*jem_log_fn)(void *user, int32_t level, const char *line);

/** Sets or, with NULL, removes the process-wide log receiver. Default: none, nothing is printed. */
JEM_API jem_status jem_set_log(jem_log_fn log, void *user);

/**
 * Called by the functions that run long, on the calling thread; first when nothing is done yet, by
 * jem_sampler_fit, jem_sampler_draw and the draw of jem_train_step, so that a buffer of any size
 * can be cancelled while its chains are started. A non-zero return cancels: the call returns
 * JEM_ECANCELLED and leaves its handles usable. Must not use the handles of that call.
 */
typedef int32_t (*jem_progress_fn)(void *user, int64_t done, int64_t total);

/** Memory functions with the contracts of aligned_alloc (64-byte alignment is asked for) and free.
 */
typedef struct jem_allocator {
    void *(*allocate)(void *user, size_t alignment, size_t size);
    void (*release)(void *user, void *block);
    void *user;
} jem_allocator;

/**
 * Replaces the allocator of the library's own memory; NULL restores the default. oneDNN's own
 * allocations do not pass through it.
 *
 * @return JEM_OK, JEM_EINVAL for a missing function, JEM_EBUSY while any libjem handle lives.
 */
JEM_API jem_status jem_set_allocator(const jem_allocator *allocator);

/* ------------------------------------------------------------------------------------------- */
/* Instruction set                                                                              */
/* ------------------------------------------------------------------------------------------- */

/**
 * The instruction set that our own kernels use: the fastest that the processor has, or that
 * jem_limit_isa() leaves. "avx512", "avx2" (with FMA), "neon", or "portable": plain C. Static
 * storage.
 *
 * In f32 our kernels give the same bits with each of them, at any thread count: in
 * JEM_BACKEND_NATIVE logits, energies, gradients, chains and trained parameters are the same on all
 * processors. Where oneDNN computes a layer, and in bfloat16, bits may differ; JEM_BACKEND_REF
 * computes with the C library's functions.
 */
JEM_API const char *jem_isa(void);

/**
 * From now on no faster instruction set is used than this one; NULL = the fastest. For measurements
 * and tests; before the first model, and while no other thread calls the library. oneDNN is limited
 * too, everywhere in the process, which it allows once and before its first use; jem_build_info()
 * is one.
 *
 * @return JEM_OK; JEM_EUNSUPPORTED for a set that this library or processor has not, and the message
 *         lists those it has; JEM_EBUSY while any libjem handle lives, or when oneDNN refuses.
 */
JEM_API jem_status jem_limit_isa(const char *isa);

/* ------------------------------------------------------------------------------------------- */
/* Model                                                                                        */
/* ------------------------------------------------------------------------------------------- */

typedef struct jem_model jem_model;

/**
 * What the network is. Fill by jem_model_config_init(), then set at least the shape.
 *
 * Not all of the largest values go together: channels * height * width, the values that each layer
 * makes of a row, and the parameters of the whole network, running statistics included, are each
 * 2^31 - 1 at most. More is JEM_EUNSUPPORTED, and the message names which. 4096 channels leave
 * an area below 724 x 724 for example, and 1024 x 1024 pixels leave 2047 channels and, behind a
 * first layer of width 512, 3 channels of a multilayer perceptron.
 */
typedef struct jem_model_config {
    size_t struct_size;
    /**
     * Architecture, options after a colon:
     *   mlp-512-512          hidden layers of those widths, flattened input
     *   cnn-32-64-128        per width 3x3 convolution, activation, 2x2 mean pooling; linear head
     *   wrn-D-K              Wide ResNet (Zagoruyko & Komodakis 2016, as Grathwohl et al. use
     *                        it), depth D = 6n + 4, widening factor K
     *   wrn-10-2:act=silu    act = lrelu (slope 0.2, the default), relu, silu, elu, softplus, tanh
     *   wrn-10-2:norm=batch  norm = none (the default), batch, group8 (or another number of
     *                        groups), layer (one group), instance (one per channel), spectral
     *   mlp-512:dropout=0.1  after hidden activations (wrn: between the convolutions of a block)
     *
     * Batch normalisation takes the statistics of the batch in training and in the chains of a
     * sampler, and running ones everywhere else. Dropout is active in training alone. Spectral
     * normalisation divides each weight by its largest singular value (Miyato et al. 2018).
     */
    const char *arch;
    int32_t channels; /* 1..4096; no default */
    int32_t height;   /* 1..1024, default 1 */
    int32_t width;    /* 1..1024, default 1; features of a table are (F, 1, 1) */
    int32_t classes;  /* 1..100000; no default; 1 = a pure energy model, F = the logit */
    uint64_t seed;    /* of the initial parameters, default 0 */
    float input_low;  /* the input value of an 8-bit 0, default -1 */
    float input_high; /* the input value of an 8-bit 255, default 1 */
} jem_model_config;

JEM_API jem_status jem_model_config_init(jem_model_config *config, size_t struct_size);

/**
 * What computes a network.
 *
 *   REF     naive and in double: an oracle for tests
 *   ONEDNN  our own kernels, and oneDNN's where these were measured to be faster
 *   NATIVE  our own kernels alone
 */
enum { JEM_BACKEND_REF = 1, JEM_BACKEND_ONEDNN = 2, JEM_BACKEND_NATIVE = 3 };
/**
 * How products are computed; parameters, values and sums are floats in all of them.
 *
 *   F32         3x3 convolutions may go by Winograd's algorithm, within 1e-4 of the largest value
 *   F32_STRICT  never do, and take about twice as long
 *   BF16        as F32, but where that is faster factors are rounded to bfloat16: logits within
 *               a percent or so. On processors without bfloat16 instructions the same as F32.
 *
 * A unit that lies within such an error of a kink (lrelu, relu) may take the other slope, so single
 * elements of a gradient may differ by more.
 */
enum { JEM_PRECISION_F32 = 1, JEM_PRECISION_F32_STRICT = 2, JEM_PRECISION_BF16 = 3 };

/**
 * What kernels are chosen for: many rows at a time, or the time that a call with one row or a few
 * takes. Bits differ between the two, as between kernels; in either a row's bits depend neither on
 * n nor on its neighbours.
 */
enum { JEM_TUNED_THROUGHPUT = 1, JEM_TUNED_LATENCY = 2 };

/** How a model is run. NULL wherever one is taken means these defaults. */
typedef struct jem_exec_config {
    size_t struct_size;
    /** Of one call, 1..1024. Default: the processors in the calling thread's affinity mask, no more
     *  than the CPU quota of the control group (rounded up), and no more than its OpenMP count,
     *  which OMP_NUM_THREADS or omp_set_num_threads() set. */
    int32_t threads;
    int32_t backend;            /* default: the fastest of this build */
    int32_t precision_scoring;  /* jem_logits, jem_energy, jem_score, jem_features, jem_vjp .. */
    int32_t precision_chains;   /* Langevin steps */
    int32_t precision_training; /* parameter gradients */
    int32_t runners_max;        /* calls computing at once, 1..1024; more wait; default 64 */
    /**
     * What computes convolutions and linear layers: "auto", the default, is for each the kernel
     * that a fixed table chooses. Another name, to measure (jem bench --tune), is that kernel
     * wherever it can compute the layer, and the chosen one elsewhere. Bits differ between kernels.
     * JEM_BACKEND_REF has only one.
     *
     *   onednn       oneDNN's direct convolution, in JEM_BACKEND_ONEDNN
     *   winograd     3x3 convolutions of whole blocks of 16 channels
     *   direct       direct summation
     *   direct-bf16  with factors in bfloat16, by JEM_PRECISION_BF16
     *   stem         for images of one to four channels
     */
    const char *kernel;
    int32_t tuned_for; /* JEM_TUNED_*, default JEM_TUNED_THROUGHPUT */
    int32_t reserved;  /* must be 0 */
} jem_exec_config;

JEM_API jem_status jem_exec_config_init(jem_exec_config *config, size_t struct_size);

/**
 * A model with random parameters: weights and biases U(-1, 1) / sqrt(fan_in), PyTorch's default.
 *
 * @return JEM_OK, JEM_EINVAL, JEM_EUNSUPPORTED, JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_model_create(jem_model **out, const jem_model_config *config,
                                    const jem_exec_config *exec);

/** An independent copy: same network, parameters, temperature and metadata, run as `exec` says. */
JEM_API jem_status jem_model_clone(jem_model **out, const jem_model *model,
                                   const jem_exec_config *exec);

/**
 * Reads a model file written by jem_model_save(): safetensors, with architecture, input range,
 * temperature and class names in its metadata.
 *
 * The header is read first and strictly: a file that is none of ours, or whose tensors are not
 * those of its architecture, costs no more than its header, of at most 16 MiB. A file that was
 * changed or damaged after libjem wrote it is refused, as its digest tells. `path` is a regular
 * file, or an anonymous pipe such as /dev/stdin, of which up to 1 GiB are read; named pipes,
 * devices and directories are JEM_EIO at once. Messages name the file, and what it is instead of a
 * model.
 *
 * @return JEM_OK, JEM_EIO, JEM_EFORMAT, JEM_EMISMATCH, JEM_EUNSUPPORTED, JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_model_load(jem_model **out, const char *path, const jem_exec_config *exec);

/** jem_model_load() from `size` bytes in memory. */
JEM_API jem_status jem_model_load_buffer(jem_model **out, const void *data, size_t size,
                                         const jem_exec_config *exec);

/**
 * Writes the model. Crash-safe: afterwards `path` is the old file or the new one, whole. Symbolic
 * links are followed, and a replaced file keeps its permissions. A device, a pipe or an open
 * descriptor (/dev/stdout) is written as it is.
 *
 * @return JEM_OK; JEM_EIO: the old file stands, unless the message says that only the new one's
 *         permanence is in doubt; JEM_ENOMEM.
 */
JEM_API jem_status jem_model_save(const jem_model *model, const char *path);

JEM_API void jem_model_destroy(jem_model *model);

/** What jem_model_prepare() builds ahead; or-ed together. */
enum { JEM_PREPARE_LOGITS = 1, JEM_PREPARE_GRAD = 2, JEM_PREPARE_TRAIN = 4 };

/** Builds now what calls with n rows would build on their first use, for one calling thread. */
JEM_API jem_status jem_model_prepare(const jem_model *model, int32_t what, int64_t n);

/**
 * What a step is for: the value of its layer; the gradient of the layer's input, which is the
 * transposed layer, applied to the gradient of its output; the gradients of its weights.
 */
enum { JEM_STEP_FORWARD = 1, JEM_STEP_TRANSPOSED = 2, JEM_STEP_WEIGHTS = 3 };

/**
 * One step of a compiled pass. Its strings are valid during the callback.
 *
 * The op is "convolution" or "linear" for products; for passes over values "activation", "norm",
 * "average pooling", "dropout", "sum"; for moves "to layout", "to canonical", "to bf16", "reorder",
 * and of the caller's arrays "input", "output", "diff of output", "diff of input".
 */
typedef struct jem_step_info {
    size_t struct_size;
    const char *text;   /* all of this in a line, for people */
    const char *op;     /* what it computes, without the direction */
    const char *kernel; /* its name as in jem_exec_config; "" where there is but one */
    int32_t node;       /* index of the layer, in the order of the forward pass */
    int32_t direction;  /* JEM_STEP_* */
    int64_t src[4];     /* (n, C, H, W) of what is read; 0 where it is not the library's */
    int64_t dst[4];     /* of what is written; WEIGHTS: of the output's gradient, read as well */
    int64_t weight[4]; /* (O, I, kh, kw) of a convolution, (O, I, 1, 1) of a linear layer, else 0 */
    int64_t macs;      /* multiply-adds of the direct algorithm, all rows; 0: moves, elementwise */
    double seconds;    /* of one run, mean; 0 when none was asked for, or kept by the backend */
} jem_step_info;

typedef void (*jem_step_fn)(void *user, const jem_step_info *step);

/**
 * What a pass consists of: the steps that calls with n rows take, in order, and how long each is.
 *
 * @param what  One of JEM_PREPARE_*.
 * @param n     >= 1; what exceeds a chunk is left out.
 * @param runs  Timed runs on rows of zeros; 0 = only tell.
 */
JEM_API jem_status jem_model_profile(const jem_model *model, int32_t what, int64_t n, int32_t runs,
                                     jem_step_fn receive, void *user);

typedef struct jem_model_info {
    size_t struct_size;
    int32_t channels, height, width, classes;
    int64_t input_size;   /* floats per row: C * H * W */
    int64_t param_count;  /* floats in the flat parameter vector, state included */
    int32_t tensor_count; /* named tensors in it */
    int32_t threads;
    int32_t backend;
    float input_low, input_high; /* of inputs; of standardised images those of 0 and 255 */
    float temperature;           /* 1 unless jem_model_set_temperature() gave another */
    int64_t macs;                /* multiply-adds of one row's forward pass, direct algorithm */
    int64_t state_count;         /* the last of param_count; no optimizer changes them */
    int64_t feature_count;       /* penultimate features of a row, see jem_features() */
} jem_model_info;

/** @param info  Out. Its struct_size must be set before the call. */
JEM_API jem_status jem_model_get_info(const jem_model *model, jem_model_info *info);

/** The architecture string in its full form. Valid as long as the model; NULL for a NULL model. */
JEM_API const char *jem_model_arch(const jem_model *model);

/** Bytes the model holds now: parameters, packed weights, plans and their workspaces. */
JEM_API size_t jem_model_bytes(const jem_model *model);

/*
 * Parameters. One flat vector, the concatenation of the named tensors in order. Its last
 * state_count floats belong to the model but are not trained: the running statistics of batch
 * normalisation, the vectors of spectral normalisation.
 */

typedef struct jem_tensor_info {
    size_t struct_size;
    const char *name; /* as in a PyTorch state_dict, for example "stages.0.0.conv1.weight"; valid
                         as long as the model */
    int32_t rank;     /* 1, 2 or 4 */
    int32_t reserved; /* 0 */
    int64_t shape[4]; /* (O, I, kh, kw) of a convolution, (O, I) of a linear layer, (O) of a bias */
    int64_t offset;   /* of its first element in the flat vector */
    int64_t count;
} jem_tensor_info;

/** @param info  Out. Its struct_size must be set before the call. */
JEM_API jem_status jem_model_tensor(const jem_model *model, int32_t index, jem_tensor_info *info);

/** Copies all parameters out; `count` must be param_count. */
JEM_API jem_status jem_model_get_params(const jem_model *model, int64_t count, float *params);

/** Replaces all parameters. Calls already computing finish with the old ones. */
JEM_API jem_status jem_model_set_params(jem_model *model, int64_t count, const float *params);

/** One tensor by name; `count` must be its element count. JEM_ENOTFOUND if there is none. */
JEM_API jem_status jem_model_get_tensor(const jem_model *model, const char *name, int64_t count,
                                        float *values);
JEM_API jem_status jem_model_set_tensor(jem_model *model, const char *name, int64_t count,
                                        const float *values);

/**
 * Takes from a safetensors file the tensors whose name and shape match, and leaves the others: a
 * new head on old weights, or weights of another program.
 *
 * F64, F16 and BF16 are converted to float; an F64 beyond the range of floats is JEM_EFORMAT.
 * Nothing else of the file is looked at: tensors of other names, shapes and dtypes, metadata,
 * digests. A tensor of the model's that holds other numbers is left out, with a warning in the log.
 *
 * @param path     As of jem_model_load().
 * @param matched  Out, may be NULL. How many of the model's tensors were replaced.
 * @return also JEM_EMISMATCH when none matches.
 */
JEM_API jem_status jem_model_load_matching(jem_model *model, const char *path, int32_t *matched);

/* Metadata: strings that travel with the model file. ------------------------------------------- */

/** Sets or, with a NULL value, removes a string. UTF-8; key 1..255 bytes, not starting "jem.". */
JEM_API jem_status jem_model_set_metadata(jem_model *model, const char *key, const char *value);

/**
 * Copies a string out, NUL-terminated.
 *
 * @param length  Out, may be NULL. Its bytes without the NUL, also when `size` was too small, which
 *                is JEM_EINVAL. `buffer` may be NULL with size 0 to ask for the length (JEM_OK).
 */
JEM_API jem_status jem_model_get_metadata(const jem_model *model, const char *key, char *buffer,
                                          size_t size, size_t *length);

/**
 * Copies out the key that was set after the key `after`, or the first key for NULL: a walk over all
 * of the strings, in the order in which they were first set, ends with JEM_ENOTFOUND. The other
 * arguments are as in jem_model_get_metadata().
 */
JEM_API jem_status jem_model_metadata_key(const jem_model *model, const char *after, char *buffer,
                                          size_t size, size_t *length);

/** The name of a class; unnamed classes are called by their number. */
JEM_API jem_status jem_model_set_class_name(jem_model *model, int32_t label, const char *name);
JEM_API jem_status jem_model_get_class_name(const jem_model *model, int32_t label, char *buffer,
                                            size_t size, size_t *length);

/**
 * Gives the model a standardisation, input = (value - mean[c]) / std[c] per channel, std > 0, that
 * is applied by the functions below and by nothing else: jem_logits() and its kin take inputs.
 *
 * For images a value is a byte / 255, and the input range becomes that of 0 and 255. The features
 * of a table, (F, 1, 1), are its channels: mean and std are in their own units, and the input range
 * stays that of the config.
 */
JEM_API jem_status jem_model_set_standardization(jem_model *model, int32_t channels,
                                                 const float *mean, const float *std);

/**
 * Stores a temperature T with the parameters: probabilities that are meant as such are softmax of
 * f(x) / T, as those of jem_detect() are. Logits, energies, scores, chains and training are those of
 * f. A host that shows probabilities divides by it, as jem eval and Python's predict_proba() do.
 *
 * It is part of what was fitted to the parameters: model files and clones have it, a file of a
 * model at 1 has no trace of it, and every write of parameters, a training step or a checkpoint
 * that is loaded for example, puts it back to 1.
 *
 * @param temperature  0.01..100, from jem_fit_temperature() for example. jem_model_info tells it.
 */
JEM_API jem_status jem_model_set_temperature(jem_model *model, float temperature);

enum { JEM_LAYOUT_NCHW = 1, JEM_LAYOUT_NHWC = 2 };

/** 8-bit images, (n, C, H, W) or (n, H, W, C), to inputs by the stored range or standardisation. */
JEM_API jem_status jem_input_from_u8(const jem_model *model, int64_t n, const uint8_t *images,
                                     int32_t layout, float *x);

/** The way back: rounded and clamped to 0..255. */
JEM_API jem_status jem_input_to_u8(const jem_model *model, int64_t n, const float *x,
                                   int32_t layout, uint8_t *images);

/**
 * Plain numbers, (n, C, H, W), to inputs by the standardisation; a model without one takes them as
 * they are. `values` and `x` may be the same array.
 */
JEM_API jem_status jem_input_from_float(const jem_model *model, int64_t n, const float *values,
                                        float *x);

/** The way back. */
JEM_API jem_status jem_input_to_float(const jem_model *model, int64_t n, const float *x,
                                      float *values);

/**
 * Which rows lie outside of the model's input range, by more than a ten-thousandth of its width
 * (with a standardisation, outside of what 0 and 255 become in the widest channel).
 *
 * Out there a network extrapolates from nothing, and its scores say little: rows of noise a hundred
 * times too large, or images as 0..255, can score as perfectly usual. So a host should look here
 * before it believes a score, and convert or flag what lies outside.
 *
 * @param outside    Out, may be NULL. (n). 1 for such a row, otherwise 0.
 * @param n_outside  Out. Their number.
 * @param low, high  Out, may be NULL. The smallest and the largest value of these rows; 0 and 0
 *                   where there are none.
 * @return JEM_OK, JEM_EINVAL.
 */
JEM_API jem_status jem_input_range(const jem_model *model, int64_t n, const float *x,
                                   uint8_t *outside, int64_t *n_outside, float *low, float *high);

/* ------------------------------------------------------------------------------------------- */
/* Compute                                                                                      */
/* ------------------------------------------------------------------------------------------- */

/*
 * Each call borrows a runner (compiled plans and workspace) from the model; the first call of its
 * kind and size compiles and allocates. Later ones, and later calls of jem_sgld_step(),
 * jem_sampler_run(), jem_sampler_draw() and jem_train_step(), ask for no memory of the library. All
 * other functions may. Any n is run in chunks; a row's result depends neither on n nor on its
 * neighbours (batch normalisation uses its running statistics here). No lock is held while
 * computing. All return JEM_OK, JEM_EINVAL, JEM_ENOMEM or JEM_EBACKEND.
 *
 * Layers that oneDNN computes are the exception: its primitives ask for some dozen to a thousand
 * blocks in every call, and where there are none the process ends. In JEM_BACKEND_ONEDNN these are
 * the layers of every network on processors that have neither AVX-512 nor AVX2 with FMA nor NEON,
 * and under JEM_PRECISION_F32_STRICT; elsewhere those that jem_model_profile() lists with oneDNN's
 * kernels. Where the system refuses memory that is writable
 * and executable (seccomp, SELinux, PR_SET_MDWE), oneDNN cannot compile them and the first call
 * returns JEM_EBACKEND; plans that were compiled before go on computing. JEM_BACKEND_NATIVE and
 * JEM_BACKEND_REF need none.
 *
 * Rows that overflow. A finite input may be so large that values on the way are not finite, like
 * the "no data" of raster files, -FLT_MAX. No NaN stands beside JEM_OK: the logits of such a row
 * are all -infinity, its energies and its scores of every kind +infinity, the most
 * out-of-distribution that there is, and its input gradient is 0. A row whose gradient alone
 * overflows has a gradient of 0, and a gradient norm of +infinity. Other rows are not touched.
 */

/**
 * Class logits f(x).
 *
 * @param x       In. (n, C, H, W).
 * @param logits  Out. (n, K).
 */
JEM_API jem_status jem_logits(const jem_model *model, int64_t n, const float *x, float *logits);

/**
 * Energies: E(x) = -logsumexp f(x), or with labels E(x, y) = -f(x)[y]. Grathwohl et al., eq. 5-7.
 *
 * @param labels  In, may be NULL. (n).
 * @param energy  Out. (n).
 */
JEM_API jem_status jem_energy(const jem_model *model, int64_t n, const float *x,
                              const int64_t *labels, float *energy);

/**
 * Energies and their input gradients in one pass: dE/dx = -sum_y p(y|x) df[y]/dx, or with labels
 * -df[label]/dx.
 *
 * @param energy  Out, may be NULL. (n).
 * @param grad    Out. (n, C, H, W).
 */
JEM_API jem_status jem_energy_grad(const jem_model *model, int64_t n, const float *x,
                                   const int64_t *labels, float *energy, float *grad);

/**
 * Penultimate features h(x): what the last linear layer reads, before dropout; of images that are
 * not pooled to one pixel in the order (C, H, W). logits = W h(x) + b, up to rounding.
 *
 * @param features  Out. (n, feature_count of jem_model_info). Of a row that overflows all +infinity.
 */
JEM_API jem_status jem_features(const jem_model *model, int64_t n, const float *x, float *features);

/**
 * Logits and a vector-Jacobian product of theirs in one pass: dx = sum_y dlogits[y] df[y]/dx. With
 * dlogits = -softmax f(x) that is jem_energy_grad(); with other cotangents the input gradient of
 * any function of the logits.
 *
 * @param dlogits  In. (n, K). Finite.
 * @param logits   Out, may be NULL. (n, K).
 * @param dx       Out. (n, C, H, W). 0 where a row or its gradient overflows.
 */
JEM_API jem_status jem_vjp(const jem_model *model, int64_t n, const float *x, const float *dlogits,
                           float *logits, float *dx);

/** The same for penultimate features: dx = sum_j dfeatures[j] dh[j]/dx. @see jem_features */
JEM_API jem_status jem_features_vjp(const jem_model *model, int64_t n, const float *x,
                                    const float *dfeatures, float *features, float *dx);

/* ------------------------------------------------------------------------------------------- */
/* Outlier scores                                                                               */
/* ------------------------------------------------------------------------------------------- */

/**
 * Outlier scores: higher = more out-of-distribution, every kind, whatever the sign of its
 * publication. f are the logits, F = logsumexp f, p = softmax(f / T) with the temperature T of
 * jem_score_config, y the class of the largest logit, K their number.
 */
enum {
    /* Of the logits: one forward pass. */
    JEM_SCORE_ENERGY = 1,      /* -T logsumexp(f / T), E(x) for T = 1 (Liu et al. 2020, eq. 4) */
    JEM_SCORE_MAX_SOFTMAX = 2, /* -max p (Hendrycks & Gimpel 2017) */
    JEM_SCORE_MAX_LOGIT = 3,   /* -max f (Hendrycks et al. 2022) */
    JEM_SCORE_MARGIN = 4,      /* the second largest logit minus the largest */
    JEM_SCORE_ENTROPY = 5,     /* -sum p log p, nats */
    JEM_SCORE_GEN = 6,         /* sum of (p (1 - p))^gamma over the M largest p (Liu, Lochman &
                                  Zach 2023) */
    /* Of the input gradient: a forward and a backward pass. */
    JEM_SCORE_GRADIENT_NORM = 7, /* |dF/dx|, minus the approximate mass of Grathwohl et al. 2020,
                                    section 5.3. Of a network whose chains were trained with a
                                    gradient clamp it is often inverted, low for smooth inputs that
                                    are out-of-distribution: use it with two sides or not at all. */
    /* Of penultimate features h, with statistics of training rows: by a jem_detector. */
    JEM_SCORE_MAHALANOBIS = 8,          /* min_c (h - mu_c)' S^-1 (h - mu_c), S the covariance that
                                           the classes share (Lee et al. 2018, eq. 2) */
    JEM_SCORE_RELATIVE_MAHALANOBIS = 9, /* that minus the same with the mean and covariance of all
                                           rows (Ren et al. 2021) */
    JEM_SCORE_UNIT_MAHALANOBIS = 10,    /* the first, of h / |h| (Mueller & Hein 2025) */
    JEM_SCORE_KNN = 11,  /* the distance of h / |h| to the k-th nearest of training rows (Sun et al.
                            2022) */
    JEM_SCORE_FDBD = 12, /* minus the mean distance to the decision boundaries of y, over |h - mean|
                            (Liu & Qin 2024) */
    JEM_SCORE_VIM = 13,  /* alpha |residual of h| - F (Wang et al. 2022, its logarithm), the
                            principal space taken about 0 and of half the width at most */
    JEM_SCORE_NCI = 14,  /* -w_y . (h - mean) / |h - mean| - alpha |h|_1 (Liu & Qin 2025) */
    /* The same, for comparison: weaker on small networks. */
    JEM_SCORE_REACT = 15,    /* E of the logits of min(h, c), c a percentile of training features
                               (Sun, Guo & Li 2021) */
    JEM_SCORE_SCALE = 16,    /* E of the logits of h exp(r), r the sum of h over that of its largest
                               elements (Xu et al. 2024) */
    JEM_SCORE_GRADNORM = 17, /* -|h|_1 |1 / K - p|_1: the last layer's gradient of KL(uniform, p)
                                (Huang, Geng & Li 2021) */
    /* Of the input gradient, too. Points may leave the input range. */
    JEM_SCORE_ODIN = 18, /* -max p at x + eps sign(d log max p(x) / dx), both at T: two forward and
                              a backward pass (Liang, Li & Srikant 2018, eq. 1 and 2; T = 1000) */
    JEM_SCORE_REFINE = 19, /* F(x_K) - F(x), what F gains by x_{k+1} = x_k - step_size dE(x_k)/dx:
                              the refinement of Grathwohl et al. 2020, section 5.4, without noise.
                              Not below 0 unless steps are too long. No publication that we know of
                              has this or the next one as a score */
    JEM_SCORE_REFINE_DISTANCE = 20 /* |x_K - x|_2 of the same steps */
};

/** What a kind is made of. */
enum { JEM_SOURCE_LOGITS = 1, JEM_SOURCE_GRADIENT = 2, JEM_SOURCE_FEATURES = 3 };

typedef struct jem_score_info {
    size_t struct_size;
    const char *name;    /* "max-softmax". Static storage, as the next */
    const char *summary; /* a line about it */
    int32_t source;      /* JEM_SOURCE_* */
    int32_t classes_min; /* of models for which it says anything */
} jem_score_info;

/**
 * @param kind  JEM_SCORE_*; they count from 1 without a gap.
 * @param info  Out. Its struct_size must be set before the call.
 * @return JEM_OK; JEM_ENOTFOUND when there is no such kind; JEM_EINVAL.
 */
JEM_API jem_status jem_score_get_info(int32_t kind, jem_score_info *info);

/** The kind of that name. JEM_ENOTFOUND, with a message that lists them all, if there is none. */
JEM_API jem_status jem_score_find(const char *name, int32_t *kind);

/** The numbers in the formulas. NULL wherever one is taken means the defaults. */
typedef struct jem_score_config {
    size_t struct_size;
    float temperature;      /* T, above 0, default 1; GRADNORM has 1 */
    float gen_gamma;        /* above 0 and below 1, default 0.1 */
    int32_t gen_classes;    /* M, 1..1000, default 100 */
    int32_t neighbours;     /* k of KNN, 1..1000, default 1: the rows that are compared with are few
                               of the training rows */
    float nci_norm_weight;  /* alpha of NCI, >= 0, default 0.001 */
    float react_percentile; /* 0..100, default 90 */
    float scale_percentile; /* 0..100: elements above it are the largest; default 85 */
    float odin_epsilon;     /* eps, >= 0, in units of the input; default 0.0014 */
    int32_t refine_steps;   /* K of REFINE and REFINE_DISTANCE, 1..1000, default 10 */
    float refine_step_size; /* > 0, default 1 */
} jem_score_config;

JEM_API jem_status jem_score_config_init(jem_score_config *config, size_t struct_size);

/**
 * Scores of one kind, of logits or of the input gradient.
 *
 * @param kind    JEM_SCORE_*, not of features: these need statistics, see jem_detector_score().
 * @param config  NULL = defaults.
 * @param scores  Out. (n).
 */
JEM_API jem_status jem_score(const jem_model *model, int32_t kind, const jem_score_config *config,
                             int64_t n, const float *x, float *scores);

/**
 * The same of logits that any other engine has computed; no model is needed.
 *
 * @param kind    JEM_SCORE_* of logits.
 * @param logits  In. (n, classes). A row that is not finite scores +infinity.
 */
JEM_API jem_status jem_score_logits(int32_t kind, const jem_score_config *config, int64_t n,
                                    int32_t classes, const float *logits, float *scores);

/* ------------------------------------------------------------------------------------------- */
/* Metrics                                                                                      */
/* ------------------------------------------------------------------------------------------- */

/*
 * Figures of merit of logits, scores and features that the calls above gave, or of anybody else's.
 * None needs a model. All sums are in double and in a fixed order, so a figure has the same bits on
 * every machine and at any thread count. The order of the rows does not matter, but for rounding:
 * each figure says what it makes of ties.
 *
 * Those that take long (intervals, jem_frechet_distance, jem_precision_recall) use the default
 * threads of jem_exec_config. All return JEM_OK, JEM_EINVAL or JEM_ENOMEM. Every count of rows is
 * at least 1, because there are no figures of nothing. A struct that is filled has its struct_size
 * set by the caller.
 */

/* Classification ------------------------------------------------------------------------------- */

/**
 * How good the probabilities p(y|x) = softmax(logits / T) are. A row's confidence is the largest of
 * them, and its prediction the class that has it, the first of several.
 *
 * The calibration errors put confidences, or probabilities, into bins and average, over the rows of
 * the bins, | mean probability - share of rows that were right |.
 */
typedef struct jem_classification {
    size_t struct_size;
    double accuracy; /* 0..1 */
    double nll;      /* mean -log p(y|x), nats */
    double brier;    /* mean squared distance of p(.|x) to the one-hot label, 0..2 */
    /** Expected calibration error, 0..1: of confidences, JEM_BINS_WIDTH (Guo et al. 2017). */
    double ece;
    /** The same with JEM_BINS_MASS (after Nixon et al. 2019). */
    double ece_adaptive;
    /** Of each class's probability against the share of rows with that label, JEM_BINS_WIDTH; the
     *  mean over all classes, those without rows included, 0..1 (Kull et al. 2019; the SCE of Nixon
     *  et al. 2019). */
    double ece_classwise;
} jem_classification;

/**
 * How values of 0..1 are put into B bins, numbered from 0.
 *
 *   WIDTH  of equal width: p is in bin floor(p B), and 1 in the last
 *   MASS   of equal mass: a row with r of n rows below it is in bin floor(r B / n), so that equal
 *          confidences share a bin
 */
enum { JEM_BINS_WIDTH = 1, JEM_BINS_MASS = 2 };

/**
 * @param classes      1..100000.
 * @param logits       In. (n, classes).
 * @param labels       In. (n).
 * @param temperature  T, 1e-6..1e6; 1 leaves the logits as they are.
 * @param bins         B of the calibration errors, 1..10000; 15 is customary.
 * @param metrics      Out.
 */
JEM_API jem_status jem_classification_metrics(int64_t n, int32_t classes, const float *logits,
                                              const int64_t *labels, double temperature,
                                              int32_t bins, jem_classification *metrics);

/**
 * The bins of a reliability diagram: what `ece` or `ece_adaptive` is made of.
 *
 * @param kind        JEM_BINS_*.
 * @param count       Out. (bins). Rows of the bin.
 * @param confidence  Out. (bins). Their mean confidence; 0 in a bin without rows.
 * @param accuracy    Out. (bins). The share of them whose prediction is right; 0 likewise.
 */
JEM_API jem_status jem_reliability(int64_t n, int32_t classes, const float *logits,
                                   const int64_t *labels, double temperature, int32_t kind,
                                   int32_t bins, int64_t *count, double *confidence,
                                   double *accuracy);

/**
 * Fits a temperature to rows that were not trained on: the T of least mean NLL of the softmax of
 * logits / T (temperature scaling, Guo et al. 2017, arXiv 1706.04599, section 4.2). The order of
 * the classes of a row, and so the accuracy, does not change.
 *
 * The NLL is convex in 1 / T, so there is one minimum; it is looked for within 0.01..100. Where the
 * NLL falls on beyond, T is that bound: 0.01 when every row's largest logit is the label's, 100
 * when the logits say less than nothing of the labels. It is 1 when T makes no difference.
 *
 * @param n            Rows, >= 1; a few hundred give T within some percent.
 * @param classes      2..100000.
 * @param logits       In. (n, classes). Finite.
 * @param labels       In. (n).
 * @param temperature  Out. For jem_model_set_temperature().
 * @return JEM_OK, JEM_EINVAL.
 */
JEM_API jem_status jem_fit_temperature(int64_t n, int32_t classes, const float *logits,
                                       const int64_t *labels, float *temperature);

/* Detection of out-of-distribution rows -------------------------------------------------------- */

/**
 * How well outlier scores tell out-of-distribution ("out") from in-distribution ("in") rows. High =
 * out-of-distribution, as jem_score() gives them. Equal scores are one threshold: a threshold takes
 * all of them or none.
 *
 * Both false positive rates are of the first threshold at which the share of true positives is at
 * least `tpr`, 0.95 as a rule. Papers mean either by "FPR at 95 % TPR".
 */
typedef struct jem_detection {
    size_t struct_size;
    /** As of jem_auroc(). */
    double auroc;
    /** Average precision where out rows are the positives: the sum of (R_t - R_{t-1}) P_t over the
     *  thresholds t from the highest score on, with recall R and precision P. */
    double aupr_out;
    /** The same where in rows are the positives, by minus the scores. */
    double aupr_in;
    /** In rows are the positives, which are accepted for their low scores: the share of out rows
     *  that are accepted when a share `tpr` of in rows is (Liang et al. 2018). */
    double fpr_in_positive;
    /** Out rows are the positives, which are flagged for their high scores: the share of in rows
     *  that are flagged when a share `tpr` of out rows is (Hendrycks et al. 2019). */
    double fpr_out_positive;
} jem_detection;

/**
 * @param scores_in   In. (n_in). Scores may be infinite; NaN is JEM_EINVAL.
 * @param scores_out  In. (n_out).
 * @param tpr         Above 0, at most 1.
 * @param metrics     Out.
 */
JEM_API jem_status jem_detection_metrics(int64_t n_in, const float *scores_in, int64_t n_out,
                                         const float *scores_out, double tpr,
                                         jem_detection *metrics);

/**
 * Area under the ROC curve of telling out-of-distribution from in-distribution rows by their
 * outlier scores: the probability that an out row scores higher, ties counted half. Infinite scores
 * count like others; NaN is JEM_EINVAL.
 */
JEM_API jem_status jem_auroc(int64_t n_in, const float *scores_in, int64_t n_out,
                             const float *scores_out, double *auroc);

/**
 * The points of that ROC curve, from (0, 0) to (1, 1): one for each distinct score s from the
 * highest to the lowest, of flagging all rows with scores >= s. At most n_in + n_out + 1.
 *
 * @param room      Points that the arrays have room for. If they are too few, that is JEM_EINVAL; 0
 *                  asks for n_points alone, and the arrays may be NULL.
 * @param n_points  Out. Also when the room is too small.
 * @param fpr       Out. (room). Share of in-distribution rows that are flagged.
 * @param tpr       Out. (room). Share of out-of-distribution rows that are flagged.
 */
JEM_API jem_status jem_roc_curve(int64_t n_in, const float *scores_in, int64_t n_out,
                                 const float *scores_out, int64_t room, int64_t *n_points,
                                 double *fpr, double *tpr);

/* Selective classification --------------------------------------------------------------------- */

/**
 * How well an uncertainty says which predictions to leave out. Rows are accepted from the least
 * uncertain on. S(k) is the sum of the losses of the first k of n rows, S(k) / k the risk at
 * coverage k / n, and S(k) / n the generalised risk. Among rows of equal uncertainty each counts
 * with their mean loss, which is what random orders of them give on average.
 */
typedef struct jem_selection {
    size_t struct_size;
    /** S(n) / n, that of accepting everything. */
    double risk;
    /** The mean of S(k) / k over k = 1..n (Geifman et al. 2019). */
    double aurc;
    /** aurc minus that of accepting rows in the order of their losses, >= 0 (ibid.). */
    double eaurc;
    /** Area below the generalised risk, by straight lines from (0, 0). For losses of 0 and 1 and
     *  the accuracy a it is (1 - A) a (1 - a) + (1 - a)^2 / 2, where A is the AUROC of telling
     *  wrong from right predictions (Traub et al. 2024). */
    double augrc;
} jem_selection;

/**
 * @param uncertainty  In. (n). High = uncertain: a score of jem_score() for example. May be
 *                     infinite; NaN is JEM_EINVAL.
 * @param loss         In. (n). 0..1: 1 for a wrong prediction and 0 for a right one, for example.
 * @param metrics      Out.
 */
JEM_API jem_status jem_selective_metrics(int64_t n, const float *uncertainty, const float *loss,
                                         jem_selection *metrics);

/**
 * The points of the risk-coverage curve: one for each distinct uncertainty u from the lowest to the
 * highest, of accepting all rows with uncertainties <= u. At most n. The generalised risk is
 * coverage * risk.
 *
 * @param room, n_points  As of jem_roc_curve().
 * @param coverage        Out. (room). Share of rows that are accepted.
 * @param risk            Out. (room). Their mean loss.
 */
JEM_API jem_status jem_risk_coverage_curve(int64_t n, const float *uncertainty, const float *loss,
                                           int64_t room, int64_t *n_points, double *coverage,
                                           double *risk);

/* Intervals ------------------------------------------------------------------------------------ */

/**
 * Percentile intervals by the bootstrap (Efron & Tibshirani 1993, chapter 13): rows are drawn with
 * replacement, as many as there are, and each figure is computed from them, `resamples` times. The
 * interval of a figure reaches from its (1 - level) / 2 to its (1 + level) / 2 quantile, by
 * straight lines between the sorted values. It says what other rows from the same source might
 * give, and nothing about other models. NULL wherever one is taken means these defaults.
 */
typedef struct jem_bootstrap_config {
    size_t struct_size;
    uint64_t seed;     /* default 0; the same seed draws the same rows */
    double level;      /* above 0, below 1; default 0.95 */
    int32_t resamples; /* 1..1000000; default 1000 */
    int32_t reserved;  /* must be 0 */
} jem_bootstrap_config;

JEM_API jem_status jem_bootstrap_config_init(jem_bootstrap_config *config, size_t struct_size);

/**
 * Intervals of what jem_classification_metrics() gives for the same arguments. Takes (n, classes)
 * doubles of memory, and time for n * classes terms in each resample.
 *
 * @param low, high  Out. The ends of the interval of each figure.
 */
JEM_API jem_status jem_classification_intervals(int64_t n, int32_t classes, const float *logits,
                                                const int64_t *labels, double temperature,
                                                int32_t bins, const jem_bootstrap_config *bootstrap,
                                                jem_classification *low, jem_classification *high);

/** Intervals of what jem_detection_metrics() gives; in and out rows are drawn separately. */
JEM_API jem_status jem_detection_intervals(int64_t n_in, const float *scores_in, int64_t n_out,
                                           const float *scores_out, double tpr,
                                           const jem_bootstrap_config *bootstrap,
                                           jem_detection *low, jem_detection *high);

/* Samples -------------------------------------------------------------------------------------- */

/**
 * Frechet distance between Gaussians with the means and covariances of two sets of features:
 * |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017, eq. 6). By the features of
 * the Inception network it is the FID; by those of another network it compares only with values of
 * the same network, and of as many rows: with few rows it is too large.
 *
 * Covariances divide by n - 1; that of one row is 0. They may be singular, as with fewer rows than
 * features. Rounding decides about eigenvalues that are 1e-15 of the largest, so the distance of
 * sets that have many of these is off by up to some 1e-7 of tr(C_a + C_b); of others by much less.
 * Takes 3 * width^2 doubles of memory.
 *
 * @param width     Features of a row, 1..16384.
 * @param a         In. (n_a, width). @param b  In. (n_b, width).
 * @param distance  Out. >= 0.
 */
JEM_API jem_status jem_frechet_distance(int64_t n_a, const float *a, int64_t n_b, const float *b,
                                        int64_t width, double *distance);

/**
 * Score of samples by a classifier's logits: exp of the mean over the rows of KL(p(y|x) || p(y)),
 * where p(y) is the mean of p(y|x) (Salimans et al. 2016, section 4). 1 where all rows look alike
 * or undecided, `classes` where they are decided and of all classes alike. With the logits of the
 * Inception network it is the Inception score.
 *
 * @param logits  In. (n, classes).
 * @param score   Out. 1..classes.
 */
JEM_API jem_status jem_inception_score(int64_t n, int32_t classes, const float *logits,
                                       double *score);

/**
 * Precision and recall of samples by features (Kynkaanniemi et al. 2019, eq. 1 and 2). The manifold
 * of a set is the union of the closed balls around its rows that reach to the k-th nearest other
 * row of the set. Precision is the share of samples within the manifold of the real rows, recall
 * the share of real rows within that of the samples. Takes time for n_real^2 + n_samples^2 + 2
 * n_real n_samples distances.
 *
 * @param real       In. (n_real, width). @param samples  In. (n_samples, width).
 * @param width      Features of a row, 1..16384.
 * @param k          1 .. the smaller number of rows - 1; the paper has 3.
 * @param precision  Out. 0..1. @param recall  Out. 0..1.
 */
JEM_API jem_status jem_precision_recall(int64_t n_real, const float *real, int64_t n_samples,
                                        const float *samples, int64_t width, int32_t k,
                                        double *precision, double *recall);

/* ------------------------------------------------------------------------------------------- */
/* Detector                                                                                     */
/* ------------------------------------------------------------------------------------------- */

/*
 * A detector decides whether a row is out-of-distribution, by several scores at once and at a
 * false-positive rate that is promised. It is made in two steps, from rows that a model of the same
 * parameters sees:
 *
 *     jem_detector_create, jem_detector_fit        statistics of training rows
 *     jem_detector_calibrate                       scores of held-out in-distribution rows, which
 *                                                  neither training nor the fit have seen
 *     jem_detect                                   from then on, by any number of threads at once
 *
 * Nothing of it looks at out-of-distribution rows. The default kinds are one of each sort of
 * evidence: how large the logits are (energy), how they are shared out (GEN), where features lie
 * (Mahalanobis, the same relative to all rows, and nearest neighbours). A row is as suspicious as
 * its most suspicious score, each measured by how far out it lies among scores of held-out rows;
 * that combination is calibrated in its turn, on other held-out rows, so that its p-value is valid
 * whatever the kinds are worth.
 *
 * No other call may use a detector while it is fitted, calibrated or given a threshold.
 */

typedef struct jem_detector jem_detector;

/** How the surprises -ln(part of held-out rows that lie as far out) of several kinds become one. */
enum {
    JEM_COMBINE_LARGEST = 1, /* the most surprising kind decides (Tippett 1931) */
    JEM_COMBINE_SUM = 2      /* their sum (Fisher 1932) */
};

typedef struct jem_detector_config {
    size_t struct_size;
    uint64_t kinds;     /* 1 << JEM_SCORE_*, or-ed, of kinds that suit the model's classes; 0
                           (default): those of ENERGY, GEN, MAHALANOBIS, RELATIVE_MAHALANOBIS and
                           KNN that do */
    uint64_t two_sided; /* those of `kinds` whose low values are suspicious as well; default 0 */
    uint64_t seed;      /* of the division of held-out rows; default 0 */
    int64_t bank_bytes; /* of the training rows that KNN compares with, at most; they are chosen
                           evenly from all classes. More than a thousand are searched in part: what
                           is found is seldom farther than the nearest. >= 4096, default 4 MiB */
    double fpr;         /* the false-positive rate that is promised, 1e-9 .. 1 - 1e-9; default 0.01.
                           See jem_detector_set_threshold() */
    double confidence;  /* 0 (default), or 1e-9 .. 1 - 1e-9 */
    int32_t combine;    /* JEM_COMBINE_*, default LARGEST; of a single kind nothing is combined */
    int32_t per_class;  /* 1: thresholds and p-values for each predicted class; default 0 */
    int32_t rank;       /* leading directions of the features that distances are taken in, 1..256,
                           default 128; wider features are reduced to that many, and what lies
                           beside them counts in one number */
    int32_t flag_range; /* 1 (default): rows outside of the input range are flagged and score
                           +infinity, see jem_input_range() */
} jem_detector_config;

JEM_API jem_status jem_detector_config_init(jem_detector_config *config, size_t struct_size);

/**
 * @param scores  The numbers in the formulas of the kinds; NULL = defaults.
 * @return JEM_OK, JEM_EINVAL, JEM_EUNSUPPORTED, JEM_ENOMEM.
 */
JEM_API jem_status jem_detector_create(jem_detector **out, const jem_model *model,
                                       const jem_detector_config *config,
                                       const jem_score_config *scores);
JEM_API void jem_detector_destroy(jem_detector *detector);

/**
 * Statistics of the features of training rows, for kinds of features. May be called again; what was
 * calibrated before is dropped. On any error the detector is as before.
 *
 * For that time it takes some n * (feature_count + K + 6 rank) floats of memory, and several times
 * the square of the rank.
 *
 * @param n         >= 2. Some thousands are enough.
 * @param labels    In, may be NULL: the classes that the model predicts. (n).
 * @param progress  May be NULL. Counts visits of rows: a fit visits each several times.
 * @return JEM_OK, JEM_EINVAL, JEM_EMISMATCH, JEM_EBUSY, JEM_ECANCELLED, JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_detector_fit(jem_detector *detector, const jem_model *model, int64_t n,
                                    const float *x, const int64_t *labels, jem_progress_fn progress,
                                    void *user);

/**
 * Learns the scores of held-out in-distribution rows, and sets the threshold that the config asks
 * for. Of several kinds half of the rows, drawn by the seed, measure each kind and the other half
 * calibrates their combination. May be called again. On any error the detector is as before.
 *
 * @param n       Of independent rows, drawn as those that will come.
 * @param labels  In, may be NULL: their classes, for jem_detector_label_sets(). (n).
 * @return JEM_OK; JEM_EINVAL, also where the false-positive rate cannot be promised: the message
 *         says how many rows are needed, or how many of these are always flagged because they lie
 *         outside of the input range or overflow; JEM_EMISMATCH, JEM_EBUSY, JEM_ECANCELLED,
 *         JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_detector_calibrate(jem_detector *detector, const jem_model *model, int64_t n,
                                          const float *x, const int64_t *labels,
                                          jem_progress_fn progress, void *user);

/**
 * The false-positive rate: the part of in-distribution rows that are flagged, for whatever reason.
 * Rows that are not finite are not among those that it speaks of.
 *
 * @param fpr         1e-9 .. 1 - 1e-9.
 * @param confidence  0: the rate is at most `fpr` on average over all that is random, the
 *                    calibration included (conformal prediction, Vovk et al. 2005). c, from 1e-9 to
 *                    1 - 1e-9: with probability c over the calibration, the rate that holds from then
 *                    on is at most `fpr` (a tolerance limit, Wilks 1941; the exact binomial law).
 * @return JEM_OK; JEM_EINVAL, also before a calibration and when that had too few rows or too many
 *         that are always flagged; JEM_EBUSY; JEM_ENOMEM. On any error the old threshold stands.
 */
JEM_API jem_status jem_detector_set_threshold(jem_detector *detector, double fpr,
                                              double confidence);

typedef struct jem_detector_info {
    size_t struct_size;
    uint64_t kinds;
    double fpr, confidence; /* as promised; 0 before the calibration */
    double threshold; /* scores above it are flagged; the largest of all classes' if per_class */
    int64_t n_fitted; /* rows; 0 = not yet */
    int64_t n_calibrated; /* rows that calibrate the p-value; 0 = not yet */
    int64_t n_labelled;   /* rows that calibrate label sets; 0 = labels were not known */
    int64_t bank_rows;    /* training rows that KNN compares with */
    int32_t rank;         /* directions that distances are taken in; 0 = not fitted */
    int32_t per_class;
    size_t bytes; /* that the detector holds */
} jem_detector_info;

/** @param info  Out. Its struct_size must be set before the call. */
JEM_API jem_status jem_detector_get_info(const jem_detector *detector, jem_detector_info *info);

/**
 * The combined scores of held-out rows that calibrate: what the scores of a stream are compared with,
 * by a jem_monitor for example.
 *
 * @param size    Room in `scores`, at least n_calibrated of jem_detector_info.
 * @param scores  Out. (n_calibrated), ascending for each class if per_class.
 * @return JEM_OK; JEM_EINVAL, also before the calibration.
 */
JEM_API jem_status jem_detector_get_scores(const jem_detector *detector, int64_t size,
                                           float *scores);

/**
 * Scores of one of the detector's kinds, as jem_score() has them.
 *
 * @param kind    One of its kinds; 0 = all of them combined, the score of jem_detect().
 * @param scores  Out. (n).
 * @return also JEM_EINVAL before the fit, if the kind is of features, or, combined, before the
 *         calibration.
 */
JEM_API jem_status jem_detector_score(const jem_detector *detector, const jem_model *model,
                                      int32_t kind, int64_t n, const float *x, float *scores);

/** Why a row is flagged. */
enum {
    JEM_FLAG_NONE = 0,
    JEM_FLAG_SCORE = 1,     /* its score is above the threshold, or +infinity */
    JEM_FLAG_RANGE = 2,     /* it lies outside of the input range */
    JEM_FLAG_OVERFLOW = 3,  /* it is so large that the network overflows */
    JEM_FLAG_NOT_FINITE = 4 /* an element is NaN or infinite */
};

/** What is known of a row. No field is ever NaN. */
typedef struct jem_verdict {
    float score;       /* higher = more out-of-distribution; may be +infinity */
    float p_value;     /* 1 / (n + 1) .. 1, of n scores that calibrate, of the predicted class if
                      per_class: for an in-distribution row, the chance of one as small is at most
                      p_value. Rows without a label count to class 0 */
    float probability; /* of the label at the model's temperature, 0..1 */
    int32_t label;     /* the most probable class; -1 of a row that is not finite or overflows */
    int32_t flag;      /* JEM_FLAG_*; the last that applies */
    int32_t kind; /* JEM_SCORE_*, the most surprising one; 0 where the flag has another reason */
} jem_verdict;

/**
 * Decides. Rows may hold anything: what is not finite is flagged.
 *
 * @param verdicts  Out. (n), `size` = sizeof(jem_verdict) apart.
 * @return JEM_OK; JEM_EINVAL, also before the calibration; JEM_EMISMATCH when the model has another
 *         architecture, parameters, precision_scoring, backend, input range or standardisation than
 *         the one that was calibrated; JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_detect(const jem_detector *detector, const jem_model *model, int64_t n,
                              const float *x, jem_verdict *verdicts, size_t size);

typedef struct jem_explain_config {
    size_t struct_size;
    int32_t kind;  /* of the detector's kinds; 0 (default) = all of them combined, what jem_detect()
                        objects with */
    int32_t steps; /* of a path at most, 0..100000, default 100 */
    float
        step_size; /* length of a step in the Euclidean norm; 0 (default) = a hundredth of the input
                        range times the square root of the number of values */
    int32_t reserved; /* must be 0 */
} jem_explain_config;

JEM_API jem_status jem_explain_config_init(jem_explain_config *config, size_t struct_size);

/**
 * Which values of a row a detector objects to, and a row near it that the detector finds usual.
 *
 * The map is the derivative dS/dx of the score S: where it is positive, more of that value makes
 * the row more out-of-distribution. Of kinds combined it is sum_k w_k ds_k/dx, where w_k is the
 * slope that the surprise of score s_k has in an exponential tail: 1 / scale, the scale being the
 * mean excess over the outer twentieth of held-out rows (and the slope negative where low values are
 * the surprising ones). With JEM_COMBINE_LARGEST only the most surprising kind has a w_k other than 0.
 * The map does not depend on whether the row lies in the input range.
 *
 * The path to the usual row begins at the row itself, each value brought into the input range, and
 * takes steps x <- x - step_size * g / |g| with g = dS/dx, each brought back into the range. It
 * ends as soon as half of the held-out rows score as high (p-value >= 1/2, of the row's predicted
 * class if per_class), or after all steps; its point of the lowest score is handed out. Of rows that are
 * very far out that point may still be flagged: see its score. Nothing of it is random. It is a row
 * that the detector finds usual, not one that people would: what deceives detectors lies on such
 * paths as well. (On Fashion-MNIST such paths reached usual rows more often, and nearer to where
 * they began, than signed steps or steps down E(x) did.)
 *
 * Rows may hold anything. Of a row that is not finite the map is 0, and its path begins with the
 * middle of the channel's range in place of NaN. The map is 0, too, where the network or the
 * gradient overflows. No output is ever NaN.
 *
 * @param config  NULL = defaults.
 * @param map     Out. (n, C, H, W), finite. Not the same array as x, like the next.
 * @param usual   Out, may be NULL: no steps are taken. (n, C, H, W), in the input range.
 * @param scores  Out, may be NULL. (n, 2): the score of the row as jem_detector_score() has it,
 *                +infinity of one that is not finite, and that of the usual row; without one, the
 *                first twice.
 * @return JEM_OK; JEM_EINVAL, also before the calibration, or with a kind of features before the
 *         fit; JEM_EUNSUPPORTED with kinds of the input gradient, whose derivatives are second
 *         ones; JEM_EMISMATCH as in jem_detect(); JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_explain(const jem_detector *detector, const jem_model *model,
                               const jem_explain_config *config, int64_t n, const float *x,
                               float *map, float *usual, float *scores);

/**
 * Label sets: which labels a row may have, so that its true one is among them with a probability of
 * at least `coverage`, on average over in-distribution rows and the calibration (least ambiguous
 * sets, Sadinle, Lei & Wasserman 2019). One label for a row that is clear, several for one that is
 * not, and none for one that is like no held-out row. A label y belongs to the set if
 * 1 - softmax(f / T)[y] is at most the k-th smallest of such numbers for the true labels of the n
 * held-out rows, k = ceil(coverage (n + 1)), T the temperature of the detector's jem_score_config.
 *
 * @param coverage  1e-9 .. 1 - 1e-9, such as 0.9.
 * @param x         Finite.
 * @param members   Out. (n, K), 1 for labels in the set, else 0. Of a row that overflows all 1.
 * @return JEM_OK; JEM_EINVAL, also when it was calibrated without labels, or with too few rows: the
 *         message says how many are needed; JEM_EMISMATCH as jem_detect(); JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_detector_label_sets(const jem_detector *detector, const jem_model *model,
                                           double coverage, int64_t n, const float *x,
                                           uint8_t *members);

/**
 * Stores a copy of a calibrated detector with the parameters that the model has now, in place of the
 * one before: jem_model_save() writes it, jem_model_load() reads it, jem_model_clone() copies it, and
 * whatever sets other parameters (training, jem_model_set_params(), ..) drops it.
 *
 * Files with a detector have jem.format 2.
 *
 * @param detector  NULL = none from now on.
 * @return JEM_OK; JEM_EINVAL when it is not calibrated; JEM_EMISMATCH when it is not the model's;
 *         JEM_ENOMEM, JEM_EBACKEND.
 */
JEM_API jem_status jem_model_set_detector(jem_model *model, const jem_detector *detector);

/**
 * A copy of the model's detector, for jem_detector_destroy().
 *
 * @return JEM_OK; JEM_ENOTFOUND when it has none; JEM_EMISMATCH when the model has another
 *         precision_scoring, backend, input range or standardisation than the one that was
 *         calibrated, or a file whose parameters somebody has changed; JEM_EFORMAT when the file
 *         holds what is no detector; JEM_EUNSUPPORTED, of a later version; JEM_ENOMEM,
 *         JEM_EBACKEND.
 */
JEM_API jem_status jem_model_get_detector(const jem_model *model, jem_detector **out);

/* ------------------------------------------------------------------------------------------- */
/* Monitor                                                                                      */
/* ------------------------------------------------------------------------------------------- */

/*
 * A monitor watches a stream of scores and raises one alarm when the inputs are no longer what they
 * were. It needs no model: scores may come from jem_detector_score(), jem_score() or any other
 * program; higher = more unusual.
 *
 *     jem_monitor_create      from n scores of held-out in-distribution inputs, which neither
 *                             training nor a fit have seen
 *     jem_monitor_update      scores of the stream, in any portions, as long as it runs
 *
 * The promise: while inputs are drawn as those of the calibration were, the chance that an alarm is
 * EVER raised is at most alpha, however long the stream is and however often it is looked at. It
 * holds for every law of scores, also with ties, at every n, over calibration and stream together.
 * Inputs may depend on earlier ones as long as these do not make it likelier that a score lies
 * above any given value.
 *
 * Every input is compared with the fixed calibration, so that a shift never becomes part of what is
 * usual, and the error of the calibration is accounted for (conditional conformal test martingales,
 * Shaer et al. 2026, arXiv 2602.13848; their idea, in a form of its own). Half of alpha pays for the
 * calibration: its edges are its 1/2, 1/4, 1/8 .. largest scores; u_j, an upper confidence limit of
 * the part of in-distribution scores above the j-th of m edges (m counts both sides), is exceeded
 * with probability alpha / (2 m) (Clopper & Pearson 1934), so that all hold at once with probability
 * 1 - alpha / 2 (Bonferroni). The other half pays for the stream: bets of strength a in 1.25, 2, 5,
 * 20 on each edge, begun anew at each input with a weight,
 *
 *     g(x) = (a if x > edge_j, else 1) / (1 + (a - 1) u_j)
 *     R(t) = g(x_t) (R(t - 1) + w(t)),   U(t) = 1 / ln(e + t),   w(t) = U(t)^2 / (t + e)
 *     M(t) = mean of R(t) over all j and a + U(t),               M(0) = 1
 *
 * make a supermartingale, which ever reaches 2 / alpha with probability alpha / 2 (Ville 1939). The
 * alarm is raised there.
 *
 * A shift is found if it makes the part of scores above some edge larger than its u_j (plus the
 * tolerance): more calibration scores find smaller shifts, and some thousands are worth having.
 * Inputs it takes at alpha = 0.01, medians of simulated streams (tests/statistics):
 *
 *     shift                                  at input 10^4              at input 10^5
 *                                            n = 1000    n = 5000       n = 1000    n = 5000
 *     20 % of inputs above all scores           45          35             50          40
 *     5 % of inputs above all scores           350         160            420         180
 *     normal scores, mean + 2 deviations        18          17             22          20
 *     normal scores, mean + 1 deviation         75          65             90          75
 *     normal scores, mean + 1/2 deviation      380         280            430         320
 *
 * A monitor has a constant size, below 3 KiB, and an input takes some 0.1 microseconds. One call
 * may use it at a time; a second gets JEM_EBUSY.
 */

typedef struct jem_monitor jem_monitor;

typedef struct jem_monitor_config {
    size_t struct_size;
    double alpha;      /* probability of a false alarm ever, 1e-9 .. 0.5; default 0.01 */
    double tolerance;  /* a shift that is no reason for an alarm: the part of inputs above any score
                          may be larger by this much than in the calibration, 0 .. 1; default 0. The
                          promise covers such streams then */
    int32_t two_sided; /* 1: shifts to lower scores are found as well; default 0 */
    int32_t reserved;  /* must be 0 */
} jem_monitor_config;

JEM_API jem_status jem_monitor_config_init(jem_monitor_config *config, size_t struct_size);

/**
 * @param config              NULL = defaults.
 * @param n                   >= 1; the promise holds from 1 on, shifts are found from some dozens on.
 * @param calibration_scores  In. (n), of independent inputs. Infinite ones are scores like others;
 *                            NaN is JEM_EINVAL. Not kept.
 * @return JEM_OK, JEM_EINVAL, JEM_EUNSUPPORTED, JEM_ENOMEM.
 */
JEM_API jem_status jem_monitor_create(jem_monitor **out, const jem_monitor_config *config,
                                      int64_t n, const float *calibration_scores);
JEM_API void jem_monitor_destroy(jem_monitor *monitor);

/**
 * Takes n inputs. How a stream is cut into calls changes nothing. After an alarm it goes on
 * counting; the alarm stays.
 *
 * @param scores  In. (n). Infinite ones are scores like others; with a NaN among them the call is
 *                JEM_EINVAL and takes none.
 * @param alarm   Out, may be NULL. 1: there has been an alarm, in this call or before; else 0.
 * @return JEM_OK, JEM_EINVAL, JEM_EBUSY.
 */
JEM_API jem_status jem_monitor_update(jem_monitor *monitor, int64_t n, const float *scores,
                                      int32_t *alarm);

typedef struct jem_monitor_info {
    size_t struct_size;
    int64_t n_seen;   /* inputs; counted up to 2^52 */
    int64_t alarm_at; /* n_seen at the alarm; 0 = there was none */
    int64_t n_calibrated;
    double alpha, tolerance;
    double log_evidence;     /* ln M now; it does not grow beyond 623 */
    double log_evidence_max; /* the largest that it was */
    double log_threshold;    /* ln(2 / alpha): from here on there is an alarm */
    int32_t two_sided;
    int32_t alarm; /* 1: there was one */
    size_t bytes;  /* that the monitor holds */
} jem_monitor_info;

/** @param info  Out. Its struct_size must be set before the call. */
JEM_API jem_status jem_monitor_get_info(const jem_monitor *monitor, jem_monitor_info *info);

/**
 * Called once, at the alarm, on the thread of the call that brings it and after that call has taken
 * all of its inputs. May use the monitor, but not destroy it.
 */
typedef void (*jem_alarm_fn)(void *user, const jem_monitor_info *info);

/** NULL = none, as after a create or a restore. */
JEM_API jem_status jem_monitor_set_alarm(jem_monitor *monitor, jem_alarm_fn receive, void *user);

/**
 * Begins anew, without inputs and alarm, with the same calibration. Every beginning is another
 * chance of alpha / 2 for a false alarm; the alpha / 2 of the calibration counts once.
 */
JEM_API jem_status jem_monitor_reset(jem_monitor *monitor);

enum { JEM_MONITOR_SNAPSHOT_BYTES = 2048 };

/**
 * All that a monitor is, its calibration included and its alarm function not: to go on after a
 * restart, or to send to another process. The bytes are the same on all machines.
 *
 * @param size   JEM_MONITOR_SNAPSHOT_BYTES. @param bytes  Out. (size).
 * @return JEM_OK, JEM_EINVAL, JEM_EBUSY.
 */
JEM_API jem_status jem_monitor_snapshot(const jem_monitor *monitor, size_t size, uint8_t *bytes);

/**
 * A monitor from a snapshot. It goes on as the other would have, to the last bit. The digest in the
 * bytes finds damage; it does not prevent forgery.
 *
 * @return JEM_OK; JEM_EFORMAT for bytes that are no snapshot, damaged, or of another format;
 *         JEM_EINVAL, JEM_ENOMEM.
 */
JEM_API jem_status jem_monitor_restore(jem_monitor **out, size_t size, const uint8_t *bytes);

/**
 * Several workers that share one calibration, each with a part of the inputs: `monitor` becomes the
 * mean of n workers. Its R are the means of theirs, n_seen is the sum of theirs; its own largest
 * evidence, alarm and alarm function stay. Workers are monitors or restored snapshots of them, made
 * from one create (by snapshot and restore) or from the same scores and settings.
 *
 * Made for a monitor that only collects: workers go on, and now and then all are merged into it,
 * always the same ones, those that have ended too. While all inputs are in-distribution the chance
 * that the collecting monitor ever raises an alarm is at most alpha. (That one of n workers raises
 * its own is at most (n + 1) alpha / 2.) A mean sees a shift that only one worker sees, ln n nats of
 * evidence later; where scores can be sent to one place, one monitor for all sees a shift of all
 * inputs in the same number of inputs as one for a single stream.
 *
 * @param n        0: nothing changes.
 * @param workers  In. (n). `monitor` may be one of them.
 * @return JEM_OK; JEM_EMISMATCH for another calibration or other settings; JEM_EINVAL, JEM_EBUSY. On
 *         any error the monitor is as before.
 */
JEM_API jem_status jem_monitor_merge(jem_monitor *monitor, int64_t n, jem_monitor *const *workers);

/* ------------------------------------------------------------------------------------------- */
/* Sampler                                                                                      */
/* ------------------------------------------------------------------------------------------- */

typedef struct jem_sampler jem_sampler;

/** Where chains start; all but uniform ones want jem_sampler_fit(). */
enum {
    JEM_START_UNIFORM = 1,
    JEM_START_GAUSSIAN = 2,
    JEM_START_MIXTURE = 3, /* of both */
    JEM_START_DATA = 4     /* contrastive divergence (Hinton 2002), see jem_sampler_fit() */
};

/**
 * Stochastic gradient Langevin dynamics (Welling & Teh 2011) with a replay buffer (Du & Mordatch
 * 2019):
 *
 *     x <- x - step_size * clamp(dE/dx) + noise_std * N(0, I),   then x is clamped to its range
 *
 * This is exact Langevin dynamics at temperature T = noise_std^2 / (2 * step_size). The defaults
 * are those of Grathwohl et al., T = 5e-5: a sharpened p(x), good for learning and for pictures.
 *
 * With batch normalisation the chains of one call share their statistics, as in training: up to 256
 * rows at a time, more are shared out evenly. A network that normalises single values, an mlp for
 * example, then needs at least 2 rows.
 */
typedef struct jem_sampler_config {
    size_t struct_size;
    uint64_t seed;
    int32_t capacity;  /* chains in the replay buffer, 1..10^8, default 10000; at least one for
                          each class when class_conditional */
    int32_t steps;     /* K of jem_sampler_draw() and jem_train_step(), >= 0, default 20 */
    float step_size;   /* > 0, default 1 */
    float noise_std;   /* >= 0, default 0.01 */
    float reinit_prob; /* a drawn chain restarts with this probability, 0..1, default 0.05 */
    int32_t start;     /* JEM_START_*, default JEM_START_UNIFORM */
    float start_low;   /* uniform starts lie between these, default -1 and 1 */
    float start_high;
    float uniform_fraction; /* of starts in a mixture, 0..1, default 0.5 */
    float grad_clamp;       /* each element of dE/dx to +-this, > 0; INFINITY (default) = none */
    float x_low;            /* x after each step; -INFINITY and INFINITY (default) = no clamp */
    float x_high;
    int32_t class_conditional; /* 0: chains follow E(x); 1: E(x, y), the buffer split by class */
    int32_t start_rank;        /* directions of variance that the Gaussians keep, 0..256, default 0:
                                  independent elements */
    int32_t matched_noise;     /* 1: noise_std is sqrt(2 * step_size), that is T = 1, whatever the
                                  field says; default 0 */
    int32_t reserved;          /* must be 0 */
} jem_sampler_config;

/** Defaults: the chains of Grathwohl et al., without clamps. JEM_PRESET_SAFE, by jem_preset(), is
 *  what we recommend. */
JEM_API jem_status jem_sampler_config_init(jem_sampler_config *config, size_t struct_size);

/** A sampler for models of `model`'s shape. Its buffer is filled from the start distribution on the
 *  first draw. */
JEM_API jem_status jem_sampler_create(jem_sampler **out, const jem_model *model,
                                      const jem_sampler_config *config);
JEM_API void jem_sampler_destroy(jem_sampler *sampler);

/**
 * Gives the sampler the data that its chains start from. May be called again; the last fit counts.
 *
 * Gaussian starts keep, per class, the mean and variance of each input element and, with start_rank
 * r, the r leading directions of the covariance: U U^T + diag(rest), rest >= 0, by the randomised
 * Nystrom method (Halko, Martinsson & Tropp 2011, algorithm 5.5). The variances stay exact.
 *
 * JEM_START_DATA keeps a copy of the rows, and a start is one of them. But in jem_train_step(),
 * unless class_conditional, chain i of a step starts anew at data row i of that step, counted
 * round; with reinit_prob 1 this is CD-k. No fit is needed then: the buffer is first filled from
 * the fitted rows if there are any, else from those of the step.
 *
 * A class without rows starts from what all rows give. A chain of no class starts from any of the
 * rows, or from the Gaussian of a class drawn evenly.
 *
 * Cancelled, the sampler has the fit from before the call.
 *
 * @param x         In. (n, C, H, W), n >= 1.
 * @param labels    In, may be NULL: no classes, one Gaussian for all. (n).
 * @param progress  May be NULL. Counts visits of rows: a fit visits each several times.
 */
JEM_API jem_status jem_sampler_fit(jem_sampler *sampler, int64_t n, const float *x,
                                   const int64_t *labels, jem_progress_fn progress, void *user);

/** Fresh draws from the start distribution. @param labels In, may be NULL. (n). @param x Out. */
JEM_API jem_status jem_sampler_start(jem_sampler *sampler, int64_t n, const int64_t *labels,
                                     float *x);

/**
 * One Langevin step on the caller's rows, in place. Row i is chain i; the noise depends on the
 * sampler's seed and step count, the row and the element, not on threads or neighbours.
 *
 * @param labels  In, may be NULL. With labels the chain follows E(x, y), else E(x). (n).
 * @param x       In and out. (n, C, H, W).
 * @return also JEM_EDIVERGED when a gradient or a new x is not finite; x is then unspecified.
 */
JEM_API jem_status jem_sgld_step(const jem_model *model, jem_sampler *sampler, int64_t n,
                                 const int64_t *labels, float *x);

/** `steps` (>= 0) steps like jem_sgld_step(). Cancelled, each row has taken some of them. */
JEM_API jem_status jem_sampler_run(const jem_model *model, jem_sampler *sampler, int64_t n,
                                   const int64_t *labels, float *x, int32_t steps,
                                   jem_progress_fn progress, void *user);

/**
 * One draw as in training: n distinct chains of the buffer (n <= capacity), each restarted with
 * probability reinit_prob, run for `steps` of the config, stored back, and copied out. When the
 * call fails or is cancelled the buffer is as before it.
 *
 * @param x       Out. (n, C, H, W).
 * @param labels  Out, may be NULL. (n). The chains' classes when class_conditional, else -1.
 */
JEM_API jem_status jem_sampler_draw(const jem_model *model, jem_sampler *sampler, int64_t n,
                                    float *x, int64_t *labels, jem_progress_fn progress,
                                    void *user);

/**
 * Reads `n` chains of the buffer from chain `first` on.
 *
 * @param x       Out, may be NULL. (n, C, H, W).
 * @param labels  Out, may be NULL. (n); -1 unless class_conditional.
 * @param ages    Out, may be NULL. (n). Langevin steps since the chain's last start.
 */
JEM_API jem_status jem_sampler_get_chains(jem_sampler *sampler, int64_t first, int64_t n, float *x,
                                          int64_t *labels, int64_t *ages);

/** Replaces `n` chains from chain `first` on; their ages become 0. */
JEM_API jem_status jem_sampler_set_chains(jem_sampler *sampler, int64_t first, int64_t n,
                                          const float *x);

/** Empties the buffer; the next draw starts every chain anew. The random streams go on. */
JEM_API jem_status jem_sampler_reset(jem_sampler *sampler);

/* ------------------------------------------------------------------------------------------- */
/* Optimizer                                                                                    */
/* ------------------------------------------------------------------------------------------- */

typedef struct jem_optimizer jem_optimizer;

enum { JEM_OPTIMIZER_ADAM = 1, JEM_OPTIMIZER_SGD = 2 };

enum { JEM_SCHEDULE_CONSTANT = 1, JEM_SCHEDULE_STEP = 2, JEM_SCHEDULE_COSINE = 3 };

/**
 * Adam (Kingma & Ba 2015) or SGD with momentum, as torch.optim defines them. Step t = 0, 1, ..
 * uses the learning rate
 *
 *     lr * min(1, (t + 1) / warmup_steps) * decay(s),   s = min(1, t / total_steps)
 *
 *     JEM_SCHEDULE_STEP     decay(s) = lr_factor ^ (number of milestones <= s)
 *     JEM_SCHEDULE_COSINE   decay(s) = lr_floor + (1 - lr_floor) * (1 + cos(pi * s)) / 2
 *                           (Loshchilov & Hutter 2017, without restarts)
 *
 * SAM (Foret et al. 2021, eq. 2) takes a second gradient at theta + eps, from the same samples and
 * noise, and applies that one to theta. It doubles the cost of an update, not that of the chains.
 *
 *     eps = rho * g / |g|          adaptive (Kwon et al. 2021): rho * theta^2 g / | |theta| g |
 */
typedef struct jem_optimizer_config {
    size_t struct_size;
    int32_t kind;       /* default Adam */
    float lr;           /* > 0, default 1e-4 */
    float beta1, beta2; /* Adam, 0..1 exclusive of 1, default 0.9, 0.999 */
    float eps;          /* Adam, > 0, default 1e-8 */
    float momentum;     /* SGD, 0..1 exclusive of 1, default 0.9 */
    float weight_decay; /* >= 0, added to the gradient as weight_decay * theta, default 0 */
    float clip_norm;    /* gradient scaled to at most this 2-norm, > 0; INFINITY (default) = none */
    int64_t warmup_steps; /* step t < this uses lr * (t + 1) / this, >= 0, default 0 */
    uint64_t seed;        /* of input noise, augmentation and dropout, default 0 */
    float sam_rho;        /* radius of SAM, >= 0, default 0 = no SAM; adaptive ones are larger */
    int32_t sam_adaptive; /* 1: in proportion to each parameter's size; default 0 */
    int32_t schedule;     /* JEM_SCHEDULE_*, default constant */
    float lr_factor;      /* STEP, 0..1, default 0.3 */
    int64_t total_steps;  /* of the schedule, >= 0; 0 (default): jem_optimizer_set_progress() */
    float milestones[8];  /* STEP: rising fractions s, above 0, below 1; 0 (default) ends them */
    float lr_floor;       /* COSINE: the fraction of lr at the end, 0..1, default 0 */
    float ema_decay;      /* of the average for jem_optimizer_get_ema(), 0..1 exclusive of 1;
                             default 0 = none is kept */
} jem_optimizer_config;

/** Defaults: the Adam of Grathwohl et al., without warm-up, decay or clipping. JEM_PRESET_SAFE, by
 *  jem_preset(), is what we recommend. */
JEM_API jem_status jem_optimizer_config_init(jem_optimizer_config *config, size_t struct_size);

JEM_API jem_status jem_optimizer_create(jem_optimizer **out, const jem_model *model,
                                        const jem_optimizer_config *config);
JEM_API void jem_optimizer_destroy(jem_optimizer *optimizer);

/** The base learning rate from the next step on; warm-up and schedule still scale it. > 0. */
JEM_API jem_status jem_optimizer_set_lr(jem_optimizer *optimizer, float lr);

/**
 * Where in its schedule the run is: s, 0..1, from the next step on, for runs whose length is not a
 * number of steps. JEM_EINVAL when total_steps is above 0, which counts by itself.
 */
JEM_API jem_status jem_optimizer_set_progress(jem_optimizer *optimizer, float s);

/** Any of the outputs may be NULL. `steps` counts the updates done. */
JEM_API jem_status jem_optimizer_get(jem_optimizer *optimizer, float *lr, int64_t *steps);

/**
 * Copies out the exponential moving average of the parameters, which often scores better than the
 * last ones; set it on a clone by jem_model_set_params(). It begins as the parameters before the
 * first step, and after step t = 1, 2, .. moves by
 *
 *     ema <- d ema + (1 - d) theta,   d = min(ema_decay, t / (9 + t))
 *
 * so that a run which is short for its decay forgets its beginning too (as in TensorFlow's
 * ExponentialMovingAverage). State is not averaged: behind the average lies that of the last step.
 *
 * @return also JEM_EINVAL when ema_decay is 0 or no step has been taken.
 */
JEM_API jem_status jem_optimizer_get_ema(jem_optimizer *optimizer, int64_t count, float *params);

/**
 * Parameters that the program wants to have again, those that have scored best so far for example:
 * kept with the optimizer and its checkpoints until others are. Nothing in the library uses them,
 * and rollbacks of the guard leave them alone.
 *
 * @param count   param_count of the model.
 * @param params  In. Finite. NULL = keep none, whatever count is; so it is at first.
 */
JEM_API jem_status jem_optimizer_set_kept(jem_optimizer *optimizer, int64_t count,
                                          const float *params);

/** Copies the kept parameters out. JEM_ENOTFOUND when there are none. */
JEM_API jem_status jem_optimizer_get_kept(jem_optimizer *optimizer, int64_t count, float *params);

/* ------------------------------------------------------------------------------------------- */
/* Training                                                                                     */
/* ------------------------------------------------------------------------------------------- */

/**
 * The loss of one step (Grathwohl et al., eq. 9, with the energy penalty of Du & Mordatch 2019):
 *
 *     L = w_px  * -( mean F(x_data) - mean F(x_sample) )
 *       + w_pyx * CE(f(x_labelled), y_labelled)
 *       + w_pxy * -sum_c n_c / n * ( mean f(x_labelled of c)[c] - mean f(x_sample of c)[c] )
 *       + energy_l2 * ( mean E(x_data)^2 + mean E(x_sample)^2 )
 *       + w_outlier * ( mean max(0, E(x_in) - m_in)^2 + mean max(0, m_out - E(x_outlier))^2 )
 *
 * Samples are constants: no gradient flows through the chains. The same ones serve all terms; w_pxy
 * wants them class-conditional, w_px takes either kind.
 *
 * The term of w_pxy has the gradient of -log p(x|y), averaged over the labelled rows. As
 * p(x|c) = exp(f(x)[c]) / Z(c) (eq. 5), the labelled rows of class c, n_c of n, are compared with
 * the mean over the samples of that class (eq. 2), however many there are: so it moves no bias of a
 * class, whatever the shares of the classes are. Classes without a sample in the step are left out;
 * the buffer holds all classes alike, so with many let n_samples be several times their number.
 *
 * The term of w_outlier (Liu et al. 2020, arXiv 2010.03759, eq. 7) draws usual rows below the
 * energy outlier_m_in and drives rows that are known to be none, x_outliers of the batch, above
 * outlier_m_out; between and beyond nothing is asked of a row, so the term is 0 once all comply. It
 * combines with all others, and with those of labels alone it makes an outlier-aware classifier.
 * x_in are the rows whose mean F is f_data in jem_train_stats: the data rows, if w_px or energy_l2
 * look at them or the batch has them apart; otherwise the labelled rows, as the cross entropy sees
 * them. Outliers get the same noise and augmentation as x_in.
 *
 * The margins of the paper, -23 and -5, fit the energies that a wide ResNet trained on 10 classes
 * has anyway; its weight is 0.1. A network begins at E(x) = -log K or so, when all its logits are
 * near 0, and energy_l2 holds energies near 0 as well: hence the defaults -5 and 0, to either side
 * of -log K for ten classes. For a classifier that is trained already, margins between the mean
 * energies of its usual rows and of the outliers, which jem_energy() tells, change it least.
 *
 * With logit_norm the cross entropy is that of normalised logits (Wei et al. 2022, arXiv
 * 2205.09310, eq. 5), f / (tau |f| + tau 1e-7) in place of f. A classifier lowers the plain one
 * without end by making its logits longer, on rows that it has never seen, too; this one only turns
 * them, which makes JEM_SCORE_MAX_SOFTMAX tell outliers better. As nothing fits their length,
 * softmax f(x) is no estimate of probabilities before jem_fit_temperature() has fitted it. It is
 * for plain classifiers: where f is an energy too, p(y|x) is softmax f by eq. 6 of Grathwohl et
 * al., and a cross entropy of other logits would be that of another model. With w_outlier, which
 * looks at one number of all logits, it does combine.
 *
 * With batch normalisation each of the batches is normalised by its own statistics (of up to 256
 * rows at a time), and labelled and data rows move the running ones, with momentum 0.1. Scoring
 * uses the running ones, also for outliers, which is not how the term of w_outlier has seen them.
 *
 * Augmented rows are moved by up to augment_crop pixels each way, the edges filled by reflection,
 * then mirrored left-right with probability 1/2, then get their noise. The caller's rows stay.
 */
typedef struct jem_train_config {
    size_t struct_size;
    float w_px;        /* >= 0, default 1; with w_pxy and energy_l2 0 too: a plain classifier */
    float w_pyx;       /* >= 0, default 1; 0 = no labels needed */
    float energy_l2;   /* >= 0, default 0.1 */
    float input_noise; /* std of Gaussian noise on data and labelled rows, >= 0, default 0.03 */
    jem_progress_fn progress; /* called after each chunk of chain steps; default NULL */
    void *progress_user;
    float w_pxy;          /* >= 0, default 0 */
    int32_t augment_crop; /* pixels, 0 (default) .. 64, below height and width; 4 in the papers */
    int32_t augment_flip; /* 1: mirrored or not; default 0 */
    int32_t augment_data; /* 1: the rows of w_px and energy_l2 too, not only those of w_pyx and
                             w_pxy; default 0, as there it costs accuracy and pictures (Yang,
                             Su & Ji 2023) */
    int32_t guard;        /* 1: divergence is undone, see jem_train_step(); default 0 */
    int32_t guard_tries;  /* R, 1..1000, default 5 */
    int32_t guard_every;  /* S, steps between snapshots at least, 1..10^6, default 100 */
    float w_outlier;      /* >= 0, default 0; above, the batch must have outliers */
    float outlier_m_in;   /* energies of usual rows shall lie below, default -5 */
    float outlier_m_out;  /* those of outliers above, default 0; above outlier_m_in */
    float logit_norm;     /* tau, >= 0, default 0 = plain cross entropy; 0.04 in the paper */
    int32_t reserved;     /* must be 0 */
} jem_train_config;

/** Defaults: the loss of Grathwohl et al. with an energy penalty, without augmentation or guard.
 *  JEM_PRESET_SAFE, by jem_preset(), is what we recommend. */
JEM_API jem_status jem_train_config_init(jem_train_config *config, size_t struct_size);

/** The rows of one step. Fill by jem_train_batch_init(), which makes all of it empty. */
typedef struct jem_train_batch {
    size_t struct_size;
    int64_t n_labelled; /* rows of the terms with labels; needed when w_pyx or w_pxy > 0 */
    const float *x_labelled;
    const int64_t *y_labelled;
    int64_t n_data; /* rows of w_px and energy_l2, unlabelled; 0 = the labelled rows serve both */
    const float *x_data;
    int64_t n_samples;        /* chains to draw; 0 = as many as data rows */
    const float *x_samples;   /* (n_samples, C, H, W) to use instead of drawing; NULL = draw */
    const int64_t *y_samples; /* (n_samples), their classes; needed with x_samples if w_pxy > 0 */
    int64_t n_outliers;       /* rows that are none of the data; needed when w_outlier > 0 */
    const float *x_outliers;
} jem_train_batch;

JEM_API jem_status jem_train_batch_init(jem_train_batch *batch, size_t struct_size);

/**
 * What happened in a step that returned JEM_OK, or JEM_EDIVERGED after the guard's last try. Later
 * versions add values.
 */
enum {
    JEM_EVENT_NONE = 0,
    JEM_EVENT_ROLLBACK = 1 /* no update: the guard went back to a snapshot */
};

typedef struct jem_train_stats {
    size_t struct_size;
    int64_t step; /* updates done, this one included; after a rollback those that stand */
    int32_t event;
    float lr;               /* the one used */
    double loss;            /* the sum of the weighted terms */
    double loss_px;         /* weighted */
    double loss_pyx;        /* weighted */
    double loss_l2;         /* weighted */
    double f_data;          /* mean F of the data rows; without any, of the labelled ones */
    double f_samples;       /* mean F of the samples */
    double gap;             /* f_data - f_samples */
    double accuracy;        /* of the labelled rows, 0..1, before the update */
    double grad_norm;       /* 2-norm of the parameter gradient (SAM: the second), unclipped */
    double chain_grad_norm; /* mean 2-norm of dE/dx per row in the chains' last step */
    double seconds_sampling;
    double seconds_updating;
    double loss_pxy;     /* weighted */
    double param_norm;   /* 2-norm of the parameters before the update */
    double update_norm;  /* 2-norm of their change */
    double sample_max;   /* largest |x| of the samples */
    double clamped;      /* part of the drawn samples' elements that lie on x_low or x_high, 0..1 */
    double chain_age;    /* mean number of Langevin steps since a drawn chain's last start */
    double loss_outlier; /* weighted */
    double f_outliers;   /* mean F of the outliers */
} jem_train_stats;

/**
 * One training step: draw samples, take the gradient of the loss, update the parameters. Other
 * threads may score with the same model meanwhile; each of their calls sees the parameters of
 * before or after, never a mixture.
 *
 * On any error, JEM_EDIVERGED (something is not finite) and JEM_ECANCELLED included, parameters,
 * optimizer and the chains of the replay buffer are those from before the call; only after the
 * guard's last try they are those of a snapshot, see below. But where chains were drawn those that
 * had never been started are, and except after JEM_ENOMEM the next draw sees other noise.
 *
 * The new parameters have the same bits at any thread count in JEM_BACKEND_REF and _NATIVE, and in
 * JEM_BACKEND_ONEDNN on processors with AVX-512, AVX2 with FMA, or NEON unless precision_training
 * is F32_STRICT. Elsewhere oneDNN computes the gradients of
 * weights and sums them as its threads share the rows: other counts round differently.
 *
 * With `guard` a step that would diverge is undone instead. An alarm is raised before anything is
 * updated, when any of these is not finite, beyond a wide absolute bound, beyond 10^4 times (chain
 * gradients 10^5) what it was in the first step, or 20 steps after the start beyond 30 times its
 * mean over about the last 100 or 2,000 good steps (gradients 100 and 60 times): loss, gap, F, the
 * norms of the gradients, the range of the samples, the norm of the update against that of the
 * parameters. Means below 1 (of the update's norm: 0.01) count as that; loss, parameter gradient
 * and update are not compared with the first step. When parameters are set from outside, means and
 * rollbacks are counted anew, and the next step is the first. A checkpoint of format 1 has only the
 * mean over 100 steps: after loading it, that stands for the long mean and for the first step.
 *
 * Then parameters, optimizer and sampler go back to a snapshot, the chains that were bad (or all of
 * that step, if none stands out) start anew, all random streams change, the learning rate is halved
 * for good (jem_optimizer_set_lr() may raise it again), and the call returns JEM_OK with
 * JEM_EVENT_ROLLBACK in `stats` and a line in the log; jem_last_error() says what was wrong. The
 * caller goes on with its next batch. After R rollbacks without S good steps in a row the last one
 * returns JEM_EDIVERGED instead of JEM_OK, with the same in `stats`. All handles are in the state
 * of the snapshot, whose step stats.step and jem_optimizer_get() tell, and may be tried again.
 *
 * A snapshot is a state whose own figures raised no alarm, S steps or more after the one before.
 * Two are kept. A rollback goes to the newer; when an alarm comes again before S good steps, the
 * newer is dropped and the older is gone back to. The first step, and one that finds parameters or
 * chains set from outside, keeps the state that it starts from, which is taken as good. The memory
 * of each, in floats: what the optimizer remembers (Adam 2, SGD 1, an average 1 more for each
 * parameter), the parameters themselves, and the replay buffer. Kept until the optimizer is
 * destroyed, from the first guarded step on.
 *
 * @param sampler  May be NULL when no chains are drawn: w_px, w_pxy and energy_l2 are 0, or
 *                 x_samples is given.
 * @param config   NULL = defaults.
 * @param stats    Out, may be NULL. Its struct_size must be set before the call.
 * @return JEM_OK, JEM_EINVAL, JEM_EMISMATCH, JEM_EBUSY, JEM_EDIVERGED, JEM_ECANCELLED, JEM_ENOMEM,
 *         JEM_EBACKEND.
 */
JEM_API jem_status jem_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                                  const jem_train_config *config, const jem_train_batch *batch,
                                  jem_train_stats *stats);

/* ------------------------------------------------------------------------------------------- */
/* Attacks                                                                                      */
/* ------------------------------------------------------------------------------------------- */

/**
 * How an adversarial point is looked for: by gradients (PGD, APGD), by costs alone (SQUARE), or by
 * decisions alone (BOUNDARY, POINTWISE), which a network that hides its gradients cannot evade.
 *
 *   PGD        Projected gradient descent (Madry et al. 2018, arXiv 1706.06083): steps against the
 *              sign of the cost's gradient (LINF), or against the gradient scaled to the step's
 *              length (L2), each followed by a projection. LINF and L2.
 *   APGD       Auto-PGD with the cross-entropy (Croce & Hein 2020, arXiv 2003.01690, algorithm 1):
 *              momentum, and steps that are halved at checkpoints when too few of them help, to go
 *              on from the best point. LINF and L2.
 *   SQUARE     Random search by squares (Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1
 *              and 2), which cover 0.8 of the image at first. Its cost is the log odds below instead
 *              of the margin of the two largest logits. The features of a table are taken for a
 *              line. LINF.
 *   BOUNDARY   A walk along the boundary of what reaches the goal (Brendel et al. 2018, arXiv
 *              1712.04248), from a random image that does: rows for which 48 of these do not are
 *              given up. Looks for the nearest point, whatever eps is, and takes every restart's
 *              steps. L2.
 *   POINTWISE  From such an image values go back to those of the row, in random order and in ever
 *              smaller groups, until no single one can (Schott et al. 2018, arXiv 1805.09190, but for
 *              the groups). Looks for the nearest point. L0.
 */
enum {
    JEM_ATTACK_PGD = 1,
    JEM_ATTACK_APGD = 2,
    JEM_ATTACK_SQUARE = 3,
    JEM_ATTACK_BOUNDARY = 4,
    JEM_ATTACK_POINTWISE = 5
};

/** How the distance of a point from its row is measured: the largest change of a value, the
 *  Euclidean length of the change, or how many values changed. */
enum { JEM_NORM_LINF = 1, JEM_NORM_L2 = 2, JEM_NORM_L0 = 3 };

/**
 * What an attack is after, and by which cost it is guided. `labels` are the classes y in these:
 *
 *   UNTARGETED  another class than the true y has the largest logit (of equal ones the first counts).
 *               The cost is log p(y|x) - log(1 - p(y|x)).
 *   TARGET      y is a class to be taken for: it has the largest logit or, with a confidence c,
 *               p(y|x) > c. The cost is log(1 - p(y|x)) - log p(y|x). From rows of noise this gives
 *               the distal adversarials of Grathwohl et al. 2020, section 5.4 (c = 0.9, PGD with eps
 *               INFINITY).
 *   ENERGY      the outlier detector is to take the row for in-distribution: E(x), or with labels
 *               E(x, y), is at or below the threshold. The cost is that energy.
 *   DETECTOR    a jem_detector is to take the row for in-distribution: jem_detect() does not flag
 *               it. The cost is its combined score minus the threshold of the predicted class, and
 *               its gradient that of jem_explain(). PGD and APGD are JEM_EUNSUPPORTED for kinds of
 *               the input gradient, whose derivatives are second ones. Labels are not used.
 *
 * The log odds of the first two rise and fall with the cross-entropy, whose gradient has the same
 * direction; but they do not vanish where p(y|x) rounds to 1.
 */
enum { JEM_GOAL_UNTARGETED = 1, JEM_GOAL_TARGET = 2, JEM_GOAL_ENERGY = 3, JEM_GOAL_DETECTOR = 4 };

/**
 * An attack. Lengths are in units of the model's input: where inputs reach from -1 to 1, what is
 * called 8/255 of an image in 0..1 is an eps of 16/255.
 *
 * Refinement is the defence JEM-k of Grathwohl et al. 2020, section 5.4: k Langevin steps on E(x)
 * from the input, then classification,
 *
 *     x <- x - refine_step_size * dE/dx + refine_noise_std * N(0, I)
 *
 * with the running statistics of batch normalisation. It is attacked together with the network: costs
 * and gradients are means over refine_samples refinements of the point (expectation over
 * transformation, Athalye et al. 2018), decisions are taken by their mean logits. The gradient at
 * the end of a chain is used as if it were that at its beginning: dx_k/dx is taken for the identity
 * (straight-through), as second derivatives of the network are not computed. An attack through the
 * whole Jacobian may be stronger. With noise the last word on each row is a refinement by numbers
 * that the attack has not seen; BOUNDARY and POINTWISE, which take each decision for final, then
 * lose many of the points that they found.
 */
typedef struct jem_attack_config {
    size_t struct_size;
    const jem_detector *detector; /* with DETECTOR, calibrated; NULL (default) with all others */
    uint64_t seed;
    /** The number of row 0 for the random numbers, >= 0, default 0: rows that go in several calls
     *  then get what they would get in one. */
    int64_t first_row;
    int32_t kind;  /* JEM_ATTACK_*, default PGD */
    int32_t norm;  /* JEM_NORM_*, default LINF */
    int32_t goal;  /* JEM_GOAL_*, default UNTARGETED */
    int32_t steps; /* of each restart, 0..10^6; 0 (default): PGD 40, APGD 100, others 1000 */
    /** The radius, >= 0, default 16/255. INFINITY leaves the input range alone as a limit: for
     *  BOUNDARY and POINTWISE, and for PGD from x with a step_size of its own. */
    float eps;
    /** Of PGD, and of APGD at first, >= 0. 0 (default): 2.5 * eps / steps and 2 * eps. */
    float step_size;
    int32_t restarts; /* 1..1000, default 1 */
    /** PGD and APGD: 1 (default): every restart begins at a random point within eps; 0: the first
     *  one begins at x. */
    int32_t random_start;
    float confidence; /* of TARGET, >= 0 and < 1; 0 (default): the largest logit will do */
    float threshold;  /* of ENERGY; -INFINITY (default): none, all steps are made */
    /** 1 (default): values stay in the input range of their channel; those that are outside of it
     *  in x, between there and the range. 0: all may leave it. */
    int32_t clip;
    int32_t refine_steps;   /* k, 0..1000, default 0: none, as DETECTOR wants it */
    int32_t refine_samples; /* 1..1000, default 1 */
    float refine_step_size; /* > 0, default 1 */
    float refine_noise_std; /* >= 0, default 0.01 */
    int32_t reserved;       /* must be 0 */
} jem_attack_config;

JEM_API jem_status jem_attack_config_init(jem_attack_config *config, size_t struct_size);

/**
 * Attacks rows. One set of parameters serves the whole call. A row's result depends on the row, its
 * number and its label, neither on n nor on its neighbours nor on threads.
 *
 * A row that reaches the goal as it is is left alone, at distance 0; one that reaches it in a step
 * is done with. (With noise in a refinement every row is attacked in all steps, as a goal that is
 * reached once may be missed the next time.) The points of PGD, APGD and SQUARE lie within eps of
 * their rows, exactly: the distance of the floats, computed in double, is not above it. BOUNDARY and
 * POINTWISE look for the nearest point; where that is farther away, the goal is not reached.
 *
 * Rows that overflow count as misclassified by UNTARGETED, and never reach another goal.
 *
 * Memory: some arrays of up to 256 rows, whatever n is.
 *
 * @param config         NULL = defaults.
 * @param labels         In. (n). May be NULL with ENERGY and DETECTOR.
 * @param x_adversarial  Out. (n, C, H, W), not the same array as x. Of a row that did not reach the
 *                       goal: the point of the lowest cost, or the nearest that was found, or x.
 * @param success        Out, may be NULL. (n). 1 where the goal is reached, otherwise 0.
 * @param distance       Out, may be NULL. (n). That of x_adversarial in the norm; INFINITY where the
 *                       goal is not reached.
 * @param progress       May be NULL. Counts steps of rows.
 * @return JEM_OK, JEM_EINVAL, JEM_EUNSUPPORTED, JEM_ECANCELLED, JEM_ENOMEM, JEM_EBACKEND; with a
 *         detector also JEM_EMISMATCH, as in jem_detect().
 */
JEM_API jem_status jem_attack(const jem_model *model, const jem_attack_config *config, int64_t n,
                              const float *x, const int64_t *labels, float *x_adversarial,
                              uint8_t *success, float *distance, jem_progress_fn progress,
                              void *user);

/* ------------------------------------------------------------------------------------------- */
/* Presets                                                                                      */
/* ------------------------------------------------------------------------------------------- */

/**
 * Whole recipes for training, by name. All but the first and the last are published ones, for
 * WRN-28-10 on 32x32 images; here is what they are and where they depart from the publication.
 *
 * The one to begin with is SAFE. What the _init functions fill is JEM2020 with an energy L2 of 0.1
 * and without warm-up, decay and augmentation: no clamps, no guard. jem train without --preset has
 * settings of its own, SAFE made light for a few minutes on a CPU.
 *
 *     SAFE        JEM2020 made steady: gradient clamp 1, x clamp, energy L2 0.1, gradient norm 5,
 *                 guard; no augmentation. Chains start uniformly, so that no fit is needed;
 *                 JEM_START_MIXTURE and a fit soon give better pictures.
 *     JEM2020     Grathwohl et al. 2020, arXiv 1912.03263.
 *     JEMPP       JEM++, Yang & Ji 2021, arXiv 2109.09032. Its 10 outer steps of 5 inner ones of
 *                 size 0.2 through the first layer alone (PYLD) are, that layer being linear and
 *                 the noise 0, the same as 10 steps of size 1; so those are what is done. Chains
 *                 and samples never move batch norm's running statistics, as in the released code
 *                 they do.
 *     SADA        SADA-JEM, Yang, Su & Ji 2023, arXiv 2209.07959. SAM with rho 2 in its adaptive
 *                 form, which the authors' code takes from rho 0.5 on. Chains and samples
 *                 as in JEMPP.
 *     MJEM        M-JEM, Yang & Ji 2023, arXiv 2303.04343. The energy penalty is on the mean of
 *                 E^2, not on the square of the mean. One Gaussian: jem_sampler_fit() without
 *                 labels.
 *     IGEBM       Du & Mordatch 2019, arXiv 1903.08689, the unconditional model, learnt without
 *                 labels. Gaussian noise of the same variance instead of uniform dequantisation;
 *                 a buffer of floats, not of bytes; noise after the gradient of a step, not
 *                 before; no clip of each gradient element to 3 sqrt(v) + 0.1, which the released
 *                 code's Adam has (v corrected for its beginning); no length was published. For
 *                 the conditional model set w_px 0, w_pxy 1 and class_conditional 1.
 *     CLASSIFIER  the twin that others are compared with: JEM2020 without its density terms, on
 *                 any network.
 *
 * In all of them a warm-up begins at lr / 1000 instead of 0 and does not suspend the decay; the
 * chains of a step are distinct; images are moved by up to an eighth of their shorter side, which
 * was 4 pixels of 32, and rows that are no images are not augmented. Gaussian starts keep the
 * variances and 32 directions of the covariance instead of all of it. No publication has a guard,
 * so only SAFE sets it; but jem train guards the runs of every preset unless told --no-guard.
 */
enum {
    JEM_PRESET_SAFE = 1,
    JEM_PRESET_JEM2020 = 2,
    JEM_PRESET_JEMPP = 3,
    JEM_PRESET_SADA = 4,
    JEM_PRESET_MJEM = 5,
    JEM_PRESET_IGEBM = 6,
    JEM_PRESET_CLASSIFIER = 7
};

/** What of a recipe is no setting of a handle. Texts are in static storage. */
typedef struct jem_preset_info {
    size_t struct_size;
    const char *name;         /* "jem2020" */
    const char *summary;      /* a line about it */
    const char *arch_options; /* what jem_model_config.arch must have: "norm=batch"; "" = nothing */
    float input_low;          /* the model's input range that the numbers are meant for */
    float input_high;
    int32_t n_data;     /* data rows of a step, and chains; 0 = the labelled rows serve both */
    int32_t n_labelled; /* labelled rows of a step; 0 = no labels are used */
    int32_t epochs;     /* passes over the labelled rows, or else the data; 0 = not published */
    int32_t fit_labels; /* 1: Gaussian starts are per class; 0: jem_sampler_fit() without labels */
} jem_preset_info;

/**
 * Fills configs as their _init functions do, with what a preset says; then change what you need.
 * Starts and x clamp are the model's input range (of a standardised model the widest channel's).
 *
 * The schedule spans the run: give the optimizer its place by jem_optimizer_set_progress(), or set
 * total_steps to epochs times the steps of one. Chains whose start is not uniform want
 * jem_sampler_fit().
 *
 * @param model   May be NULL, to look at a preset: for the range of `info` and images of 32x32.
 * @param preset  JEM_PRESET_*; they count from 1 without a gap.
 * @param sampler, optimizer, train, info  Out, each may be NULL, struct_size set.
 * @return JEM_OK; JEM_EINVAL when there is no such preset; JEM_EMISMATCH when the model lacks an
 *         arch option that it needs; JEM_EUNSUPPORTED when a struct of an older header has no room
 *         for a setting. On any error nothing is written.
 */
JEM_API jem_status jem_preset(const jem_model *model, int32_t preset, jem_sampler_config *sampler,
                              jem_optimizer_config *optimizer, jem_train_config *train,
                              jem_preset_info *info);

/** The preset of that name. JEM_ENOTFOUND, with a message that lists them all, if there is none. */
JEM_API jem_status jem_preset_find(const char *name, int32_t *preset);

/* ------------------------------------------------------------------------------------------- */
/* Checkpoints                                                                                  */
/* ------------------------------------------------------------------------------------------- */

/**
 * A note of the program's own, kept with the optimizer and its checkpoints: where the program is in
 * its data, for example. UTF-8. NULL removes it; there is none at first.
 */
JEM_API jem_status jem_optimizer_set_note(jem_optimizer *optimizer, const char *note);

/** Copies the note out, "" if there is none. Arguments as in jem_model_get_metadata(). */
JEM_API jem_status jem_optimizer_get_note(jem_optimizer *optimizer, char *buffer, size_t size,
                                          size_t *length);

/**
 * Writes all that a training run needs to go on: parameters and the state behind them (running
 * statistics); the optimizer's state, learning rate, seed, position in the schedule, average, kept
 * parameters and note; the sampler's replay buffer, fitted starts, seed and position in its random
 * streams; the guard's means, its count of tries and its snapshots, up to two. Safetensors, with a
 * digest over every byte.
 *
 * Its size in floats: the parameters, what the optimizer remembers (Adam 2, SGD 1, an average 1
 * more for each parameter) and the replay buffer, three times with two snapshots of the guard; the
 * kept parameters; and the data that JEM_START_DATA was fitted to.
 *
 * Crash-safe: at any moment `path` is the old checkpoint or the new one, whole. The one before
 * stays as `path` with ".prev" added, unless it is one that could not be loaded. Links, devices and
 * pipes are written as by jem_model_save(); there is nothing before them.
 *
 * After jem_checkpoint_load() the same batches give the same parameters, bit for bit, as if the run
 * had never stopped, also where the guard goes back, with the same library, backend and configs,
 * and at the same thread count where jem_train_step() says that it matters. The file records
 * which kernels were chosen for this network and, where oneDNN's are among them, its version and
 * instruction set; our own have the same bits on all (jem_isa()). Saving changes nothing of the run.
 *
 * @param sampler  May be NULL for a run without one.
 * @return JEM_OK, JEM_EINVAL, JEM_EMISMATCH, JEM_EBUSY, JEM_ENOMEM; JEM_EIO: the old checkpoint
 *         stands, unless the message says that only the new one's permanence is in doubt.
 */
JEM_API jem_status jem_checkpoint_save(const char *path, const jem_model *model,
                                       jem_optimizer *optimizer, jem_sampler *sampler);

/**
 * Puts handles into the state of a checkpoint. They are to be created as those were that it was
 * made of; its learning rate and seeds replace theirs, all other settings stay theirs.
 * One of an earlier version may hold no snapshots: then the next guarded step takes one.
 *
 * When `path` is missing or damaged, the checkpoint before it is taken, with a warning in the log;
 * not when it cannot be read for another reason, such as permissions, which is JEM_EIO.
 * Every number and array is checked before anything changes: one that holds what no run can have, a
 * negative second moment or a snapshot that lies ahead of its run for example, is JEM_EFORMAT.
 * When other kernels compute than those which the checkpoint records (another processor, library or
 * precision), a warning says so: the run goes on, but not to the bits of one that never stopped.
 *
 * @return JEM_OK; JEM_EMISMATCH when the checkpoint is of another architecture, data shape, kind of
 *         optimizer or replay buffer; JEM_EIO, JEM_EFORMAT, JEM_EUNSUPPORTED, JEM_ENOMEM,
 *         JEM_EBUSY, JEM_EINVAL. On any error every handle is as before.
 */
JEM_API jem_status jem_checkpoint_load(const char *path, jem_model *model, jem_optimizer *optimizer,
                                       jem_sampler *sampler);

#ifdef __cplusplus
}
#endif

#endif /* JEM_JEM_H */
