"""Figures made of logits and scores, as the library computes them for every host.

Neither function needs a model; both take what Model.logits() and Model.score() gave.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _values
from ._native import call

Metrics = _values.result_class("Metrics", "jem_metrics", "Quality of classification.")


def classification_metrics(logits: ArrayLike, labels: ArrayLike) -> Any:
    """Metrics (accuracy, nll, brier, ece) of logits (n, classes) against labels (n,), n >= 1."""
    array = _values.floats(logits, "logits")
    if array.ndim != 2:
        raise ValueError(f"logits has shape {array.shape}; expected (n, classes)")
    n, classes = array.shape
    true_classes = _values.labels(labels, n)
    return _values.result_of(
        Metrics, "jem_classification_metrics", n, classes, array, true_classes
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


def auroc(usual: ArrayLike, unusual: ArrayLike) -> float:
    """Area under the ROC curve of outlier scores: P(an unusual row scores higher), ties half."""
    low = _values.vector(usual, "usual")
    high = _values.vector(unusual, "unusual")
    area = np.empty(1, np.float64)
    call("jem_auroc", low.size, low, high.size, high, area)
    return float(area[0])
