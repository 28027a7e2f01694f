"""libjem for Python: Joint Energy-based Models on numpy arrays.

    model = jem.Model.create("cnn-16-32", channels=1, height=28, width=28, classes=10)
    sampler = jem.Sampler(model, start="mixture").fit(x, y)
    optimizer = jem.Optimizer(model, lr=1e-3)
    stats = jem.train_step(model, optimizer, sampler, x_labelled=x[:64], y_labelled=y[:64])
    model.predict(x), model.score_samples(x)

Sign: Model.energy() is E (low = usual), Model.score() an outlier score (high = unusual), and
Model.score_samples() is -E (high = usual). Errors are jem.JemError.

The library is found by the environment variable JEM_LIBRARY, beside this package, or where the
system's loader looks.
"""

from __future__ import annotations

import json as _json
from typing import Any as _Any

from ._native import call as _call
from ._native import set_log
from .errors import (
    JemBackendError,
    JemBusyError,
    JemCancelledError,
    JemDivergedError,
    JemError,
    JemFormatError,
    JemInvalidError,
    JemIOError,
    JemMemoryError,
    JemMismatchError,
    JemNotFoundError,
    JemUnsupportedError,
)
from ._rows import JemWarning
from .detector import Detector, DetectorInfo, Explanation
from .metrics import (
    Classification,
    Detection,
    Interval,
    PrecisionRecall,
    Reliability,
    RiskCoverage,
    RocCurve,
    Selection,
    auroc,
    classification_intervals,
    classification_metrics,
    detection_intervals,
    detection_metrics,
    fit_temperature,
    frechet_distance,
    inception_score,
    precision_recall,
    reliability,
    risk_coverage_curve,
    roc_curve,
    selective_metrics,
)
from .model import Attack, Model, ModelInfo, StepInfo, score_kinds, score_logits
from .monitor import Monitor, MonitorInfo
from .sampler import Chains, Sampler
from .training import (
    Optimizer,
    Preset,
    PresetInfo,
    TrainStats,
    load_checkpoint,
    preset,
    save_checkpoint,
    train_step,
)

__version__ = "0.1.0"


def library_version() -> str:
    """Version of the loaded libjem."""
    return _call("jem_version_string").decode()


def build_info() -> dict[str, _Any]:
    """What the loaded libjem was built with: backends, oneDNN, OpenMP runtime, options."""
    return _json.loads(_call("jem_build_info"))


__all__ = [
    "Attack",
    "Chains",
    "Classification",
    "Detection",
    "Detector",
    "DetectorInfo",
    "Explanation",
    "Interval",
    "JemBackendError",
    "JemBusyError",
    "JemCancelledError",
    "JemDivergedError",
    "JemError",
    "JemFormatError",
    "JemIOError",
    "JemInvalidError",
    "JemMemoryError",
    "JemMismatchError",
    "JemNotFoundError",
    "JemUnsupportedError",
    "JemWarning",
    "Model",
    "ModelInfo",
    "Monitor",
    "MonitorInfo",
    "Optimizer",
    "PrecisionRecall",
    "Preset",
    "PresetInfo",
    "Reliability",
    "RiskCoverage",
    "RocCurve",
    "Sampler",
    "Selection",
    "StepInfo",
    "TrainStats",
    "auroc",
    "build_info",
    "classification_intervals",
    "classification_metrics",
    "detection_intervals",
    "detection_metrics",
    "fit_temperature",
    "frechet_distance",
    "inception_score",
    "library_version",
    "load_checkpoint",
    "precision_recall",
    "preset",
    "reliability",
    "risk_coverage_curve",
    "roc_curve",
    "save_checkpoint",
    "score_kinds",
    "score_logits",
    "selective_metrics",
    "set_log",
    "train_step",
]
