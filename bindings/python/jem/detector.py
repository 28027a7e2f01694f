"""Detectors: whether a row is out-of-distribution, decided at a promised false-positive rate."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _rows, _values
from ._native import Handle, Progress, call, create, progress_function, struct_type
from .model import Model

DetectorInfo = _values.result_class("DetectorInfo", "jem_detector_info", "A detector's state.")

_VERDICT = struct_type("jem_verdict")


def _bits(kinds: Iterable[str | int] | None, name: str) -> int | None:
    if kinds is None:
        return None
    words = [kinds] if isinstance(kinds, (str, int)) else list(kinds)
    if name == "kinds" and not words:
        raise ValueError("kinds is empty; expected names of scores, or None for the default ones")
    bits = 0
    for word in words:
        bits |= 1 << _values.constant("JEM_SCORE_", word, name)
    return bits


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why rows are flagged, as Detector.explain() finds it.

    Attributes:
        map: Derivatives of the score by each value, in the shape of the rows.
        usual: Rows near these that the detector finds usual, in the same shape.
        scores: (n, 2), of the rows and of the usual ones.
    """

    map: np.ndarray
    usual: np.ndarray
    scores: np.ndarray


class Detector(Handle):
    """Decides whether rows are out-of-distribution, by several outlier scores at once.

        detector = jem.Detector(model, fpr=0.01).fit(x_train, y_train).calibrate(x_held_out)
        detector.detect(x)["flag"] != 0
        detector.store()
        model.save("model.safetensors")  # jem.Detector.of(model) gives it back

    Args:
        model: Whose parameters it is made for, and which the methods use.
        kinds, two_sided: Names of scores, as Model.score() takes them and of features besides.
        **config: seed, bank_bytes, fpr, confidence, combine ("largest", "sum"), per_class, rank,
            flag_range, and the numbers of the scores: temperature, gen_gamma, gen_classes,
            neighbours, nci_norm_weight, react_percentile, scale_percentile, odin_epsilon,
            refine_steps, refine_step_size. jem.h explains them at jem_detector_config and
            jem_score_config.

    Any number of threads may use one that is fitted and calibrated.
    """

    _c_name = "jem_detector"

    def __init__(
        self,
        model: Model,
        kinds: Iterable[str | int] | None = None,
        two_sided: Iterable[str | int] | None = None,
        **config: Any,
    ) -> None:
        bits = {"kinds": _bits(kinds, "kinds"), "two_sided": _bits(two_sided, "two_sided")}
        settings, scores = _values.configs(
            "Detector()", ("jem_detector_config", "jem_score_config"), {**config, **bits}
        )
        pointer = create("jem_detector_create", "jem_detector", model, ctypes.byref(settings),
                         ctypes.byref(scores))
        super().__init__(pointer)
        self.model = model

    @classmethod
    def of(cls, model: Model) -> Detector:
        """A copy of the detector that is stored with a model.

        Raises:
            JemNotFoundError: There is none.
            JemMismatchError: It was made for another precision, backend, input range, ..
        """
        pointer = ctypes.POINTER(struct_type("jem_detector"))()
        call("jem_model_get_detector", model, ctypes.byref(pointer))
        detector = cls.__new__(cls)
        Handle.__init__(detector, pointer)
        detector.model = model
        return detector

    def store(self) -> None:
        """Stores a copy with the model, whose save() writes it. Other parameters drop it."""
        call("jem_model_set_detector", self.model, self)

    def fit(
        self, x: ArrayLike, labels: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Detector:
        """Takes statistics of the features of training rows. Returns the detector."""
        inputs = _values.rows(x, self.model.shape)
        classes = _values.labels(labels, len(inputs))
        with progress_function(progress) as report:
            call("jem_detector_fit", self, self.model, len(inputs), inputs, classes, report, None)
        return self

    def calibrate(
        self, x: ArrayLike, labels: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Detector:
        """Learns the scores of held-out in-distribution rows. Returns the detector.

        labels: Their classes, for label_sets().
        """
        inputs = _values.rows(x, self.model.shape)
        classes = _values.labels(labels, len(inputs))
        with progress_function(progress) as report:
            call("jem_detector_calibrate", self, self.model, len(inputs), inputs, classes, report,
                 None)
        return self

    def set_threshold(self, fpr: float, confidence: float = 0.0) -> None:
        """The false-positive rate that is promised, on average or with a confidence."""
        call("jem_detector_set_threshold", self, fpr, confidence)

    @property
    def info(self) -> Any:
        """A DetectorInfo."""
        return _values.result_of(DetectorInfo, "jem_detector_get_info", self)

    @property
    def scores(self) -> np.ndarray:
        """Combined scores of the held-out rows that calibrate, (n_calibrated,)."""
        out = np.empty(self.info.n_calibrated, np.float32)
        call("jem_detector_get_scores", self, out.size, out)
        return out

    def score(self, x: ArrayLike, kind: str | int = 0) -> np.ndarray:
        """Outlier scores (n,) of one of the detector's kinds; 0 = all of them combined."""
        number = 0 if kind == 0 else _values.constant("JEM_SCORE_", kind, "kind")
        inputs = _values.rows(x, self.model.shape)
        out = np.empty(len(inputs), np.float32)

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_detector_score", self, self.model, number, len(part), part, out[rows])

        _rows.compute(self.model, inputs, block, out if number else None)
        return out

    def label_sets(self, x: ArrayLike, coverage: float = 0.9) -> np.ndarray:
        """Which labels each row may have, bool (n, classes).

        The true one of an in-distribution row is among them with a probability of at least
        `coverage`.
        """
        inputs = _values.rows(x, self.model.shape)
        out = np.empty((len(inputs), self.model.info.classes), np.uint8)

        def block(rows: slice, part: np.ndarray) -> None:
            call("jem_detector_label_sets", self, self.model, coverage, len(part), part, out[rows])

        _rows.compute(self.model, inputs, block, None)
        return out.astype(bool)

    def detect(self, x: ArrayLike, *, model: Model | None = None) -> np.ndarray:
        """What is known of each row: a record array (n,) with the fields of jem_verdict.

        score, p_value, probability (of the label), label, flag (0 = in-distribution, else a
        JEM_FLAG_ number), kind (the number of the most surprising score).
        """
        used = model if model is not None else self.model
        inputs = _values.rows(x, self.model.shape)
        out = np.zeros(len(inputs), np.dtype(_VERDICT))
        for rows in _rows.blocks(len(inputs), used.info.macs):
            part = out[rows]
            place = part.ctypes.data_as(ctypes.POINTER(_VERDICT))
            call("jem_detect", self, used, len(part), inputs[rows], place, ctypes.sizeof(_VERDICT))
        return out

    def explain(
        self,
        x: ArrayLike,
        kind: str | int = 0,
        *,
        steps: int | None = None,
        step_size: float | None = None,
        model: Model | None = None,
    ) -> Explanation:
        """Which values of each row the detector objects to, and a row near it that it finds usual.

        Args:
            kind: One of the detector's kinds; 0 = all of them combined.
            steps: Of the path to the usual row, at most (100).
            step_size: The length of a step (a hundredth of the input range in each value).
        """
        number = 0 if kind == 0 else _values.constant("JEM_SCORE_", kind, "kind")
        (config,) = _values.configs(
            "explain()", ("jem_explain_config",),
            {"kind": number, "steps": steps, "step_size": step_size},
        )
        used = model if model is not None else self.model
        inputs = _values.rows(x, self.model.shape)
        found = Explanation(
            np.empty_like(inputs), np.empty_like(inputs), np.empty((len(inputs), 2), np.float32)
        )
        for rows in _rows.blocks(len(inputs), used.info.macs * (3 * config.steps + 3)):
            call("jem_explain", self, used, ctypes.byref(config), len(inputs[rows]),
                 inputs[rows], found.map[rows], found.usual[rows], found.scores[rows])
        return found
