"""The Python binding's model: results, shapes, array passing, errors.

Results are checked against numpy on the parameters that the binding itself gives out. Arrays that
fit must reach the library as they lie in memory, which the latest arguments of each call show.
"""

import copy
import ctypes
import errno
import os
import pickle
import re

import numpy as np
import pytest

import jem
from jem import _declarations, _native
from python_support import model, x, y  # noqa: F401 (fixtures)
from python_support import (CLASSES, FEATURES, N, close, twin_energy, twin_features, twin_grad,
                            twin_logits, twin_tensors)

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
    close(model.score(x, "max-softmax"), model.score(x, "max_softmax"))
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


def test_features_and_products_with_jacobians(model, x):
    t = twin_tensors(model)
    features = twin_features(model, x)
    close(model.features(x), features)
    assert model.features(x).shape == (N, model.info.feature_count) == (N, 8)
    dlogits = np.random.default_rng(2).normal(size=(N, CLASSES))
    logits, dx = model.vjp(x, dlogits)
    dfeatures = dlogits @ t["head.weight"]
    expected = (dfeatures * (1 - features**2)) @ t["hidden.0.weight"]
    close(logits, twin_logits(model, x))
    close(dx, expected)
    again, dx = model.features_vjp(x, dfeatures)
    close(again, features)
    close(dx, expected)
    assert model.vjp(x[:0], dlogits[:0])[1].shape == (0, FEATURES)


def test_info(model):
    info = model.info
    assert (info.channels, info.classes, info.input_size) == (FEATURES, CLASSES, FEATURES)
    assert info.param_count == model.params.size == 8 * FEATURES + 8 + CLASSES * 8 + CLASSES
    assert info.backend in ("native", "onednn") and info.input_high == 1 and info.macs == 64
    assert model.arch == "mlp-8:act=tanh" and model.classes == CLASSES and model.nbytes > 0
    assert "mlp-8:act=tanh" in repr(model)
    with pytest.raises(AttributeError):
        info.classes = 4
    with jem.Model.create("mlp-2", 1, 1, threads=1, backend="ref", runners_max=2) as other:
        assert (other.info.threads, other.info.backend) == (1, "ref")


def test_profile():
    model = jem.Model.create("cnn-16", channels=1, height=8, width=8, classes=3,
                             threads=1, kernel="direct")
    steps = model.profile(2, "grad", runs=1)
    assert all(isinstance(step, jem.StepInfo) and step.op in step.text for step in steps)
    convolutions = {step.direction: step for step in steps if step.op == "convolution"}
    first = convolutions["forward"]
    assert first.src == (2, 1, 8, 8) and first.dst == (2, 16, 8, 8)
    assert first.weight == (16, 1, 3, 3) and first.macs == 2 * 16 * 9 * 64
    assert first.kernel == convolutions["transposed"].kernel == "direct"
    with pytest.raises(jem.JemInvalidError, match="'gemm'; expected one of auto, onednn"):
        jem.Model.create("mlp-4", channels=1, classes=3, kernel="gemm")


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
    close(model.input_from_float(images / 255), (images / 255 - mean) / std)
    close(model.input_to_float(model.input_from_float(images / 255)), images / 255)
    gray = jem.Model.create("cnn-2", channels=1, height=2, width=4, classes=2)
    assert gray.input_from_u8(images[:, 0]).shape == (2, 1, 2, 4)
    assert gray.input_from_u8(images[:, 0], "nhwc").shape == (2, 1, 2, 4)


def test_metrics(model, x, y):
    logits = model.logits(x)
    metrics = jem.classification_metrics(logits, y)
    assert metrics.accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == y))
    p = model.predict_proba(x)[np.arange(N), y]
    assert metrics.nll == pytest.approx(-np.log(p).mean(), abs=1e-6)
    assert 0 <= metrics.ece <= 1 and 0 <= metrics.brier <= 2
    assert jem.auroc([1, 2, 3], [2.5, 4]) == pytest.approx(5 / 6)


def test_temperature(model, x, y, tmp_path):
    logits = model.logits(x)
    energy, before = model.energy(x), model.predict_proba(x)
    rng = np.random.default_rng(1)
    f = rng.normal(size=(400, 5)) * 3
    p = np.exp(f / 2) / np.exp(f / 2).sum(1, keepdims=True)
    labels = (rng.random((400, 1)) > p.cumsum(1)).sum(1)
    temperatures = np.geomspace(1, 4, 4001)[:, None, None]
    nll = np.log(np.exp(f / temperatures).sum(2)) - (f / temperatures)[:, range(400), labels]
    best = temperatures[nll.mean(1).argmin()].item()
    assert jem.fit_temperature(f, labels) == pytest.approx(best, rel=1e-3)
    assert model.temperature == 1
    model.temperature = 2.5
    assert model.temperature == model.info.temperature == 2.5
    q = np.exp(logits / 2.5)
    close(model.predict_proba(x), q / q.sum(axis=1, keepdims=True))
    assert np.array_equal(model.logits(x), logits) and np.array_equal(model.energy(x), energy)
    model.save(tmp_path / "m")
    with jem.Model.load(tmp_path / "m") as loaded:
        assert loaded.temperature == 2.5
        loaded.params = loaded.params
        assert loaded.temperature == 1
        assert np.array_equal(loaded.predict_proba(x), before)
    for bad in (0, 1000, np.nan):
        with pytest.raises(jem.JemInvalidError, match="temperature is"):
            model.temperature = bad
    with pytest.raises(ValueError, match="expected .n, classes"):
        jem.fit_temperature(f[0], labels[:1])


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


def test_prepare(model, passed):
    before = model.nbytes
    model.prepare(16)
    assert passed["jem_model_prepare"][1:] == (1 | 2 | 4, 16)
    assert model.nbytes > before
    model.prepare(3, "logits", "train")
    assert passed["jem_model_prepare"][1:] == (1 | 4, 3)


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
            model, optimizer, x_labelled=x, y_labelled=y, x_data=x[1:5], x_samples=x[4:]
        )
    batch = passed["jem_train_step"][4]._obj
    given = {"x_labelled": x, "y_labelled": y, "x_data": x[1:5], "x_samples": x[4:]}
    for field, array in given.items():
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
    ("no file", FileNotFoundError, "/no/such", lambda m: jem.Model.load("/no/such")),
    ("a folder", IsADirectoryError, "/tmp", lambda m: m.load_matching("/tmp")),
    ("no folder", FileNotFoundError, "/no/such", lambda m: m.save("/no/such/file")),
    ("below a file", NotADirectoryError, "passwd/x", lambda m: jem.Model.load("/etc/passwd/x")),
    ("device", jem.JemIOError, "it is a device", lambda m: jem.Model.load("/dev/full")),
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
    ("schedule", ValueError, "constant, step, cosine", lambda m: jem.Optimizer(m, schedule="x")),
    ("milestones", ValueError, "9 values; expected 8", lambda m: jem.Optimizer(
        m, milestones=[0.1] * 9)),
    ("milestones", jem.JemInvalidError, r"milestones\[1\] is 0.2", lambda m: jem.Optimizer(
        m, milestones=(0.5, 0.2))),
    ("milestone", TypeError, "iterable", lambda m: jem.Optimizer(m, milestones=0.5)),
    ("progress", jem.JemInvalidError, "total_steps = 9", lambda m: jem.Optimizer(
        m, total_steps=9).set_progress(0.5)),
    ("average", jem.JemInvalidError, "ema_decay is 0", lambda m: jem.Optimizer(m).ema()),
    ("no rows", jem.JemInvalidError, "no labelled", lambda m: jem.train_step(m, jem.Optimizer(m))),
    ("auroc", jem.JemInvalidError, "n_in is 0", lambda m: jem.auroc([], [1])),
    ("sampler shape", jem.JemMismatchError, "sampler", lambda m: jem.Sampler(m).draw(
        2, model=wide())),
    # Found by the binding, before the library is called:
    ("shape", ValueError, r"expected \(n, 5, 1, 1\) or \(n, 5\)", lambda m: m.logits([[1.0]])),
    ("scalar", ValueError, "x has shape", lambda m: m.logits(1.0)),
    ("cotangents", ValueError, r"dlogits has shape \(9, 3\); expected", lambda m: m.vjp(
        ROWS, np.ones((9, 3)))),
    ("nan", jem.JemInvalidError, "dfeatures", lambda m: m.features_vjp(
        ROWS, np.full((len(ROWS), 8), np.nan))),
    ("labels shape", ValueError, "one per row", lambda m: m.energy(ROWS, [1])),
    ("float labels", TypeError, "labels has dtype float64", lambda m: m.energy(ROWS, [0.0, 1.0])),
    ("complex", TypeError, "complex", lambda m: m.logits(ROWS + 1j)),
    ("strings", TypeError, "dtype", lambda m: m.logits([["a"] * FEATURES])),
    ("uint8", TypeError, "input_from_u8", lambda m: m.logits(ROWS.astype(np.uint8))),
    ("images", TypeError, "expected uint8", lambda m: m.input_from_u8(ROWS)),
    ("tensor shape", ValueError, "expected", lambda m: m.set_tensor("head.bias", [[1, 2, 3]])),
    ("kind", ValueError, "energy, max-softmax, max-logit", lambda m: m.score(ROWS, "x")),
    ("kind number", jem.JemInvalidError, "score kind is 99", lambda m: m.score(ROWS, 99)),
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
    ("train", TypeError, "'noise'.*w_px.*logit_norm$", lambda m: jem.train_step(
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


def test_io_errors_are_pythons_own():
    with pytest.raises(FileNotFoundError) as caught:
        jem.Model.load("/no/such/ä")
    error = caught.value
    assert isinstance(error, jem.JemIOError) and error.errno == errno.ENOENT
    assert error.filename == "/no/such/ä" and error.strerror == os.strerror(errno.ENOENT)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and again.errno == error.errno
    assert again.filename == error.filename and str(again) == str(error)
    with pytest.raises(jem.JemIOError) as caught:
        jem.Model.load("/dev/full")  # refused by the library, not by the operating system
    assert caught.value.errno is None and caught.value.filename == "/dev/full"
