"""The Python binding: its declaration table against jem.h, and what the package promises.

The header is parsed here, strictly: a declaration that none of the known forms matches is an
error, so nothing can be overlooked. That the comparison can fail is tested too, by a table of
changes to the header, each of which must be noticed.

Behaviour is checked against numpy on the parameters that the binding itself gives out.
"""

import copy
import ctypes
import gc
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

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
    ("struct added", r"typedef struct jem_metrics \{", "typedef struct y { int32_t a; } y;\n\\g<0>"),
    ("field added at the end", r"double ece;", "double ece; double more;"),
    ("field added before", r"int64_t macs;", "int64_t cost, macs;"),
    ("field removed", r"float momentum;", ""),
    ("field renamed", r"float momentum;", "float inertia;"),
    ("field type", r"int64_t warmup_steps;", "int32_t warmup_steps;"),
    ("field order", r"float beta1, beta2;", "float beta2, beta1;"),
    ("field length", r"char name\[64\]", "char name[80]"),
    ("field callback", r"void \(\*release\)\(void \*user,", "void (*release)(int32_t user,"),
    ("constant added", r"JEM_EVENT_NONE = 0", "JEM_EVENT_NONE = 0, JEM_EVENT_X = 1"),
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
    return kind.removeprefix("const ").removesuffix("*").strip()


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


def test_enum_fields_exist():
    for (struct, field), prefix in _declarations.ENUM_FIELDS.items():
        assert (field, "int32_t") in _declarations.STRUCTS[struct]
        assert any(name.startswith(prefix) for name in _declarations.CONSTANTS)


# What jem.h says the defaults are: as the last fields show, sizes and places are right.
DEFAULTS = [
    ("jem_model_config", {"height": 1, "width": 1, "input_low": -1, "input_high": 1}),
    ("jem_exec_config", {"precision_training": 1, "runners_max": 64}),
    ("jem_sampler_config", {"capacity": 10000, "steps": 20, "start_low": -1, "x_high": np.inf}),
    ("jem_optimizer_config", {"kind": 1, "beta1": 0.9, "clip_norm": np.inf, "warmup_steps": 0}),
    ("jem_train_config", {"w_px": 1, "w_pyx": 1, "energy_l2": 0.1, "input_noise": 0.03}),
    ("jem_train_batch", {"n_labelled": 0, "x_samples": None}),
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


# ---- a small model and its numpy twin --------------------------------------------------------

N, FEATURES, CLASSES = 7, 5, 3


@pytest.fixture
def model():
    with jem.Model.create("mlp-8:act=tanh", channels=FEATURES, classes=CLASSES, seed=3) as made:
        yield made


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(N, FEATURES)).astype(np.float32)


@pytest.fixture
def y():
    return np.arange(N) % CLASSES


def twin_logits(model, x):
    t = {name: values.astype(np.float64) for name, values in model.tensors().items()}
    hidden = np.tanh(x.astype(np.float64) @ t["hidden.0.weight"].T + t["hidden.0.bias"])
    return hidden @ t["head.weight"].T + t["head.bias"]


def twin_energy(model, x, labels=None):
    logits = twin_logits(model, x)
    if labels is not None:
        return -logits[np.arange(len(x)), labels]
    return -np.log(np.exp(logits).sum(axis=1))


def twin_grad(model, x, labels=None):
    step = 1e-6
    grad = np.empty(x.shape)
    for k in range(x.shape[1]):
        d = np.zeros(x.shape[1])
        d[k] = step
        wide = x.astype(np.float64)
        rise = twin_energy(model, wide + d, labels) - twin_energy(model, wide - d, labels)
        grad[:, k] = rise / (2 * step)
    return grad


# float against double in sums of at most 8 terms of size 1: some 1e-7; ten times that and more
# is left to the order of sums.
def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


# ---- model -----------------------------------------------------------------------------------


def test_compute_against_numpy(model, x, y):
    logits = twin_logits(model, x)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    close(model.logits(x), logits)
    close(model.energy(x), twin_energy(model, x))
    close(model.energy(x, y), twin_energy(model, x, y))
    close(model.energy(x, 2), twin_energy(model, x, np.full(N, 2)))
    for labels in (None, y):
        energies, grads = model.energy_grad(x, labels)
        close(energies, twin_energy(model, x, labels))
        close(grads, twin_grad(model, x, labels))
    close(model.predict_proba(x), p)
    close(model.score(x, "max_softmax"), -p.max(axis=1))
    close(model.score(x, "gradient_norm"), np.linalg.norm(twin_grad(model, x), axis=1))
    assert np.array_equal(model.predict(x), logits.argmax(axis=1))
    assert len(set(model.predict(x))) > 1, "the inputs tell classes apart"


def test_sign_rule(model, x):
    energies = model.energy(x)
    assert np.array_equal(model.score(x), energies), "an outlier score: high = unusual"
    assert np.array_equal(model.score_samples(x), -energies), "high = usual"


SHAPES = [  # arch, channels, height, width, shape of x
    ("flat features", "mlp-4", (5, 1, 1), (2, 5)),
    ("features", "mlp-4", (5, 1, 1), (2, 5, 1, 1)),
    ("image", "cnn-3", (2, 5, 4), (3, 2, 5, 4)),
    ("flat image", "cnn-3", (2, 5, 4), (3, 40)),
    ("gray image", "cnn-3", (1, 5, 4), (3, 5, 4)),
    ("no rows", "cnn-3", (2, 5, 4), (0, 2, 5, 4)),
]


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row[0])
def test_shapes(row):
    _, arch, (c, h, w), shape = row
    model = jem.Model.create(arch, channels=c, height=h, width=w, classes=CLASSES)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    n = shape[0]
    assert model.shape == (c, h, w)
    assert model.logits(x).shape == (n, CLASSES)
    assert np.array_equal(model.logits(x), model.logits(x.reshape(n, c, h, w)))
    assert model.energy(x).shape == model.score(x).shape == model.predict(x).shape == (n,)
    energies, grads = model.energy_grad(x)
    assert energies.shape == (n,) and grads.shape == shape
    assert all(a.dtype == np.float32 for a in (model.logits(x), energies, grads))
    with jem.Sampler(model, capacity=4) as sampler:
        assert sampler.step(x).shape == shape
        assert sampler.start(3).shape == sampler.draw(3)[0].shape == (3, c, h, w)


def test_info(model):
    info = model.info
    assert (info.channels, info.classes, info.input_size) == (FEATURES, CLASSES, FEATURES)
    assert info.param_count == model.params.size == 8 * FEATURES + 8 + CLASSES * 8 + CLASSES
    assert info.backend in ("ref", "onednn") and info.input_high == 1 and info.macs == 64
    assert model.arch == "mlp-8:act=tanh" and model.classes == CLASSES and model.nbytes > 0
    assert "mlp-8:act=tanh" in repr(model)
    with pytest.raises(AttributeError):
        info.classes = 4
    with jem.Model.create("mlp-2", 1, 1, threads=1, backend="ref", runners_max=2) as other:
        assert (other.info.threads, other.info.backend) == (1, "ref")


def test_parameters(model, x):
    before = model.params
    tensors = model.tensors()
    assert list(tensors) == ["hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias"]
    assert tensors["hidden.0.weight"].shape == (8, FEATURES)
    assert np.array_equal(np.concatenate([t.ravel() for t in tensors.values()]), before)
    assert np.array_equal(model.get_tensor("head.bias"), tensors["head.bias"])

    model.set_tensor("head.bias", [1, 2, 3])
    assert np.array_equal(model.tensors()["head.bias"], [1, 2, 3])
    close(model.logits(x), twin_logits(model, x))
    model.params = before
    assert np.array_equal(model.params, before)
    model.params[:] = 0  # of a copy
    assert np.array_equal(model.params, before)


def test_clone_is_independent(model, x):
    with model.clone(threads=1) as other:
        assert np.array_equal(other.logits(x), model.logits(x))
        other.params = other.params * 0
        assert not np.array_equal(other.logits(x), model.logits(x))


def test_files(model, x, tmp_path):
    path = tmp_path / "modèle.safetensors"
    model.class_names = ["cat", "狗", "2"]
    model.set_metadata("note", "ü")
    model.save(path)
    loads = [jem.Model.load(path), jem.Model.load(str(path), backend="ref")]
    for data in (path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        loads.append(jem.Model.load_bytes(data, threads=1))
    for loaded in loads:
        assert np.array_equal(loaded.params, model.params) and loaded.arch == model.arch
        assert loaded.class_names == ["cat", "狗", "2"]
        assert loaded.get_metadata("note") == "ü"

    with jem.Model.create("mlp-8:act=tanh", channels=FEATURES, classes=9, seed=8) as other:
        assert other.load_matching(path) == 2, "all but the head"
        assert np.array_equal(other.get_tensor("hidden.0.bias"), model.get_tensor("hidden.0.bias"))


def test_metadata(model):
    assert model.class_names == ["0", "1", "2"]
    model.set_metadata("key", "")
    assert model.get_metadata("key") == ""
    model.set_metadata("key", "long " * 100)
    assert model.get_metadata("key") == "long " * 100
    model.set_metadata("key", None)
    with pytest.raises(jem.JemNotFoundError):
        model.get_metadata("key")


def test_images():
    model = jem.Model.create("cnn-2", channels=3, height=2, width=4, classes=2)
    images = np.arange(2 * 3 * 2 * 4, dtype=np.uint8).reshape(2, 3, 2, 4) * 5
    x = model.input_from_u8(images)
    close(x, images / 127.5 - 1)
    assert np.array_equal(model.input_to_u8(x), images)
    nhwc = images.transpose(0, 2, 3, 1)
    assert np.array_equal(model.input_from_u8(nhwc, "nhwc"), x)
    assert np.array_equal(model.input_to_u8(x, "nhwc"), nhwc)
    model.set_standardization([0.1, 0.2, 0.3], [1, 2, 4])
    mean, std = np.reshape([0.1, 0.2, 0.3, 1, 2, 4], (2, 1, 3, 1, 1))
    close(model.input_from_u8(images), (images / 255 - mean) / std)
    gray = jem.Model.create("cnn-2", channels=1, height=2, width=4, classes=2)
    assert gray.input_from_u8(images[:, 0]).shape == (2, 1, 2, 4)
    assert gray.input_from_u8(images[:, 0], "nhwc").shape == (2, 1, 2, 4)


def test_prepare(model):
    before = model.nbytes
    model.prepare(16)
    assert model.nbytes > before
    model.prepare(3, "logits", "train")


def test_metrics(model, x, y):
    logits = model.logits(x)
    metrics = jem.classification_metrics(logits, y)
    assert metrics.accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == y))
    p = model.predict_proba(x)[np.arange(N), y]
    assert metrics.nll == pytest.approx(-np.log(p).mean(), abs=1e-6)
    assert 0 <= metrics.ece <= 1 and 0 <= metrics.brier <= 2
    assert jem.auroc([1, 2, 3], [2.5, 4]) == pytest.approx(5 / 6)


# ---- arrays: passed as they lie in memory, or converted once ----------------------------------


@pytest.fixture
def passed(monkeypatch):
    """The arguments of the latest call of each function, as the library gets them."""
    seen = {}

    def recorder(name, function):
        def record(*args):
            seen[name] = args
            return function(*args)

        return record

    for name, function in list(_native.functions.items()):
        monkeypatch.setitem(_native.functions, name, recorder(name, function))
    return seen


def address(argument):
    return argument.ctypes.data


def test_fitting_arrays_are_not_copied(model, x, y, passed):
    x4 = x.reshape(N, FEATURES, 1, 1)
    for rows in (x, x4, x[2:5]):
        model.logits(rows)
        assert address(passed["jem_logits"][2]) == rows.ctypes.data
    model.energy_grad(x, y)
    assert address(passed["jem_energy_grad"][2]) == x.ctypes.data
    assert address(passed["jem_energy_grad"][3]) == y.ctypes.data
    params = model.params
    model.params = params
    assert address(passed["jem_model_set_params"][2]) == params.ctypes.data
    data = b"no model"
    with pytest.raises(jem.JemFormatError):
        jem.Model.load_bytes(data)
    assert passed["jem_model_load_buffer"][1] == np.frombuffer(data, np.uint8).ctypes.data
    # What ctypes makes of an array is its address.
    assert _native.argument_type("const float *").from_param(x).value == x.ctypes.data


def test_training_rows_are_not_copied(model, x, y, passed):
    with jem.Optimizer(model) as optimizer:
        jem.train_step(
            model, optimizer, x_labelled=x, y_labelled=y, x_data=x[:4], x_samples=x[4:]
        )
    batch = passed["jem_train_step"][4]._obj
    for field, array in (("x_labelled", x), ("y_labelled", y), ("x_data", x), ("x_samples", x[4:])):
        found = ctypes.cast(getattr(batch, field), ctypes.c_void_p).value
        assert found == array.ctypes.data, field
    assert (batch.n_labelled, batch.n_data, batch.n_samples) == (N, 4, 3)


CONVERSIONS = [
    ("float64", lambda x: x.astype(np.float64)),
    ("other byte order", lambda x: x.astype(">f4")),
    ("Fortran order", np.asfortranarray),
    ("strided", lambda x: np.repeat(x, 2, axis=1)[:, ::2]),
    ("reversed", lambda x: x[::-1].copy()[::-1]),
    ("unaligned", lambda x: np.frombuffer(b"." + x.tobytes(), "f4", offset=1).reshape(x.shape)),
    ("read-only", lambda x: np.frombuffer(x.tobytes(), "f4").reshape(x.shape)),
    ("nested lists", lambda x: x.tolist()),
    ("subclass", lambda x: np.ma.masked_array(x)),
]


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: row[0])
def test_other_arrays_are_converted(model, x, row):
    given = row[1](x)
    before = copy.deepcopy(given)
    assert np.array_equal(model.logits(given), model.logits(x))
    with jem.Sampler(model, seed=5) as one, jem.Sampler(model, seed=5) as two:
        assert np.array_equal(one.step(given), two.step(x))
    assert np.array_equal(given, before), "inputs stay as they are"


@pytest.mark.parametrize("dtype", ["i1", "i4", "u8", ">i8"])
def test_labels_are_converted(model, x, y, dtype):
    assert np.array_equal(model.energy(x, y.astype(dtype)), model.energy(x, y))


def test_outputs_are_fresh(model, x):
    outputs = [model.logits(x), model.logits(x), model.energy_grad(x)[1], model.params]
    for index, a in enumerate(outputs):
        assert not any(np.shares_memory(a, b) for b in outputs[index + 1 :] + [x])


def test_out_of_chains(model, x):
    with jem.Sampler(model, noise_std=0) as sampler:
        start = x.copy()
        expected = sampler.step(x)
        assert np.array_equal(x, start) and not np.array_equal(expected, start)
        assert sampler.step(x, out=x) is x, "in place"
        assert np.array_equal(x, expected)
        other = np.empty_like(x)
        assert sampler.run(start, 1, out=other) is other
        assert np.array_equal(other, expected)


# ---- errors ----------------------------------------------------------------------------------


def nan_rows():
    x = np.zeros((2, FEATURES), np.float32)
    x[1, 3] = np.nan
    return x


ROWS = np.zeros((2, FEATURES), np.float32)

ERRORS = [  # name, exception, words of the message, what to do
    ("nan", jem.JemInvalidError, "x is .*nan at row 1, element 3", lambda m: m.logits(nan_rows())),
    ("label", jem.JemInvalidError, "labels is 3 at row 0", lambda m: m.energy(ROWS, [3, 0])),
    ("negative label", jem.JemInvalidError, "labels is -1", lambda m: m.energy(ROWS, -1)),
    ("arch", jem.JemInvalidError, "unknown arch", lambda m: jem.Model.create("x-1", 1, 1)),
    ("channels", jem.JemInvalidError, "channels is 0", lambda m: jem.Model.create("mlp-1", 0, 1)),
    ("no file", jem.JemIOError, "/no/such", lambda m: jem.Model.load("/no/such")),
    ("no file", OSError, "/no/such", lambda m: m.load_matching("/no/such")),
    ("unwritable", jem.JemIOError, "/no/such", lambda m: m.save("/no/such/file")),
    ("foreign", jem.JemFormatError, "safetensors", lambda m: jem.Model.load_bytes(b"")),
    ("tensor", KeyError, "no tensor 'a'", lambda m: m.get_tensor("a")),
    ("tensor", jem.JemNotFoundError, "no tensor 'a'", lambda m: m.set_tensor("a", [1])),
    ("metadata", jem.JemNotFoundError, "no metadata 'a'", lambda m: m.get_metadata("a")),
    ("own key", jem.JemInvalidError, "library's own", lambda m: m.set_metadata("jem.a", "b")),
    ("params", ValueError, "count is 2", lambda m: setattr(m, "params", [1, 2])),
    ("no fit", jem.JemInvalidError, "fit", lambda m: jem.Sampler(m, start="mixture").start(1)),
    ("capacity", jem.JemInvalidError, "n is 9", lambda m: jem.Sampler(m, capacity=8).draw(9)),
    ("lr", jem.JemInvalidError, "lr is -1", lambda m: jem.Optimizer(m, lr=-1)),
    ("lr", jem.JemInvalidError, "lr is 0", lambda m: setattr(jem.Optimizer(m), "lr", 0)),
    ("no rows", jem.JemInvalidError, "no labelled", lambda m: jem.train_step(m, jem.Optimizer(m))),
    ("auroc", jem.JemInvalidError, "n_usual is 0", lambda m: jem.auroc([], [1])),
    ("sampler shape", jem.JemMismatchError, "sampler", lambda m: jem.Sampler(m).draw(
        2, model=wide())),
    # Found by the binding, before the library is called:
    ("shape", ValueError, r"expected \(n, 5, 1, 1\) or \(n, 5\)", lambda m: m.logits([[1.0]])),
    ("scalar", ValueError, "x has shape", lambda m: m.logits(1.0)),
    ("labels shape", ValueError, "one per row", lambda m: m.energy(ROWS, [1])),
    ("float labels", TypeError, "labels has dtype float64", lambda m: m.energy(ROWS, [0.0, 1.0])),
    ("complex", TypeError, "complex", lambda m: m.logits(ROWS + 1j)),
    ("strings", TypeError, "dtype", lambda m: m.logits([["a"] * FEATURES])),
    ("uint8", TypeError, "input_from_u8", lambda m: m.logits(ROWS.astype(np.uint8))),
    ("images", TypeError, "expected uint8", lambda m: m.input_from_u8(ROWS)),
    ("tensor shape", ValueError, "expected", lambda m: m.set_tensor("head.bias", [[1, 2, 3]])),
    ("kind", ValueError, "energy, max_softmax, gradient_norm", lambda m: m.score(ROWS, "x")),
    ("kind number", jem.JemInvalidError, "score kind is 9", lambda m: m.score(ROWS, 9)),
    ("layout", ValueError, "nchw, nhwc", lambda m: m.input_to_u8(ROWS, "x")),
    ("backend", ValueError, "ref, onednn", lambda m: m.clone(backend="x")),
    ("too large", ValueError, "channels is", lambda m: jem.Model.create("mlp-1", 2**32 + 1, 1)),
    ("steps", ValueError, "steps is", lambda m: jem.Sampler(m).run(ROWS, 2**32)),
    ("fraction", TypeError, "integer", lambda m: jem.Model.create("mlp-1", 1.5, 1)),
    ("n", ValueError, "n is -1", lambda m: jem.Sampler(m).start(-1)),
    ("nul", ValueError, "NUL", lambda m: m.set_metadata("a\0b", "c")),
    ("nul path", ValueError, "NUL", lambda m: m.save("a\0b")),
    ("bytes arch", TypeError, "arch must be a str", lambda m: jem.Model.create(b"mlp-1", 1, 1)),
    ("class names", ValueError, "expected 3", lambda m: setattr(m, "class_names", ["a"])),
    ("swapped", TypeError, "argument 1", lambda m: jem.train_step(jem.Optimizer(m), m)),
    ("copied", TypeError, "copied", copy.copy),
    ("deeply copied", TypeError, "copied", copy.deepcopy),
    ("out", ValueError, "out must", lambda m: jem.Sampler(m).step(ROWS, out=np.empty((2, 5)))),
    ("samples", ValueError, "n_samples is 3", lambda m: jem.train_step(
        m, jem.Optimizer(m), x_samples=ROWS, n_samples=3)),
    # Unknown settings name the valid ones:
    ("create", TypeError, "'depth'.*height.*threads", lambda m: jem.Model.create(
        "mlp-1", 1, 1, depth=2)),
    ("load", TypeError, "'seed'.*threads", lambda m: jem.Model.load("x", seed=2)),
    ("sampler", TypeError, "'step'; valid are seed.*step_size", lambda m: jem.Sampler(m, step=2)),
    ("optimizer", TypeError, "'decay'.*weight_decay", lambda m: jem.Optimizer(m, decay=2)),
    ("train", TypeError, "'noise'.*w_px.*input_noise$", lambda m: jem.train_step(
        m, jem.Optimizer(m), noise=1)),
    ("struct size", TypeError, "'struct_size'", lambda m: jem.Sampler(m, struct_size=8)),
]


def wide():
    return jem.Model.create("mlp-1", channels=FEATURES + 1, classes=1)


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[0]}-{row[1].__name__}")
def test_errors(model, row):
    _, expected, words, action = row
    with pytest.raises(expected) as caught:
        action(model)
    assert re.search(words, str(caught.value)), str(caught.value)
    error = caught.value
    if isinstance(error, jem.JemError):
        assert _declarations.CONSTANTS[error.name] == error.status < 0
        assert str(error) == f"{error.name}: {error.message}"


def test_none_is_the_default(model):
    with jem.Sampler(model, capacity=None, steps=np.int64(3)) as sampler:
        assert sampler.capacity == 10000
        assert set(sampler.draw(4) and sampler.chains().ages) == {0, 3}


# ---- sampler and training --------------------------------------------------------------------


def test_langevin_step(model, x, y):
    for labels in (None, y):
        with jem.Sampler(model, step_size=0.5, noise_std=0, grad_clamp=0.1) as sampler:
            expected = x - 0.5 * np.clip(twin_grad(model, x, labels), -0.1, 0.1)
            close(sampler.step(x, labels), expected)


def test_buffer(model, x, y):
    config = {"capacity": 6, "steps": 2, "reinit_prob": 0, "class_conditional": True, "seed": 4}
    with jem.Sampler(model, start="gaussian", **config) as sampler:
        assert sampler.fit(x, y) is sampler and sampler.capacity == 6
        drawn, labels = sampler.draw(6)
        chains = sampler.chains()
        assert sorted(labels) == sorted(chains.labels) == [0, 0, 1, 1, 2, 2]
        assert np.array_equal(np.sort(drawn, axis=0), np.sort(chains.x, axis=0))
        assert np.array_equal(chains.ages, [2] * 6)
        sampler.set_chains(np.ones((2, FEATURES)), first=3)
        assert np.array_equal(sampler.chains(3, 2).x.ravel(), np.ones(2 * FEATURES))
        assert np.array_equal(sampler.chains().ages, [2, 2, 2, 0, 0, 2])
        sampler.reset()
        assert np.array_equal(sampler.chains().ages, [0] * 6)
    with jem.Sampler(model, capacity=4) as plain:
        assert np.array_equal(plain.draw(2)[1], [-1, -1])


def test_starts(model):
    with jem.Sampler(model, start_low=3, start_high=4, seed=1) as sampler:
        first, second = sampler.start(50), sampler.start(50)
        assert 3 <= first.min() < first.max() <= 4 and not np.array_equal(first, second)
    with jem.Sampler(model, start="gaussian") as sampler:
        at = np.repeat([[0.0], [10.0], [20.0]], FEATURES, axis=1)
        sampler.fit(np.repeat(at, 2, axis=0), [0, 0, 1, 1, 2, 2])
        assert np.array_equal(sampler.start(3, [2, 0, 1])[:, 0, 0, 0].round(), [20, 0, 10])


def test_training_learns(model):
    rng = np.random.default_rng(2)
    y = np.arange(60) % CLASSES
    x = (rng.normal(size=(60, FEATURES)) * 0.3 + np.eye(CLASSES, FEATURES)[y]).astype(np.float32)
    optimizer = jem.Optimizer(model, lr=0.05, kind="adam")
    sampler = jem.Sampler(model, capacity=100, steps=2)
    history = [
        jem.train_step(model, optimizer, sampler, x_labelled=x, y_labelled=y) for _ in range(60)
    ]
    first, last = history[0], history[-1]
    assert last.loss_pyx < 0.5 * first.loss_pyx and last.accuracy > 0.9
    assert [s.step for s in history] == list(range(1, 61)) and optimizer.steps == 60
    assert last.event == "none" and last.lr == np.float32(0.05)
    for s in history:
        assert s.loss == pytest.approx(s.loss_px + s.loss_pyx + s.loss_l2)
        assert s.gap == pytest.approx(s.f_data - s.f_samples)
        assert s.grad_norm > 0 and s.chain_grad_norm > 0 and s.seconds_sampling > 0


def test_train_step_is_the_loss_it_says(model, x, y):
    with jem.Optimizer(model, kind="sgd", lr=1e-3) as optimizer:
        f_data = -twin_energy(model, x[:2]).mean()
        f_samples = -twin_energy(model, x[2:5]).mean()
        squares = (twin_energy(model, x[:2]) ** 2).mean() + (twin_energy(model, x[2:5]) ** 2).mean()
        ce = (twin_energy(model, x, y) - twin_energy(model, x)).mean()
        stats = jem.train_step(
            model, optimizer, None, x_labelled=x, y_labelled=y, x_data=x[:2], x_samples=x[2:5],
            w_px=0.5, w_pyx=2, energy_l2=0.25, input_noise=0,
        )
    close(stats.loss_px, -0.5 * (f_data - f_samples))
    close(stats.loss_pyx, 2 * ce)
    close(stats.loss_l2, 0.25 * squares)


def test_failed_step_changes_nothing(model, x, y):
    before = model.params
    optimizer = jem.Optimizer(model, kind="sgd", lr=1e38, momentum=0)
    with pytest.raises(jem.JemDivergedError):
        for _ in range(5):
            before = model.params
            jem.train_step(model, optimizer, x_labelled=x * 1e3, y_labelled=y, w_px=0, energy_l2=0)
    assert np.array_equal(model.params, before)


def test_learning_rate(model):
    with jem.Optimizer(model, lr=0.5) as optimizer:
        assert optimizer.lr == 0.5
        optimizer.lr = 0.25
        assert optimizer.lr == 0.25 and optimizer.steps == 0


# ---- callbacks -------------------------------------------------------------------------------


class Stop(Exception):
    pass


def long_calls(model, sampler, optimizer, x, y, progress):
    """Each call that runs long, by name."""
    return {
        "run": lambda: sampler.run(x, 50, progress=progress),
        "draw": lambda: sampler.draw(4, progress=progress),
        "train_step": lambda: jem.train_step(
            model, optimizer, sampler, x_labelled=x, y_labelled=y, progress=progress
        ),
    }


@pytest.fixture
def chains(model, x):
    with jem.Sampler(model, capacity=8, steps=10) as sampler, jem.Optimizer(model) as optimizer:
        sampler.set_chains(np.ones((8, FEATURES)))
        yield sampler, optimizer


@pytest.mark.parametrize("name", ["run", "draw", "train_step"])
def test_progress(model, chains, x, y, name):
    seen = []
    long_calls(model, *chains, x, y, lambda *at: seen.append(at))[name]()
    totals = {total for _, total in seen}
    assert len(totals) == 1 and seen[-1][0] in totals
    assert [done for done, _ in seen] == sorted(done for done, _ in seen) and len(seen) >= 10


@pytest.mark.parametrize("name", ["run", "draw", "train_step"])
@pytest.mark.parametrize("how", ["result", "exception"])
def test_cancel(model, chains, x, y, name, how):
    sampler, optimizer = chains
    seen = []

    def progress(done, total):
        seen.append(done)
        if len(seen) == 3 and how == "exception":
            raise Stop("enough")
        return len(seen) == 3

    before = model.params
    with pytest.raises(Stop if how == "exception" else jem.JemCancelledError) as caught:
        long_calls(model, sampler, optimizer, x, y, progress)[name]()
    assert len(seen) == 3, "nothing ran after it"
    if how == "exception":
        assert caught.traceback[-1].name == "progress", "the traceback leads to the cause"
    assert np.array_equal(model.params, before) and optimizer.steps == 0
    assert np.array_equal(sampler.chains().x.ravel(), np.ones(8 * FEATURES))
    long_calls(model, sampler, optimizer, x, y, None)[name]()


def test_callback_of_the_wrong_kind(chains, x):
    with pytest.raises(TypeError, match="positional argument"):
        chains[0].run(x, 2, progress=lambda: None)


@pytest.mark.parametrize("callback", [None, lambda done, total: None], ids=["none", "callback"])
def test_control_c_ends_a_long_call(chains, x, callback):
    sampler, _ = chains
    for _ in range(3):
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            sampler.run(x, 2**31 - 1, progress=callback)
        timer.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    sampler.run(x, 1)


def test_other_threads_leave_control_c_alone(chains, x):
    seen = []
    look = lambda *_: seen.append(signal.getsignal(signal.SIGINT))  # noqa: E731
    run_threads(lambda: chains[0].run(x, 1, progress=look))
    assert seen == [signal.default_int_handler]


def test_log_receiver():
    jem.set_log(lambda level, line: None)
    jem.set_log(None)


# ---- threads and lifetime --------------------------------------------------------------------


def run_threads(*targets):
    """Runs functions side by side; raises the first exception of any."""
    failures = []

    def guarded(target):
        try:
            target()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_scoring_while_training(x, y):
    model = jem.Model.create("mlp-8", channels=FEATURES, classes=CLASSES, threads=1)
    same = np.repeat(x[:1], 50, axis=0)
    done = threading.Event()
    energies = [set(), set(), set()]

    def train():
        try:
            with jem.Optimizer(model, lr=0.01) as o, jem.Sampler(model, capacity=20, steps=2) as s:
                for _ in range(10000):
                    jem.train_step(model, o, s, x_labelled=x, y_labelled=y)
                    if all(len(seen) > 3 for seen in energies):
                        break
        finally:
            done.set()

    def score(seen):
        while not done.is_set():
            found = set(model.energy(same).tolist())
            assert len(found) == 1, "rows of one call saw different parameters"
            seen |= found

    run_threads(train, *[lambda seen=seen: score(seen) for seen in energies])
    assert all(len(seen) > 3 for seen in energies), "the parameters did change meanwhile"


def test_second_caller_of_a_sampler_is_busy(model, x):
    sampler = jem.Sampler(model)
    errors_seen = []

    def second(*_):
        if not errors_seen:
            run_threads(lambda: errors_seen.append(pytest.raises(jem.JemBusyError, sampler.reset)))

    sampler.run(x, 2, progress=second)
    assert len(errors_seen) == 1


def live_handles():
    """Whether any handle lives: the library refuses a new allocator then."""
    try:
        _native.call("jem_set_allocator", None)
    except jem.JemBusyError:
        return True
    return False


def test_release_is_deterministic():
    gc.collect()  # what pytest keeps of the tests above
    assert not live_handles(), "a test above leaked a handle"
    with jem.Model.create("mlp-2", 1, 1) as model:
        assert live_handles() and not model.closed
    assert not live_handles() and model.closed
    model.close()

    model = jem.Model.create("mlp-2", 1, 1)
    sampler, optimizer = jem.Sampler(model, capacity=1), jem.Optimizer(model)
    model.close()  # in any order
    with pytest.raises(ValueError, match="this Model is closed"):
        sampler.draw(1)
    assert live_handles()
    del sampler, optimizer
    assert not live_handles()
    with pytest.raises(jem.JemError):
        jem.Model.create("mlp-2", 1, -1)
    assert not live_handles()


def test_exceptions_keep_no_handle_alive(x):
    def stop(done, total):
        raise Stop

    def cancelled():
        model = jem.Model.create("mlp-2", FEATURES, 1)
        jem.Sampler(model).run(x, 2, progress=stop)

    def refused():
        jem.Model.create("mlp-2", FEATURES, 1).energy(x, 5)

    gc.collect()
    assert not live_handles(), "a test above leaked a handle"
    gc.disable()
    try:
        for action, expected in ((cancelled, Stop), (refused, jem.JemError)):
            try:
                action()
            except expected:
                pass
            assert not live_handles(), action.__name__
    finally:
        gc.enable()


def test_closed_objects_say_so(model, x):
    model.close()
    for action in (lambda: model.logits(x), lambda: model.info, lambda: model.arch, model.clone):
        with pytest.raises(ValueError, match="closed"):
            action()
    assert repr(model) == "<jem.Model closed>"


def test_close_waits_for_running_calls(model, x):
    sampler = jem.Sampler(model)

    def close(done, total):
        model.close()
        sampler.close()

    moved = sampler.run(x, 5, progress=close)
    assert np.isfinite(moved).all() and model.closed and sampler.closed
    with pytest.raises(ValueError, match="closed"):
        sampler.run(x, 1)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=120,
    )


LEAVE_ALL_ALIVE = """
import threading, jem, numpy as np
jem.set_log(lambda level, line: None)
model = jem.Model.create("mlp-4", channels=2, classes=2)
sampler, optimizer = jem.Sampler(model), jem.Optimizer(model)
model.self = model
sampler.draw(4)
class Late:
    def __del__(self, model=model):
        model.close()
late = Late()
late.self = late
"""


def test_interpreter_exit_with_live_objects():
    finished = run_python(LEAVE_ALL_ALIVE)
    assert (finished.returncode, finished.stderr) == (0, "")


MISSING = [
    ("no file", "/no/such.so", "libjem was not found: /no/such.so.*JEM_LIBRARY"),
    ("another library", "libm.so.6", "has no function jem_version_number"),
]


@pytest.mark.parametrize("row", MISSING, ids=lambda row: row[0])
def test_library_is_missing(row):
    finished = run_python("import jem", JEM_LIBRARY=row[1])
    assert finished.returncode == 1
    assert re.search(f"ImportError: .*{row[2]}", finished.stderr), finished.stderr
