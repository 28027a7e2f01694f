"""Training: the optimizer's state and the step that turns a batch into better parameters.

The loss of a step, with F(x) = -E(x):

    L = w_px  * -( mean F(x_data) - mean F(x_sample) )
      + w_pyx * CE(f(x_labelled), y_labelled)
      + w_pxy * -sum_c share_c * ( mean f(x_labelled of c)[c] - mean f(x_sample of c)[c] )
      + energy_l2 * ( mean E(x_data)^2 + mean E(x_sample)^2 )
      + w_outlier * ( mean max(0, E(x_in) - outlier_m_in)^2
                      + mean max(0, outlier_m_out - E(x_outlier))^2 )

share_c is the part of the labelled rows that are of class c; classes without a sample are left out.
x_in are the data rows where there are any, otherwise the labelled ones.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _values
from ._native import Handle, Progress, call, create, progress_function, struct_type
from .errors import JemNotFoundError
from .model import Model
from .sampler import Sampler

TrainStats = _values.result_class(
    "TrainStats", "jem_train_stats", "What happened in one training step."
)
PresetInfo = _values.result_class(
    "PresetInfo", "jem_preset_info", "What of a preset is no setting: its name, rows, length."
)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A recipe: keywords for Sampler(), Optimizer() and train_step(), and what else it says."""

    info: Any  #: PresetInfo
    sampler: dict[str, Any]
    optimizer: dict[str, Any]
    train: dict[str, Any]


def preset(name: str, model: Model | None = None) -> Preset:
    """The settings of a recipe; jem.h tells at JEM_PRESET_SAFE where each comes from.

        recipe = jem.preset("sada", model)
        sampler = jem.Sampler(model, **recipe.sampler).fit(x, y)
        optimizer = jem.Optimizer(model, **recipe.optimizer | {"total_steps": 10000})
        jem.train_step(model, optimizer, sampler, x_labelled=..., **recipe.train)

    Args:
        name: "safe", "jem2020", "jempp", "sada", "mjem", "igebm" or "classifier".
        model: Whose input range and shape it is to fit; None only looks at the recipe.

    Raises:
        JemNotFoundError: There is no such preset.
        JemMismatchError: The model lacks the preset's `info.arch_options`.
    """
    number = np.empty(1, np.int32)
    call("jem_preset_find", _values.text(name, "name"), number)
    configs = ("jem_sampler_config", "jem_optimizer_config", "jem_train_config")
    filled = [struct_type(struct)() for struct in (*configs, "jem_preset_info")]
    for struct in filled:
        struct.struct_size = ctypes.sizeof(struct)
    call("jem_preset", model, int(number[0]), *map(ctypes.byref, filled))
    info = _values.result_from(PresetInfo, filled.pop())
    return Preset(info, *map(_values.settings_of, configs, filled))


class Optimizer(Handle):
    """Adam or SGD with momentum, as torch.optim defines them, for models of one shape.

    Args:
        model: Whose parameters it will update; a clone will do as well.
        **config: kind ("adam", "sgd"), lr, beta1, beta2, eps, momentum, weight_decay, clip_norm,
            warmup_steps, seed; sam_rho, sam_adaptive; schedule ("constant", "step", "cosine"),
            total_steps, milestones (a sequence of fractions), lr_factor, lr_floor; ema_decay.
            jem.h explains them at jem_optimizer_config.

    One caller at a time: a second one gets JemBusyError.
    """

    _c_name = "jem_optimizer"

    def __init__(self, model: Model, **config: Any) -> None:
        (settings,) = _values.configs("Optimizer()", ("jem_optimizer_config",), config)
        pointer = create("jem_optimizer_create", "jem_optimizer", model, ctypes.byref(settings))
        super().__init__(pointer)
        self._param_count: int = model.info.param_count

    @property
    def lr(self) -> float:
        """The base learning rate, which warm-up and schedule scale. Assignable at any time."""
        lr = np.empty(1, np.float32)
        call("jem_optimizer_get", self, lr, None)
        return float(lr[0])

    @lr.setter
    def lr(self, value: float) -> None:
        call("jem_optimizer_set_lr", self, float(value))

    @property
    def steps(self) -> int:
        """Updates done."""
        steps = np.empty(1, np.int64)
        call("jem_optimizer_get", self, None, steps)
        return int(steps[0])

    def set_progress(self, s: float) -> None:
        """How much of the run is done, 0..1: places the schedule where there is no total_steps."""
        call("jem_optimizer_set_progress", self, float(s))

    @property
    def note(self) -> str:
        """A text of the program's own that is kept with checkpoints, "" at first. Assignable."""
        length = np.zeros(1, np.uintp)
        call("jem_optimizer_get_note", self, None, 0, length)
        buffer = ctypes.create_string_buffer(int(length[0]) + 1)
        call("jem_optimizer_get_note", self, buffer, len(buffer), None)
        return buffer.value.decode()

    @note.setter
    def note(self, value: str) -> None:
        call("jem_optimizer_set_note", self, _values.text(value, "note"))

    @property
    def kept(self) -> np.ndarray | None:
        """Parameters that the program wants to have again, as the best so far; None at first.

        Assignable; they stay with checkpoints, and training does nothing with them:

            if score > best:
                best, optimizer.kept = score, model.params
        """
        params = np.empty(self._param_count, np.float32)
        try:
            call("jem_optimizer_get_kept", self, params.size, params)
        except JemNotFoundError:
            return None
        return params

    @kept.setter
    def kept(self, params: ArrayLike | None) -> None:
        flat = None if params is None else _values.vector(params, "kept")
        call("jem_optimizer_set_kept", self, 0 if flat is None else flat.size, flat)

    def ema(self) -> np.ndarray:
        """The moving average of the parameters, flat, to be assigned to a clone's `params`."""
        average = np.empty(self._param_count, np.float32)
        call("jem_optimizer_get_ema", self, average.size, average)
        return average


def _optional_rows(x: ArrayLike | None, model: Model, name: str) -> np.ndarray | None:
    return None if x is None else _values.rows(x, model.shape, name)


def _length(array: np.ndarray | None) -> int:
    return 0 if array is None else len(array)


def train_step(
    model: Model,
    optimizer: Optimizer,
    sampler: Sampler | None = None,
    *,
    x_labelled: ArrayLike | None = None,
    y_labelled: ArrayLike | None = None,
    x_data: ArrayLike | None = None,
    x_samples: ArrayLike | None = None,
    y_samples: ArrayLike | None = None,
    x_outliers: ArrayLike | None = None,
    n_samples: int = 0,
    progress: Progress | None = None,
    **config: Any,
) -> Any:
    """One training step: draw samples, take the gradient of the loss, update the parameters.

    Other threads may use the model meanwhile; each of their calls sees the parameters of before
    or after, never a mixture.

    Args:
        sampler: May be None when no chains are drawn: w_px, w_pxy and energy_l2 are 0, or
            x_samples is given.
        x_labelled, y_labelled: Rows of the terms with labels, (n, C, H, W) and (n,).
        x_data: Rows of the density term, without labels; by default the labelled rows serve both.
        x_samples: Samples to use instead of drawing.
        y_samples: Their classes; needed with x_samples if w_pxy > 0.
        x_outliers: Rows that are none of the data, for w_outlier; needed when that is above 0.
        n_samples: Chains to draw; 0 = as many as data rows.
        progress: progress(done, total), called between chain steps. A true result cancels, and
            so does an exception, which is raised again.
        **config: w_px, w_pyx, w_pxy, energy_l2, input_noise, augment_crop, augment_flip,
            augment_data; w_outlier, outlier_m_in, outlier_m_out; logit_norm; guard, guard_tries,
            guard_every. jem.h explains them at jem_train_config.

    Returns:
        TrainStats: step, loss, loss_px, loss_pyx, loss_pxy, loss_l2, loss_outlier, gap, accuracy,
            ...; with guard=1 `event` is "rollback" when the step was undone, else "none".

    Raises:
        JemDivergedError: Something is not finite.
        JemCancelledError: `progress` asked to stop.
        JemError: Other reasons. On any of them the parameters are those from before the call.
    """
    (settings,) = _values.configs("train_step()", ("jem_train_config",), config)
    labelled = _optional_rows(x_labelled, model, "x_labelled")
    data = _optional_rows(x_data, model, "x_data")
    samples = _optional_rows(x_samples, model, "x_samples")
    outliers = _optional_rows(x_outliers, model, "x_outliers")
    labels = _values.labels(y_labelled, _length(labelled), "y_labelled")
    classes = _values.labels(y_samples, _length(samples), "y_samples")
    if samples is not None and n_samples not in (0, len(samples)):
        raise ValueError(f"n_samples is {n_samples}, but x_samples has {len(samples)} rows")

    batch = struct_type("jem_train_batch")()
    call("jem_train_batch_init", ctypes.byref(batch), ctypes.sizeof(batch))
    batch.n_labelled = _length(labelled)
    batch.x_labelled = _values.field_pointer(labelled)
    batch.y_labelled = _values.field_pointer(labels)
    batch.n_data = _length(data)
    batch.x_data = _values.field_pointer(data)
    batch.n_samples = _values.integer(n_samples or _length(samples), "int64_t", "n_samples")
    batch.x_samples = _values.field_pointer(samples)
    batch.y_samples = _values.field_pointer(classes)
    batch.n_outliers = _length(outliers)
    batch.x_outliers = _values.field_pointer(outliers)
    with progress_function(progress) as report:
        settings.progress = report
        return _values.result_of(
            TrainStats,
            "jem_train_step",
            model, optimizer, sampler, ctypes.byref(settings), ctypes.byref(batch),
        )


def save_checkpoint(
    path: str | os.PathLike[str], model: Model, optimizer: Optimizer, sampler: Sampler | None = None
) -> None:
    """Writes all that the run needs to go on; the checkpoint before stays as `path`.prev.

    At any moment `path` is the old file or the new one, whole.
    """
    call("jem_checkpoint_save", _values.path(path), model, optimizer, sampler)


def load_checkpoint(
    path: str | os.PathLike[str], model: Model, optimizer: Optimizer, sampler: Sampler | None = None
) -> None:
    """Puts objects, created as those were that were saved, into the state of a checkpoint.

    From there the same batches give the same parameters, bit for bit, as without a stop. When
    `path` is missing or damaged, `path`.prev is taken, with a warning in the log.

    Raises:
        JemMismatchError: It is of another architecture, shape, kind of optimizer or buffer.
        JemError: Other reasons. On any of them all objects are as before.
    """
    call("jem_checkpoint_load", _values.path(path), model, optimizer, sampler)
