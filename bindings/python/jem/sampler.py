"""Langevin chains and their replay buffer: what draws samples from a model.

A chain moves by x <- x - step_size * clamp(dE/dx) + noise_std * N(0, I). Its noise depends on
the sampler's seed and step count, the row and the element, not on threads or neighbours.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _values
from ._native import Handle, Progress, call, create, progress_function
from .model import Model


class Chains(NamedTuple):
    """Chains of the replay buffer."""

    x: np.ndarray  #: (n, C, H, W)
    labels: np.ndarray  #: (n,) int64; -1 unless class_conditional
    ages: np.ndarray  #: (n,) int64; Langevin steps since the chain's last start


class Sampler(Handle):
    """Stochastic gradient Langevin dynamics with a replay buffer.

    Args:
        model: Whose shape the chains have. The methods use it unless they are given another.
        **config: seed, capacity, steps, step_size, noise_std, matched_noise, reinit_prob, start
            ("uniform", "gaussian", "mixture", "data"), start_low, start_high, start_rank,
            uniform_fraction, grad_clamp, x_low, x_high, class_conditional. jem.h explains them at
            jem_sampler_config.

    One caller at a time: a second one gets JemBusyError. `progress` arguments are functions
    progress(done, total), called between pieces of the work; a true result cancels the call with
    JemCancelledError, and an exception cancels it and is raised again.
    """

    _c_name = "jem_sampler"

    def __init__(self, model: Model, **config: Any) -> None:
        (settings,) = _values.configs("Sampler()", ("jem_sampler_config",), config)
        pointer = create("jem_sampler_create", "jem_sampler", model, ctypes.byref(settings))
        super().__init__(pointer)
        self.model = model
        #: Chains in the replay buffer.
        self.capacity: int = settings.capacity
        self._shape = model.shape

    def fit(
        self, x: ArrayLike, labels: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Sampler:
        """Takes the data that chains start from, per class when there are labels: fits the
        Gaussians or, for start="data", keeps the rows. Returns the sampler, which has its former
        fit when the call is cancelled."""
        inputs = _values.rows(x, self._shape)
        classes = _values.labels(labels, len(inputs))
        with progress_function(progress) as report:
            call("jem_sampler_fit", self, len(inputs), inputs, classes, report, None)
        return self

    def start(self, n: int, labels: ArrayLike | None = None) -> np.ndarray:
        """Fresh draws from the start distribution, (n, C, H, W)."""
        x = self._empty_rows(n)
        call("jem_sampler_start", self, len(x), _values.labels(labels, len(x)), x)
        return x

    def step(
        self,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        out: np.ndarray | None = None,
        model: Model | None = None,
    ) -> np.ndarray:
        """One Langevin step of every row; row i is chain i.

        Args:
            x: (n, C, H, W). It stays as it is, unless it is also `out`.
            labels: With labels the chains follow E(x, y), else E(x).
            out: Where the result goes: float32, C-contiguous, of x's shape; x itself works in
                place, without a copy. By default a new array.

        Raises:
            JemDivergedError: A gradient or a new value is not finite; `out` is unspecified.
        """
        moved = _values.chain_rows(x, self._shape, out)
        classes = _values.labels(labels, len(moved))
        call("jem_sgld_step", self._model(model), self, len(moved), classes, moved)
        return moved

    def run(
        self,
        x: ArrayLike,
        steps: int,
        labels: ArrayLike | None = None,
        *,
        out: np.ndarray | None = None,
        progress: Progress | None = None,
        model: Model | None = None,
    ) -> np.ndarray:
        """`steps` Langevin steps; the rest as in step()."""
        moved = _values.chain_rows(x, self._shape, out)
        classes = _values.labels(labels, len(moved))
        count = _values.integer(steps, "int32_t", "steps")
        with progress_function(progress) as report:
            call(
                "jem_sampler_run",
                self._model(model), self, len(moved), classes, moved, count, report, None,
            )
        return moved

    def draw(
        self, n: int, *, progress: Progress | None = None, model: Model | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A draw as in training: n distinct chains of the buffer, run for `steps` of the config.

        When it fails or is cancelled the buffer is as before.

        Returns:
            x (n, C, H, W) and the chains' classes (n,), -1 unless class_conditional.
        """
        x = self._empty_rows(n)
        labels = np.empty(len(x), np.int64)
        with progress_function(progress) as report:
            call("jem_sampler_draw", self._model(model), self, len(x), x, labels, report, None)
        return x, labels

    def chains(self, first: int = 0, n: int | None = None) -> Chains:
        """Copies of n chains of the buffer from chain `first` on; by default all the rest."""
        begin = _values.integer(first, "int64_t", "first")
        count = self.capacity - begin if n is None else n
        x = self._empty_rows(count)
        labels, ages = np.empty((2, len(x)), np.int64)
        call("jem_sampler_get_chains", self, begin, len(x), x, labels, ages)
        return Chains(x, labels, ages)

    def set_chains(self, x: ArrayLike, first: int = 0) -> None:
        """Replaces the chains from `first` on; their ages become 0."""
        inputs = _values.rows(x, self._shape)
        begin = _values.integer(first, "int64_t", "first")
        call("jem_sampler_set_chains", self, begin, len(inputs), inputs)

    def reset(self) -> None:
        """Empties the buffer; the next draw starts every chain anew."""
        call("jem_sampler_reset", self)

    def _model(self, model: Model | None) -> Model:
        return self.model if model is None else model

    def _empty_rows(self, n: int) -> np.ndarray:
        if not 0 <= n < 2**31:
            raise ValueError(f"n is {n}; expected 0..{2**31 - 1}")
        return np.empty((n, *self._shape), np.float32)
