"""The Python binding's declaration table against jem.h.

The header is parsed here, strictly: a declaration that none of the known forms matches is an
error, so nothing can be overlooked. That the comparison can fail is tested too, by a table of
changes to the header, each of which must be noticed.
"""

import ctypes
import os
import pathlib
import re

import numpy as np
import pytest

import jem
from jem import _declarations, _native, errors

SOURCE = pathlib.Path(os.environ.get("JEM_SOURCE", pathlib.Path(__file__).parents[2]))
HEADER = (SOURCE / "include/jem/jem.h").read_text()

# ---- the header ------------------------------------------------------------------------------


def spelled(text):
    """One spelling per type: single blanks, a blank before a row of stars."""
    text = re.sub(r"\s*\*\s*", "*", " ".join(text.split()))
    return re.sub(r"(?<=\w)\*", " *", re.sub(r"\*(?=\w)", "* ", text)).strip()


def function_pointer(text):
    """'R (*name)(A a, B b)' as (name, 'R (*)(A, B)'), or None."""
    match = re.fullmatch(r"(.+?)\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)", text, re.S)
    if match is None:
        return None
    result = spelled(match[1])
    gap = "" if result.endswith("*") else " "
    return match[2], f"{result}{gap}(*)({', '.join(parameters(match[3]))})"


def declarators(text):
    """'int32_t a, b' or 'char name[64]' as [(name, type)]."""
    if pointer := function_pointer(text):
        return [pointer]
    first, *others = text.split(",")
    match = re.fullmatch(r"(.*[\s*])(\w+)((?:\[\d+\])?)", first.strip(), re.S)
    assert match, f"not understood: {text!r}"
    assert not others or "*" not in text and "[" not in text, f"not understood: {text!r}"
    kind = spelled(match[1])
    return [(match[2], kind + match[3])] + [(name.strip(), kind) for name in others]


def parameters(text):
    if text.strip() == "void":
        return []
    return [declarators(parameter)[0][1] for parameter in text.split(",")]


def statements(header):
    """The header's declarations, without comments and preprocessor lines."""
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    code = re.sub(r"^#ifdef __cplusplus$.*?^#endif$", "", code, flags=re.S | re.M)
    code = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", code, flags=re.M)
    depth, begin = 0, 0
    for at, letter in enumerate(code):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == ";" and depth == 0:
            yield code[begin:at].strip()
            begin = at + 1
    assert code[begin:].strip() == "", f"no declaration: {code[begin:]!r}"


def parse(header):
    """The header as the package's table has it, order included."""
    parsed = {"opaque": [], "typedefs": {}, "constants": {}, "structs": {}, "functions": {}}
    for text in statements(header):
        if match := re.fullmatch(r"typedef struct (\w+) (\w+)", text):
            assert match[1] == match[2]
            parsed["opaque"].append(match[1])
        elif match := re.fullmatch(r"typedef struct (\w+) \{(.*)\} (\w+)", text, re.S):
            assert match[1] == match[3]
            fields = [part for part in match[2].split(";") if part.strip()]
            parsed["structs"][match[1]] = tuple(f for part in fields for f in declarators(part))
        elif match := re.fullmatch(r"typedef (.*)", text, re.S):
            name, kind = declarators(match[1])[0]
            parsed["typedefs"][name] = kind
        elif match := re.fullmatch(r"enum \{(.*)\}", text, re.S):
            for item in match[1].split(","):
                name, number = item.split("=")
                parsed["constants"][name.strip()] = int(number)
        elif match := re.fullmatch(r"JEM_API (.*?)(\w+)\((.*)\)", text, re.S):
            parsed["functions"][match[2]] = (spelled(match[1]), *parameters(match[3]))
        else:
            raise AssertionError(f"declaration of an unknown form: {text!r}")
    return parsed


def table():
    return {
        "opaque": list(_declarations.OPAQUE),
        "typedefs": _declarations.TYPEDEFS,
        "constants": _declarations.CONSTANTS,
        "structs": _declarations.STRUCTS,
        "functions": _declarations.FUNCTIONS,
    }


@pytest.mark.parametrize("part", ["opaque", "typedefs", "constants", "structs", "functions"])
def test_table_is_the_header(part):
    parsed, declared = parse(HEADER)[part], table()[part]
    assert declared == parsed
    assert list(declared) == list(parsed), "in the header's order"


def test_nothing_of_the_header_is_overlooked():
    parsed = parse(HEADER)
    without_comments = re.sub(r"/\*.*?\*/", " ", HEADER, flags=re.S)
    assert len(parsed["functions"]) == len(re.findall(r"^JEM_API ", without_comments, re.M))
    assert len(parsed["structs"]) == len(re.findall(r"^typedef struct \w+ \{", HEADER, re.M))
    assert len(parsed["constants"]) == without_comments.count("=")


HEADER_CHANGES = [
    ("function added", "JEM_API void jem_model_destroy", "JEM_API int32_t jem_x(void);\n\\g<0>"),
    ("function removed", r"JEM_API size_t jem_model_bytes\(.*?;", ""),
    ("function renamed", r"\bjem_auroc\b", "jem_auc"),
    ("return type", r"JEM_API size_t jem_model_bytes", "JEM_API int64_t jem_model_bytes"),
    ("argument added", r"float lr\);", "float lr, int32_t more);"),
    ("argument removed", r", size_t struct_size\)", ")"),
    ("argument type", r"int32_t label,", "int64_t label,"),
    ("argument order", r"int32_t kind, int64_t n,", "int64_t n, int32_t kind,"),
    ("const removed", r"const float \*x, float \*logits", "float *x, float *logits"),
    ("pointer level", r"jem_model \*\*out", "jem_model *out"),
    ("struct added", r"typedef struct jem_detection \{", "typedef struct y { int a; } y;\n\\g<0>"),
    ("field added at the end", r"double ece;", "double ece; double more;"),
    ("field added before", r"int64_t macs;", "int64_t cost, macs;"),
    ("field removed", r"float momentum;", ""),
    ("field renamed", r"float momentum;", "float inertia;"),
    ("field type", r"int64_t warmup_steps;", "int32_t warmup_steps;"),
    ("field order", r"float beta1, beta2;", "float beta2, beta1;"),
    ("field length", r"int64_t shape\[4\]", "int64_t shape[5]"),
    ("numbers in a field", r"float milestones\[8\]", "float milestones[9]"),
    ("field callback", r"void \(\*release\)\(void \*user,", "void (*release)(int32_t user,"),
    ("constant added", r"JEM_EVENT_NONE = 0", "JEM_EVENT_NONE = 0, JEM_EVENT_X = 7"),
    ("constant removed", r"JEM_LOG_DEBUG = 1,", ""),
    ("constant value", r"JEM_EBUSY = -9", "JEM_EBUSY = -12"),
    ("constant renamed", r"JEM_START_UNIFORM = 1", "JEM_START_FLAT = 1"),
    ("typedef", r"typedef int32_t jem_status", "typedef int64_t jem_status"),
    ("callback type", r"int64_t done, int64_t total", "int32_t done, int64_t total"),
    ("handle added", r"typedef struct jem_model jem_model;", "\\g<0> typedef struct z z;"),
]


@pytest.mark.parametrize("change", HEADER_CHANGES, ids=lambda change: change[0])
def test_change_of_the_header_is_noticed(change):
    _, pattern, replacement = change
    changed, count = re.subn(pattern, replacement, HEADER, flags=re.S)
    assert count > 0, "this row changes nothing any more"
    assert parse(changed) != table()


# The C types once more, said independently of the package.
C_TYPES = {
    "char": (ctypes.c_char, None),
    "uint8_t": (ctypes.c_uint8, "u1"),
    "int32_t": (ctypes.c_int32, "i4"),
    "uint32_t": (ctypes.c_uint32, "u4"),
    "int64_t": (ctypes.c_int64, "i8"),
    "uint64_t": (ctypes.c_uint64, "u8"),
    "size_t": (ctypes.c_size_t, np.uintp),
    "float": (ctypes.c_float, "f4"),
    "double": (ctypes.c_double, "f8"),
    "jem_status": (ctypes.c_int32, None),
    "void": (None, None),
    "void *": (ctypes.c_void_p, None),
    "const void *": (ctypes.c_void_p, None),
    "char *": (ctypes.c_char_p, None),
    "const char *": (ctypes.c_char_p, None),
}


def pointed_to(kind):
    return kind.removeprefix("const ").removesuffix("*").strip().removesuffix(" const")


def is_value_of(kind, made):
    """Whether a ctypes type is that C type."""
    if kind in C_TYPES:
        return made is C_TYPES[kind][0]
    if kind in _declarations.OPAQUE or kind in _declarations.STRUCTS:
        return issubclass(made, ctypes.Structure) and made.__name__ == kind
    if array := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return made._length_ == int(array[2]) and is_value_of(array[1], made._type_)
    kind = _declarations.TYPEDEFS.get(kind, kind)
    if function := re.fullmatch(r"(.+?) ?\(\*\)\((.+)\)", kind):
        arguments = function[2].split(", ")
        return (
            len(arguments) == len(made._argtypes_)
            and is_value_of(function[1], made._restype_)
            and all(map(is_value_of, arguments, made._argtypes_))
        )
    return kind.endswith("*") and is_value_of(pointed_to(kind), made._type_)


def is_argument_of(kind, made):
    """Whether an entry of argtypes takes that C type; arrays of numbers come as numpy arrays."""
    dtype = C_TYPES.get(pointed_to(kind), (None, None))[1] if kind.endswith("*") else None
    if dtype is None:
        return is_value_of(kind, made)
    return made.dtype == np.dtype(dtype) and made.writable == (not kind.startswith("const "))


@pytest.mark.parametrize("name", _declarations.FUNCTIONS)
def test_function_types(name):
    result, *arguments = _declarations.FUNCTIONS[name]
    function = _native.functions[name]
    assert is_value_of(result, function.restype)
    assert len(function.argtypes) == len(arguments)
    for kind, made in zip(arguments, function.argtypes):
        assert is_argument_of(kind, made), kind


@pytest.mark.parametrize("name", _declarations.STRUCTS)
def test_struct_types(name):
    made = _native.struct_type(name)._fields_
    assert [field for field, _ in made] == [field for field, _ in _declarations.STRUCTS[name]]
    for (_, kind), (_, value_type) in zip(_declarations.STRUCTS[name], made):
        assert is_value_of(kind, value_type), kind


@pytest.mark.parametrize("name", _declarations.STRUCTS)
def test_structs_have_no_padding(name):
    """Padding would hold bytes of the library's stack, and a field that a later version puts there
    would be noise in the structs of older programs."""
    made = _native.struct_type(name)
    assert ctypes.sizeof(made) == sum(ctypes.sizeof(kind) for _, kind in made._fields_)


def test_enum_fields_exist():
    for (struct, field), prefix in _declarations.ENUM_FIELDS.items():
        assert (field, "int32_t") in _declarations.STRUCTS[struct]
        assert any(name.startswith(prefix) for name in _declarations.CONSTANTS)


# What jem.h says the defaults are: as the last fields show, sizes and places are right.
DEFAULTS = [
    ("jem_model_config", {"height": 1, "width": 1, "input_low": -1, "input_high": 1}),
    ("jem_exec_config", {"precision_training": 1, "runners_max": 64}),
    ("jem_sampler_config", {"capacity": 10000, "steps": 20, "start_low": -1, "x_high": np.inf}),
    ("jem_sampler_config", {"start_rank": 0, "matched_noise": 0, "noise_std": 0.01}),
    ("jem_sampler_config", {"step_size": 1, "reinit_prob": 0.05, "uniform_fraction": 0.5}),
    ("jem_optimizer_config", {"kind": 1, "beta1": 0.9, "clip_norm": np.inf, "warmup_steps": 0}),
    ("jem_optimizer_config", {"sam_rho": 0, "schedule": 1, "lr_factor": 0.3, "ema_decay": 0}),
    ("jem_train_config", {"w_px": 1, "w_pyx": 1, "energy_l2": 0.1, "input_noise": 0.03}),
    ("jem_train_config", {"w_pxy": 0, "augment_crop": 0, "augment_flip": 0, "augment_data": 0}),
    ("jem_train_config", {"w_outlier": 0, "outlier_m_in": -5, "outlier_m_out": 0, "logit_norm": 0}),
    ("jem_train_batch", {"n_labelled": 0, "x_samples": None, "y_samples": None}),
    ("jem_train_batch", {"n_outliers": 0, "x_outliers": None}),
]


@pytest.mark.parametrize("struct, defaults", DEFAULTS, ids=[row[0] for row in DEFAULTS])
def test_defaults(struct, defaults):
    config = _native.struct_type(struct)()
    _native.call(f"{struct}_init", ctypes.byref(config), ctypes.sizeof(config))
    assert config.struct_size == ctypes.sizeof(config)
    for field, value in defaults.items():
        found = getattr(config, field)
        assert not found if value is None else found == np.float32(value), field


def test_every_status_has_a_class():
    statuses = {n: v for n, v in _declarations.CONSTANTS.items() if re.match("JEM_E[A-Z]+$", n)}
    classes = {c.name: c.status for c in jem.JemError.__subclasses__()}
    assert classes == statuses
    for name, status in statuses.items():
        assert _native.call("jem_status_string", status).decode() == name
    unknown = errors.error_of(-999, "new")
    assert type(unknown) is jem.JemError and unknown.status == -999


def test_versions_agree():
    numbers = [re.search(rf"JEM_VERSION_{p} (\d+)", HEADER)[1] for p in ("MAJOR", "MINOR", "PATCH")]
    assert jem.__version__ == jem.library_version() == ".".join(numbers)
    assert jem.build_info()["version"] == jem.__version__


def test_all_names_are_there():
    assert sorted(jem.__all__) == jem.__all__
    for name in jem.__all__:
        assert getattr(jem, name).__doc__, name
