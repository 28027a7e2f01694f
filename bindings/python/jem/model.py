"""The model: one network that classifies, scores how usual an input is, and generates.

The methods mirror jem_model_* and the compute functions of jem.h. Rows are always the first
dimension, and results are fresh arrays.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _rows, _values
from ._declarations import CONSTANTS
from ._native import STEP, Handle, Progress, call, create, held, progress_function, struct_type
from .errors import JemNotFoundError

if TYPE_CHECKING:
    from .detector import Detector

ModelInfo = _values.result_class("ModelInfo", "jem_model_info", "Shape and size of a model.")
StepInfo = _values.result_class("StepInfo", "jem_step_info", "One step of a compiled pass.")


class Attack(NamedTuple):
    """What an attack found."""

    x: np.ndarray  #: The points, of x's shape; where it failed, the one of the lowest cost
    success: np.ndarray  #: (n,) bool
    distance: np.ndarray  #: (n,) float32, in the norm; infinite where it failed


def _exec_config(keywords: Mapping[str, Any]) -> Any:
    return ctypes.byref(*_values.configs("running a model", ("jem_exec_config",), keywords))


class Model(Handle):
    """A Joint Energy-based Model with logits f(x).

    Energies are E(x) = -logsumexp f(x) and E(x, y) = -f(x)[y]: low = usual.

    Inputs `x` are float arrays (n, C, H, W) in the model's input range; (n, C*H*W) is taken too,
    and (n, H, W) if C is 1. float32 C-contiguous arrays are passed without a copy, others are
    converted. Labels are whole numbers 0..classes-1, (n,), or one for all rows.

    Rows outside of the model's input range, and rows so large that results overflow, are told by a
    JemWarning; jem.h says what is returned for them. Ctrl-C ends a long call within a second: it is
    made of shorter ones, each of which may see other parameters while another thread trains.

    Any number of threads may use a model at once, also while one of them trains it.

    All methods raise JemError (see jem.errors); NaN or infinite inputs and labels out of range are
    JemInvalidError, which is a ValueError. A closed model raises ValueError.
    """

    _c_name = "jem_model"

    # ---- creation ------------------------------------------------------------------------------

    def __init__(self, pointer: Any) -> None:
        """Not for users: Model.create(), load(), load_bytes() and clone() make models."""
        super().__init__(pointer)
        self._info = self.info
        #: (C, H, W) of one input.
        self.shape = (self._info.channels, self._info.height, self._info.width)

    @classmethod
    def create(cls, arch: str, channels: int, classes: int, **config: Any) -> Model:
        """A model with random parameters.

        Args:
            arch: For example "mlp-512-512", "cnn-32-64-128" or "wrn-10-2:act=silu,norm=batch".
            channels: Of an input; features of a table are channels.
            classes: 1 makes a pure energy model.
            **config: height, width (default 1), seed, input_low, input_high; and how to run it:
                threads, backend ("ref" or "onednn"), precision_scoring, precision_chains,
                precision_training, runners_max, kernel, tuned_for ("throughput" or
                "latency").
        """
        config.update(arch=arch, channels=channels, classes=classes)
        structs = ("jem_model_config", "jem_exec_config")
        model, run = _values.configs("Model.create()", structs, config)
        return cls(create("jem_model_create", "jem_model", ctypes.byref(model), ctypes.byref(run)))

    @classmethod
    def load(cls, path: str | os.PathLike[str], **config: Any) -> Model:
        """Reads a file written by save(). `config`: how to run it, as in create().

        Raises:
            JemIOError, JemFormatError, JemMismatchError, JemUnsupportedError
        """
        run = _exec_config(config)
        return cls(create("jem_model_load", "jem_model", _values.path(path), run))

    @classmethod
    def load_bytes(cls, data: bytes | bytearray | memoryview, **config: Any) -> Model:
        """load() from the bytes of a file."""
        held = np.frombuffer(data, np.uint8)
        run = _exec_config(config)
        return cls(create("jem_model_load_buffer", "jem_model", held.ctypes.data, held.size, run))

    def clone(self, **config: Any) -> Model:
        """An independent copy. `config`: how to run it, as in create()."""
        return type(self)(create("jem_model_clone", "jem_model", self, _exec_config(config)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file; afterwards it is the old file or the new one, whole."""
        call("jem_model_save", self, _values.path(path))

    def prepare(self, n: int, *what: str) -> None:
        """Builds now what calls with n rows build on first use.

        Args:
            n: Rows.
            *what: "logits", "grad", "train"; all of them by default.
        """
        flags = 0
        for name in what or ("logits", "grad", "train"):
            flags |= _values.constant("JEM_PREPARE_", name, "what")
        call("jem_model_prepare", self, flags, _values.integer(n, "int64_t", "n"))

    def profile(self, n: int, what: str, runs: int = 10) -> list[Any]:
        """The steps of a pass in order, each a StepInfo; its seconds are means.

        Args:
            n: Rows.
            what: "logits", "grad" or "train".
            runs: Timed runs on rows of zeros; 0 leaves the seconds 0.
        """
        steps = []

        def receive(_user: Any, info: Any) -> None:
            steps.append(_values.result_from(StepInfo, info.contents))

        call(
            "jem_model_profile",
            self,
            _values.constant("JEM_PREPARE_", what, "what"),
            _values.integer(n, "int64_t", "n"),
            _values.integer(runs, "int32_t", "runs"),
            STEP(receive),
            None,
        )
        return steps

    # ---- what it is ----------------------------------------------------------------------------

    @property
    def info(self) -> Any:
        """A ModelInfo: channels, height, width, classes, param_count, backend, ..."""
        return _values.result_of(ModelInfo, "jem_model_get_info", self)

    @property
    def arch(self) -> str:
        """The architecture in its full form, for example "mlp-16:act=lrelu"."""
        return call("jem_model_arch", self).decode()

    @property
    def classes(self) -> int:
        """How many classes."""
        return self._info.classes

    @property
    def nbytes(self) -> int:
        """Bytes held now: parameters, packed weights, plans and workspaces."""
        return call("jem_model_bytes", self)

    def __repr__(self) -> str:
        if self.closed:
            return "<jem.Model closed>"
        return f"<jem.Model {self.arch} {self.shape} -> {self.classes}, {self._info.backend}>"

    # ---- parameters ----------------------------------------------------------------------------

    @property
    def params(self) -> np.ndarray:
        """All parameters, (param_count,): a copy. Assigning replaces them all."""
        out = np.empty(self._info.param_count, np.float32)
        call("jem_model_get_params", self, out.size, out)
        return out

    @params.setter
    def params(self, values: ArrayLike) -> None:
        flat = _values.vector(values, "params")
        call("jem_model_set_params", self, flat.size, flat)

    @property
    def temperature(self) -> float:
        """Of predict_proba(): 1 unless assigned; every change of the parameters makes it 1 again.

        jem.fit_temperature() finds one. It is kept in files and clones; logits, energies and
        scores do not change with it.
        """
        return self.info.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        call("jem_model_set_temperature", self, float(value))

    def _places(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        places = {}
        for index in range(self._info.tensor_count):
            tensor = struct_type("jem_tensor_info")()
            tensor.struct_size = ctypes.sizeof(tensor)
            call("jem_model_tensor", self, index, ctypes.byref(tensor))
            place = slice(tensor.offset, tensor.offset + tensor.count)
            places[tensor.name.decode()] = (place, tuple(tensor.shape[: tensor.rank]))
        return places

    def tensors(self) -> dict[str, np.ndarray]:
        """The parameters of one moment by name, as in a PyTorch state_dict: copies."""
        flat = self.params
        return {name: flat[at].reshape(shape) for name, (at, shape) in self._places().items()}

    def get_tensor(self, name: str) -> np.ndarray:
        """One tensor by name: a copy. JemNotFoundError (a KeyError) if there is none."""
        # An unknown name is for the library to refuse: it words it best.
        at, shape = self._places().get(name, (slice(0, 0), (0,)))
        out = np.empty(shape, np.float32)
        call("jem_model_get_tensor", self, _values.text(name, "name"), at.stop - at.start, out)
        return out

    def set_tensor(self, name: str, values: ArrayLike) -> None:
        """Replaces one tensor, which keeps its shape."""
        array = _values.floats(values, name)
        _, shape = self._places().get(name, (None, array.shape))
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; expected {shape}")
        call("jem_model_set_tensor", self, _values.text(name, "name"), array.size, array)

    def load_matching(self, path: str | os.PathLike[str]) -> int:
        """Takes the tensors of a safetensors file whose name and shape match.

        Returns:
            How many of the model's tensors were replaced; none is JemMismatchError.
        """
        matched = np.zeros(1, np.int32)
        call("jem_model_load_matching", self, _values.path(path), matched)
        return int(matched[0])

    # ---- metadata ------------------------------------------------------------------------------

    def _copied_text(self, function: str, key: bytes | int) -> str:
        length = np.zeros(1, np.uintp)
        call(function, self, key, None, 0, length)
        buffer = ctypes.create_string_buffer(int(length[0]) + 1)
        call(function, self, key, buffer, len(buffer), length)
        return buffer.value.decode(errors="replace")

    def get_metadata(self, key: str) -> str:
        """A string that travels with the file. JemNotFoundError (a KeyError) if there is none."""
        return self._copied_text("jem_model_get_metadata", _values.text(key, "key"))

    def set_metadata(self, key: str, value: str | None) -> None:
        """Sets or, with None, removes a string. Keys starting "jem." are the library's own."""
        encoded = None if value is None else _values.text(value, "value")
        call("jem_model_set_metadata", self, _values.text(key, "key"), encoded)

    def metadata_keys(self) -> list[str]:
        """The keys of all strings that travel with the file, in the order they were set."""
        keys: list[str] = []
        try:
            while True:
                after = keys[-1].encode() if keys else None
                keys.append(self._copied_text("jem_model_metadata_key", after))
        except JemNotFoundError:
            return keys

    @property
    def class_names(self) -> list[str]:
        """The names of all classes; unnamed classes are called by their number."""
        return [self._copied_text("jem_model_get_class_name", k) for k in range(self.classes)]

    @class_names.setter
    def class_names(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or len(names) != self.classes:
            raise ValueError(f"expected {self.classes} class names")
        encoded = [_values.text(name, "class name") for name in names]
        for label, name in enumerate(encoded):
            call("jem_model_set_class_name", self, label, name)

    # ---- input conversion ----------------------------------------------------------------------

    def set_standardization(self, mean: ArrayLike, std: ArrayLike) -> None:
        """Inputs become (value - mean[c]) / std[c]. One number per channel each.

        The values are those of input_from_float(); for images, those of input_from_u8() / 255.
        """
        means = _values.vector(mean, "mean")
        stds = _values.vector(std, "std")
        if means.shape != stds.shape:
            raise ValueError(f"mean has {means.size} values and std {stds.size}")
        call("jem_model_set_standardization", self, means.size, means, stds)

    def input_from_u8(self, images: ArrayLike, layout: str = "nchw") -> np.ndarray:
        """8-bit images to inputs (n, C, H, W) by the stored range or standardization.

        Args:
            images: uint8, (n, C, H, W), or (n, H, W, C) with layout "nhwc"; (n, H, W) if C is 1.
        """
        number = _values.constant("JEM_LAYOUT_", layout, "layout")
        pixels = _values.images(images, self.shape, number)
        x = np.empty((len(pixels), *self.shape), np.float32)
        call("jem_input_from_u8", self, len(pixels), pixels, number, x)
        return x

    def input_to_u8(self, x: ArrayLike, layout: str = "nchw") -> np.ndarray:
        """The way back, rounded and clamped: uint8, (n, C, H, W) or (n, H, W, C)."""
        number = _values.constant("JEM_LAYOUT_", layout, "layout")
        inputs = _values.rows(x, self.shape)
        images = np.empty((len(inputs), *_values.image_shape(self.shape, number)), np.uint8)
        call("jem_input_to_u8", self, len(inputs), inputs, number, images)
        return images

    def input_from_float(self, values: ArrayLike) -> np.ndarray:
        """Numbers (n, C, H, W) to inputs by the stored standardization, or as they are."""
        numbers = _values.rows(values, self.shape)
        x = np.empty((len(numbers), *self.shape), np.float32)
        call("jem_input_from_float", self, len(numbers), numbers, x)
        return x

    def input_to_float(self, x: ArrayLike) -> np.ndarray:
        """The way back: float32, (n, C, H, W)."""
        inputs = _values.rows(x, self.shape)
        values = np.empty((len(inputs), *self.shape), np.float32)
        call("jem_input_to_float", self, len(inputs), inputs, values)
        return values

    # ---- compute -------------------------------------------------------------------------------

    def logits(self, x: ArrayLike) -> np.ndarray:
        """Class logits f(x), (n, classes)."""
        inputs = _values.rows(x, self.shape)
        out = np.empty((len(inputs), self.classes), np.float32)

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_logits", self, len(part), part, out[rows])

        _rows.compute(self, inputs, block, out)
        return out

    def energy(self, x: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """E(x), or with labels E(x, y): (n,). Low = usual."""
        inputs = _values.rows(x, self.shape)
        out = np.empty(len(inputs), np.float32)
        classes = _values.labels(labels, len(inputs))

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_energy", self, len(part), part, _rows.part(classes, rows), out[rows])

        _rows.compute(self, inputs, block, out)
        return out

    def energy_grad(
        self, x: ArrayLike, labels: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies (n,) and their input gradients dE/dx, of x's shape, in one pass."""
        inputs = _values.rows(x, self.shape)
        energies = np.empty(len(inputs), np.float32)
        grads = np.empty_like(inputs, order="C", subok=False)
        classes = _values.labels(labels, len(inputs))

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_energy_grad", self, len(part), part, _rows.part(classes, rows),
                 energies[rows], grads[rows])

        _rows.compute(self, inputs, block, energies)
        return energies, grads

    def features(self, x: ArrayLike) -> np.ndarray:
        """Penultimate features, (n, info.feature_count): what the last layer reads."""
        inputs = _values.rows(x, self.shape)
        out = np.empty((len(inputs), self.info.feature_count), np.float32)

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_features", self, len(part), part, out[rows])

        _rows.compute(self, inputs, block, out)
        return out

    def vjp(self, x: ArrayLike, dlogits: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Logits (n, classes) and dlogits @ df/dx, of x's shape, in one pass."""
        return self._vjp("jem_vjp", x, dlogits, "dlogits", self.classes)

    def features_vjp(self, x: ArrayLike, dfeatures: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, info.feature_count) and dfeatures @ dh/dx, of x's shape, in one pass."""
        return self._vjp("jem_features_vjp", x, dfeatures, "dfeatures", self.info.feature_count)

    def _vjp(
        self, function: str, x: ArrayLike, cotangents: ArrayLike, name: str, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        inputs = _values.rows(x, self.shape)
        given = _values.matrix(cotangents, len(inputs), width, name)
        out = np.empty((len(inputs), width), np.float32)
        dx = np.empty_like(inputs, order="C", subok=False)

        def block(rows: slice, part: np.ndarray) -> None:
            call(function, self, len(part), part, given[rows], out[rows], dx[rows])

        _rows.compute(self, inputs, block, out)
        return out, dx

    def score(self, x: ArrayLike, kind: str = "energy", **config: Any) -> np.ndarray:
        """Outlier scores, (n,). High = unusual, every kind.

        Args:
            kind: "energy", "max-softmax", "max-logit", "margin", "entropy", "gen", or of the
                input gradient "gradient-norm", "odin", "refine" or "refine-distance". Those of
                features belong to a Detector.
            **config: temperature, gen_gamma, gen_classes, odin_epsilon, refine_steps,
                refine_step_size; see jem_score_config in jem.h.
        """
        inputs = _values.rows(x, self.shape)
        out = np.empty(len(inputs), np.float32)
        number = _values.constant("JEM_SCORE_", kind, "kind")
        (settings,) = _values.configs("score()", ("jem_score_config",), config)

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_score", self, number, ctypes.byref(settings), len(part), part, out[rows])

        _rows.compute(self, inputs, block, out)
        return out

    def attack(
        self,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        detector: Detector | None = None,
        progress: Progress | None = None,
        **config: Any,
    ) -> Attack:
        """Adversarial points of rows: how robust is what the model says?

        Args:
            labels: The true classes; those to be taken for with goal="target"; None, or those of
                E(x, y), with goal="energy".
            detector: A calibrated jem.Detector, that is to take the rows for in-distribution; the
                goal is "detector" then.
            progress: A function progress(done, total), as in jem.Sampler.
            **config: kind ("pgd", "apgd", "square", "boundary", "pointwise"), norm ("linf", "l2",
                "l0"), goal ("untargeted", "target", "energy"), eps, steps, step_size, restarts,
                random_start, seed, first_row, confidence, threshold, clip, refine_steps,
                refine_samples, refine_step_size, refine_noise_std. Lengths are in units of the
                input. jem.h explains them at jem_attack_config.
        """
        inputs = _values.rows(x, self.shape)
        classes = _values.labels(labels, len(inputs))
        if detector is not None:
            config.setdefault("goal", "detector")
        (settings,) = _values.configs("attack()", ("jem_attack_config",), config)
        points = np.empty_like(inputs, order="C", subok=False)
        success = np.empty(len(inputs), np.uint8)
        distance = np.empty(len(inputs), np.float32)
        with held(detector) as settings.detector, progress_function(progress) as report:
            call("jem_attack", self, ctypes.byref(settings), len(inputs), inputs, classes, points,
                 success, distance, report, None)
        _rows.warn_range(self, inputs)
        return Attack(points, success.astype(bool), distance)

    def score_samples(self, x: ArrayLike) -> np.ndarray:
        """F(x) = -E(x), (n,): log p(x) up to a constant. High = usual, as in scikit-learn."""
        return -self.energy(x)

    def predict(self, x: ArrayLike) -> np.ndarray:
        """The most probable class of each row, (n,) int64; 0, with a warning, if it overflows."""
        return self.logits(x).argmax(axis=1)

    def predict_proba(self, x: ArrayLike) -> np.ndarray:
        """p(y|x), (n, classes), at the model's temperature; rows sum to 1.

        The same for all classes where a row overflows.
        """
        logits = self.logits(x).astype(np.float64) / self.temperature
        logits[np.isneginf(logits).all(axis=1)] = 0.0
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


ScoreKind = _values.result_class("ScoreKind", "jem_score_info", "A kind of outlier scores.")


def score_kinds() -> list[Any]:
    """All kinds of outlier scores, each a ScoreKind."""
    kinds = [n for c, n in CONSTANTS.items() if c.startswith("JEM_SCORE_")]
    return [_values.result_of(ScoreKind, "jem_score_get_info", kind) for kind in kinds]


def score_logits(logits: ArrayLike, kind: str = "energy", **config: Any) -> np.ndarray:
    """Outlier scores (n,) of logits (n, classes) that any engine has computed.

    Args:
        kind, **config: As of Model.score(), of kinds that are made of logits.
    """
    array = _values.floats(logits, "logits")
    if array.ndim != 2:
        raise ValueError(f"logits has shape {array.shape}; expected (n, classes)")
    number = _values.constant("JEM_SCORE_", kind, "kind")
    (settings,) = _values.configs("score_logits()", ("jem_score_config",), config)
    out = np.empty(len(array), np.float32)
    call("jem_score_logits", number, ctypes.byref(settings), *array.shape, array, out)
    return out
