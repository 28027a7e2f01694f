"""The public C API of jem.h as one table: typedefs, constants, structs, functions.

Every type is spelled as in the header, in the header's order. Nothing else in the package repeats
a C type, a field name or a number. tests/unit/test_python_declarations.py parses jem.h and fails
when this table and the header differ in anything.
"""

from __future__ import annotations

OPAQUE = ("jem_model", "jem_sampler", "jem_optimizer")

TYPEDEFS = {
    "jem_status": "int32_t",
    "jem_log_fn": "void (*)(void *, int32_t, const char *)",
    "jem_progress_fn": "int32_t (*)(void *, int64_t, int64_t)",
}

CONSTANTS = {
    "JEM_OK": 0,
    "JEM_EINVAL": -1,
    "JEM_ENOMEM": -2,
    "JEM_EIO": -3,
    "JEM_EFORMAT": -4,
    "JEM_EMISMATCH": -5,
    "JEM_EUNSUPPORTED": -6,
    "JEM_EBACKEND": -7,
    "JEM_EDIVERGED": -8,
    "JEM_EBUSY": -9,
    "JEM_ECANCELLED": -10,
    "JEM_ENOTFOUND": -11,
    "JEM_LOG_DEBUG": 1,
    "JEM_LOG_INFO": 2,
    "JEM_LOG_WARNING": 3,
    "JEM_BACKEND_REF": 1,
    "JEM_BACKEND_ONEDNN": 2,
    "JEM_PRECISION_F32": 1,
    "JEM_PRECISION_F32_STRICT": 2,
    "JEM_PREPARE_LOGITS": 1,
    "JEM_PREPARE_GRAD": 2,
    "JEM_PREPARE_TRAIN": 4,
    "JEM_LAYOUT_NCHW": 1,
    "JEM_LAYOUT_NHWC": 2,
    "JEM_SCORE_ENERGY": 1,
    "JEM_SCORE_MAX_SOFTMAX": 2,
    "JEM_SCORE_GRADIENT_NORM": 3,
    "JEM_START_UNIFORM": 1,
    "JEM_START_GAUSSIAN": 2,
    "JEM_START_MIXTURE": 3,
    "JEM_OPTIMIZER_ADAM": 1,
    "JEM_OPTIMIZER_SGD": 2,
    "JEM_EVENT_NONE": 0,
}

STRUCTS = {
    "jem_allocator": (
        ("allocate", "void *(*)(void *, size_t, size_t)"),
        ("release", "void (*)(void *, void *)"),
        ("user", "void *"),
    ),
    "jem_model_config": (
        ("struct_size", "size_t"),
        ("arch", "const char *"),
        ("channels", "int32_t"),
        ("height", "int32_t"),
        ("width", "int32_t"),
        ("classes", "int32_t"),
        ("seed", "uint64_t"),
        ("input_low", "float"),
        ("input_high", "float"),
    ),
    "jem_exec_config": (
        ("struct_size", "size_t"),
        ("threads", "int32_t"),
        ("backend", "int32_t"),
        ("precision_scoring", "int32_t"),
        ("precision_chains", "int32_t"),
        ("precision_training", "int32_t"),
        ("runners_max", "int32_t"),
    ),
    "jem_model_info": (
        ("struct_size", "size_t"),
        ("channels", "int32_t"),
        ("height", "int32_t"),
        ("width", "int32_t"),
        ("classes", "int32_t"),
        ("input_size", "int64_t"),
        ("param_count", "int64_t"),
        ("tensor_count", "int32_t"),
        ("threads", "int32_t"),
        ("backend", "int32_t"),
        ("input_low", "float"),
        ("input_high", "float"),
        ("macs", "int64_t"),
        ("state_count", "int64_t"),
    ),
    "jem_tensor_info": (
        ("struct_size", "size_t"),
        ("name", "char[64]"),
        ("rank", "int32_t"),
        ("shape", "int64_t[4]"),
        ("offset", "int64_t"),
        ("count", "int64_t"),
    ),
    "jem_metrics": (
        ("struct_size", "size_t"),
        ("accuracy", "double"),
        ("nll", "double"),
        ("brier", "double"),
        ("ece", "double"),
    ),
    "jem_sampler_config": (
        ("struct_size", "size_t"),
        ("seed", "uint64_t"),
        ("capacity", "int32_t"),
        ("steps", "int32_t"),
        ("step_size", "float"),
        ("noise_std", "float"),
        ("reinit_prob", "float"),
        ("start", "int32_t"),
        ("start_low", "float"),
        ("start_high", "float"),
        ("uniform_fraction", "float"),
        ("grad_clamp", "float"),
        ("x_low", "float"),
        ("x_high", "float"),
        ("class_conditional", "int32_t"),
    ),
    "jem_optimizer_config": (
        ("struct_size", "size_t"),
        ("kind", "int32_t"),
        ("lr", "float"),
        ("beta1", "float"),
        ("beta2", "float"),
        ("eps", "float"),
        ("momentum", "float"),
        ("weight_decay", "float"),
        ("clip_norm", "float"),
        ("warmup_steps", "int64_t"),
        ("seed", "uint64_t"),
    ),
    "jem_train_config": (
        ("struct_size", "size_t"),
        ("w_px", "float"),
        ("w_pyx", "float"),
        ("energy_l2", "float"),
        ("input_noise", "float"),
        ("progress", "jem_progress_fn"),
        ("progress_user", "void *"),
    ),
    "jem_train_batch": (
        ("struct_size", "size_t"),
        ("n_labelled", "int64_t"),
        ("x_labelled", "const float *"),
        ("y_labelled", "const int64_t *"),
        ("n_data", "int64_t"),
        ("x_data", "const float *"),
        ("n_samples", "int64_t"),
        ("x_samples", "const float *"),
    ),
    "jem_train_stats": (
        ("struct_size", "size_t"),
        ("step", "int64_t"),
        ("event", "int32_t"),
        ("lr", "float"),
        ("loss", "double"),
        ("loss_px", "double"),
        ("loss_pyx", "double"),
        ("loss_l2", "double"),
        ("f_data", "double"),
        ("f_samples", "double"),
        ("gap", "double"),
        ("accuracy", "double"),
        ("grad_norm", "double"),
        ("chain_grad_norm", "double"),
        ("seconds_sampling", "double"),
        ("seconds_updating", "double"),
    ),
}

# Integer fields that hold a constant: the constants' common beginning. Python takes and gives
# their names in lower case: start="mixture" is JEM_START_MIXTURE.
ENUM_FIELDS = {
    ("jem_exec_config", "backend"): "JEM_BACKEND_",
    ("jem_exec_config", "precision_scoring"): "JEM_PRECISION_",
    ("jem_exec_config", "precision_chains"): "JEM_PRECISION_",
    ("jem_exec_config", "precision_training"): "JEM_PRECISION_",
    ("jem_model_info", "backend"): "JEM_BACKEND_",
    ("jem_sampler_config", "start"): "JEM_START_",
    ("jem_optimizer_config", "kind"): "JEM_OPTIMIZER_",
    ("jem_train_stats", "event"): "JEM_EVENT_",
}

# name: (return type, argument types...)
FUNCTIONS = {
    "jem_version_number": ("uint32_t",),
    "jem_version_string": ("const char *",),
    "jem_build_info": ("const char *",),
    "jem_status_string": ("const char *", "jem_status"),
    "jem_last_error": ("const char *",),
    "jem_set_log": ("jem_status", "jem_log_fn", "void *"),
    "jem_set_allocator": ("jem_status", "const jem_allocator *"),
    "jem_model_config_init": ("jem_status", "jem_model_config *", "size_t"),
    "jem_exec_config_init": ("jem_status", "jem_exec_config *", "size_t"),
    "jem_model_create": (
        "jem_status", "jem_model **", "const jem_model_config *", "const jem_exec_config *",
    ),
    "jem_model_clone": (
        "jem_status", "jem_model **", "const jem_model *", "const jem_exec_config *",
    ),
    "jem_model_load": ("jem_status", "jem_model **", "const char *", "const jem_exec_config *"),
    "jem_model_load_buffer": (
        "jem_status", "jem_model **", "const void *", "size_t", "const jem_exec_config *",
    ),
    "jem_model_save": ("jem_status", "const jem_model *", "const char *"),
    "jem_model_destroy": ("void", "jem_model *"),
    "jem_model_prepare": ("jem_status", "const jem_model *", "int32_t", "int64_t"),
    "jem_model_get_info": ("jem_status", "const jem_model *", "jem_model_info *"),
    "jem_model_arch": ("const char *", "const jem_model *"),
    "jem_model_bytes": ("size_t", "const jem_model *"),
    "jem_model_tensor": ("jem_status", "const jem_model *", "int32_t", "jem_tensor_info *"),
    "jem_model_get_params": ("jem_status", "const jem_model *", "int64_t", "float *"),
    "jem_model_set_params": ("jem_status", "jem_model *", "int64_t", "const float *"),
    "jem_model_get_tensor": (
        "jem_status", "const jem_model *", "const char *", "int64_t", "float *",
    ),
    "jem_model_set_tensor": (
        "jem_status", "jem_model *", "const char *", "int64_t", "const float *",
    ),
    "jem_model_load_matching": ("jem_status", "jem_model *", "const char *", "int32_t *"),
    "jem_model_set_metadata": ("jem_status", "jem_model *", "const char *", "const char *"),
    "jem_model_get_metadata": (
        "jem_status", "const jem_model *", "const char *", "char *", "size_t", "size_t *",
    ),
    "jem_model_set_class_name": ("jem_status", "jem_model *", "int32_t", "const char *"),
    "jem_model_get_class_name": (
        "jem_status", "const jem_model *", "int32_t", "char *", "size_t", "size_t *",
    ),
    "jem_model_set_standardization": (
        "jem_status", "jem_model *", "int32_t", "const float *", "const float *",
    ),
    "jem_input_from_u8": (
        "jem_status", "const jem_model *", "int64_t", "const uint8_t *", "int32_t", "float *",
    ),
    "jem_input_to_u8": (
        "jem_status", "const jem_model *", "int64_t", "const float *", "int32_t", "uint8_t *",
    ),
    "jem_logits": ("jem_status", "const jem_model *", "int64_t", "const float *", "float *"),
    "jem_energy": (
        "jem_status", "const jem_model *", "int64_t", "const float *", "const int64_t *",
        "float *",
    ),
    "jem_energy_grad": (
        "jem_status", "const jem_model *", "int64_t", "const float *", "const int64_t *",
        "float *", "float *",
    ),
    "jem_score": (
        "jem_status", "const jem_model *", "int32_t", "int64_t", "const float *", "float *",
    ),
    "jem_classification_metrics": (
        "jem_status", "int64_t", "int32_t", "const float *", "const int64_t *", "jem_metrics *",
    ),
    "jem_auroc": (
        "jem_status", "int64_t", "const float *", "int64_t", "const float *", "double *",
    ),
    "jem_sampler_config_init": ("jem_status", "jem_sampler_config *", "size_t"),
    "jem_sampler_create": (
        "jem_status", "jem_sampler **", "const jem_model *", "const jem_sampler_config *",
    ),
    "jem_sampler_destroy": ("void", "jem_sampler *"),
    "jem_sampler_fit": (
        "jem_status", "jem_sampler *", "int64_t", "const float *", "const int64_t *",
    ),
    "jem_sampler_start": (
        "jem_status", "jem_sampler *", "int64_t", "const int64_t *", "float *",
    ),
    "jem_sgld_step": (
        "jem_status", "const jem_model *", "jem_sampler *", "int64_t", "const int64_t *",
        "float *",
    ),
    "jem_sampler_run": (
        "jem_status", "const jem_model *", "jem_sampler *", "int64_t", "const int64_t *",
        "float *", "int32_t", "jem_progress_fn", "void *",
    ),
    "jem_sampler_draw": (
        "jem_status", "const jem_model *", "jem_sampler *", "int64_t", "float *", "int64_t *",
        "jem_progress_fn", "void *",
    ),
    "jem_sampler_get_chains": (
        "jem_status", "jem_sampler *", "int64_t", "int64_t", "float *", "int64_t *", "int64_t *",
    ),
    "jem_sampler_set_chains": (
        "jem_status", "jem_sampler *", "int64_t", "int64_t", "const float *",
    ),
    "jem_sampler_reset": ("jem_status", "jem_sampler *"),
    "jem_optimizer_config_init": ("jem_status", "jem_optimizer_config *", "size_t"),
    "jem_optimizer_create": (
        "jem_status", "jem_optimizer **", "const jem_model *", "const jem_optimizer_config *",
    ),
    "jem_optimizer_destroy": ("void", "jem_optimizer *"),
    "jem_optimizer_set_lr": ("jem_status", "jem_optimizer *", "float"),
    "jem_optimizer_get": ("jem_status", "const jem_optimizer *", "float *", "int64_t *"),
    "jem_train_config_init": ("jem_status", "jem_train_config *", "size_t"),
    "jem_train_batch_init": ("jem_status", "jem_train_batch *", "size_t"),
    "jem_train_step": (
        "jem_status", "jem_model *", "jem_optimizer *", "jem_sampler *",
        "const jem_train_config *", "const jem_train_batch *", "jem_train_stats *",
    ),
}
