"""Figures of merit made of logits, scores and features, as the library computes them everywhere.

No function needs a model: all take what Model.logits(), Model.score() and Model.features() gave, or
arrays from anywhere else. What each figure is, and where it comes from, is told in jem.h.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _values
from ._native import call, struct_type

Classification = _values.result_class(
    "Classification", "jem_classification", "Quality of a classifier's probabilities."
)
Detection = _values.result_class(
    "Detection", "jem_detection", "How well scores tell out-of-distribution rows."
)
Selection = _values.result_class(
    "Selection", "jem_selection", "How well an uncertainty tells which predictions to leave out."
)


class Interval(NamedTuple):
    """The ends of the interval of each figure, two results of the same class."""

    low: Any
    high: Any


class Reliability(NamedTuple):
    """Bins of a reliability diagram; 0 where a bin has no rows."""

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


class RocCurve(NamedTuple):
    """Points from (0, 0) to (1, 1), one for each distinct score."""

    fpr: np.ndarray
    tpr: np.ndarray


class RiskCoverage(NamedTuple):
    """Points of increasing coverage, one for each distinct uncertainty."""

    coverage: np.ndarray
    risk: np.ndarray


class PrecisionRecall(NamedTuple):
    """Shares of the samples, and of the real rows, that lie within the other set's manifold."""

    precision: float
    recall: float


# ---- arguments -------------------------------------------------------------------------------


def _labelled(
    logits: ArrayLike, labels: ArrayLike, temperature: float
) -> tuple[int, int, np.ndarray, np.ndarray | None, float]:
    array = _values.table(logits, "classes", "logits")
    n, classes = array.shape
    return n, classes, array, _values.labels(labels, n), float(temperature)


def _scores(
    scores_in: ArrayLike, scores_out: ArrayLike
) -> tuple[int, np.ndarray, int, np.ndarray]:
    inside = _values.vector(scores_in, "scores_in")
    outside = _values.vector(scores_out, "scores_out")
    return inside.size, inside, outside.size, outside


def _losses(uncertainty: ArrayLike, loss: ArrayLike) -> tuple[int, np.ndarray, np.ndarray]:
    scores = _values.vector(uncertainty, "uncertainty")
    losses = _values.vector(loss, "loss")
    if losses.size != scores.size:
        raise ValueError(f"loss has shape {losses.shape}; expected {scores.shape}, one per row")
    return scores.size, scores, losses


def _feature_sets(
    first: ArrayLike, second: ArrayLike, names: tuple[str, str]
) -> tuple[int, np.ndarray, int, np.ndarray, int]:
    a = _values.table(first, "features", names[0])
    b = _values.table(second, "features", names[1])
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{names[1]} has shape {b.shape}; expected (n, {a.shape[1]})")
    return len(a), a, len(b), b, a.shape[1]


def _number(function: str, *args: Any) -> float:
    number = np.empty(1, np.float64)
    call(function, *args, number)
    return float(number[0])


def _curve(function: str, room: int, *args: Any) -> tuple[np.ndarray, np.ndarray]:
    n_points, x, y = np.zeros(1, np.int64), np.empty(room), np.empty(room)
    call(function, *args, room, n_points, x, y)
    return x[: n_points[0]].copy(), y[: n_points[0]].copy()


def _interval(made: type, struct: str, function: str, args: Any, bootstrap: Any) -> Interval:
    (config,) = _values.configs("the bootstrap", ("jem_bootstrap_config",), bootstrap)
    ends = [struct_type(struct)() for _ in range(2)]
    for end in ends:
        end.struct_size = ctypes.sizeof(end)
    call(function, *args, ctypes.byref(config), *map(ctypes.byref, ends))
    return Interval(*(_values.result_from(made, end) for end in ends))


# ---- classification --------------------------------------------------------------------------


def classification_metrics(
    logits: ArrayLike, labels: ArrayLike, *, temperature: float = 1.0, bins: int = 15
) -> Any:
    """Accuracy, likelihood and calibration of softmax(logits / temperature).

    Args:
        logits: (n, classes), n >= 1.
        labels: (n,).
        bins: Of the calibration errors.
    """
    args = _labelled(logits, labels, temperature)
    return _values.result_of(
        Classification, "jem_classification_metrics", *args,
        _values.integer(bins, "int32_t", "bins"),
    )


def classification_intervals(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 1.0,
    bins: int = 15,
    resamples: int | None = None,
    level: float | None = None,
    seed: int | None = None,
) -> Interval:
    """Bootstrap intervals of classification_metrics(): 1000 resamples, level 0.95, seed 0."""
    args = (*_labelled(logits, labels, temperature), _values.integer(bins, "int32_t", "bins"))
    return _interval(
        Classification, "jem_classification", "jem_classification_intervals", args,
        {"resamples": resamples, "level": level, "seed": seed},
    )


def reliability(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 1.0,
    kind: str = "width",
    bins: int = 15,
) -> Reliability:
    """Rows, mean confidence and accuracy of bins of equal "width" or of equal "mass"."""
    args = _labelled(logits, labels, temperature)
    number = _values.integer(bins, "int32_t", "bins")
    room = max(number, 0)
    made = Reliability(np.empty(room, np.int64), np.empty(room), np.empty(room))
    call("jem_reliability", *args, _values.constant("JEM_BINS_", kind, "kind"), number, *made)
    return made


# ---- detection -------------------------------------------------------------------------------


def detection_metrics(scores_in: ArrayLike, scores_out: ArrayLike, *, tpr: float = 0.95) -> Any:
    """AUROC, both AUPR and both FPR at a TPR of telling out-of-distribution rows.

    Args:
        scores_in: Outlier scores, high = out-of-distribution, of in-distribution rows.
        scores_out: Those of out-of-distribution rows.
    """
    args = _scores(scores_in, scores_out)
    return _values.result_of(Detection, "jem_detection_metrics", *args, float(tpr))


def detection_intervals(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    *,
    tpr: float = 0.95,
    resamples: int | None = None,
    level: float | None = None,
    seed: int | None = None,
) -> Interval:
    """Bootstrap intervals of detection_metrics(): 1000 resamples, level 0.95, seed 0."""
    return _interval(
        Detection, "jem_detection", "jem_detection_intervals",
        (*_scores(scores_in, scores_out), float(tpr)),
        {"resamples": resamples, "level": level, "seed": seed},
    )


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The T of least NLL of softmax(logits / T) on rows that were not trained on, 0.01..100.

        model.temperature = jem.fit_temperature(model.logits(x_held_out), y_held_out)
    """
    array = _values.floats(logits, "logits")
    if array.ndim != 2:
        raise ValueError(f"logits has shape {array.shape}; expected (n, classes)")
    n, classes = array.shape
    temperature = np.empty(1, np.float32)
    call("jem_fit_temperature", n, classes, array, _values.labels(labels, n), temperature)
    return float(temperature[0])


def auroc(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Area under the ROC curve: P(an out-of-distribution row scores higher), ties half."""
    return _number("jem_auroc", *_scores(scores_in, scores_out))


def roc_curve(scores_in: ArrayLike, scores_out: ArrayLike) -> RocCurve:
    """The ROC curve of flagging rows whose outlier score is high."""
    args = _scores(scores_in, scores_out)
    return RocCurve(*_curve("jem_roc_curve", args[0] + args[2] + 1, *args))


# ---- selective classification ----------------------------------------------------------------


def selective_metrics(uncertainty: ArrayLike, loss: ArrayLike) -> Any:
    """AURC, its excess and AUGRC of leaving uncertain predictions out.

    Args:
        uncertainty: (n,), high = uncertain: Model.score() for example.
        loss: (n,), in 0..1: prediction != label for example.
    """
    return _values.result_of(Selection, "jem_selective_metrics", *_losses(uncertainty, loss))


def risk_coverage_curve(uncertainty: ArrayLike, loss: ArrayLike) -> RiskCoverage:
    """The mean loss of the rows that are accepted, by their share."""
    args = _losses(uncertainty, loss)
    return RiskCoverage(*_curve("jem_risk_coverage_curve", args[0], *args))


# ---- samples ---------------------------------------------------------------------------------


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (n, width)."""
    return _number("jem_frechet_distance", *_feature_sets(a, b, ("a", "b")))


def inception_score(logits: ArrayLike) -> float:
    """exp of the mean KL(p(y|x) || p(y)), by any classifier's logits (n, classes) of samples."""
    array = _values.table(logits, "classes", "logits")
    return _number("jem_inception_score", *array.shape, array)


def precision_recall(real: ArrayLike, samples: ArrayLike, *, k: int = 3) -> PrecisionRecall:
    """Precision and recall of samples by k-nearest-neighbour manifolds of features (n, width)."""
    precision, recall = np.empty(1), np.empty(1)
    call(
        "jem_precision_recall", *_feature_sets(real, samples, ("real", "samples")),
        _values.integer(k, "int32_t", "k"), precision, recall,
    )
    return PrecisionRecall(float(precision[0]), float(recall[0]))
