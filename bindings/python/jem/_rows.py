"""Many rows through one function of the library: in blocks, and with a word about odd ones.

A call into C ends before Python looks at Ctrl-C again, so a long one is made of blocks of a fraction
of a second each. A row's result depends on the row alone, so the blocks do not show.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ._native import call

if TYPE_CHECKING:
    from .model import Model

_SECONDS = 0.2  # of a block
_MACS = 2e9  # of the first block, which tells how long a row takes: some tenths of a second


class JemWarning(RuntimeWarning):
    """Results that a program should not rely on."""


def blocks(n: int, macs: int) -> Iterator[slice]:
    """Consecutive slices of n rows of so many multiply-adds, about as long as a block may take."""
    first, size = 0, max(1, int(_MACS / max(macs, 1)))
    while first < n:
        begin = time.monotonic()
        yield slice(first, min(first + size, n))
        first += size
        elapsed = max(time.monotonic() - begin, 1e-6)
        size = max(1, min(int(size * _SECONDS / elapsed), 8 * size))


def part(array: np.ndarray | None, rows: slice) -> np.ndarray | None:
    """The rows of an argument that may be absent."""
    return None if array is None else array[rows]


def compute(model: Model, inputs: np.ndarray, block: Any, results: np.ndarray | None) -> None:
    """Calls block(rows, inputs[rows]) for all rows and warns about odd ones.

    `results`, which the blocks fill, say which rows overflowed, unless they are None.
    """
    for rows in blocks(len(inputs), model.info.macs):
        block(rows, inputs[rows])
    warn_range(model, inputs)
    if results is not None:
        _warn_overflow(results)


def warn_range(model: Model, inputs: np.ndarray) -> None:
    """Tells of rows outside of the model's input range."""
    outside = np.empty(len(inputs), np.uint8)
    count = np.zeros(1, np.int64)
    low, high = np.zeros(1, np.float32), np.zeros(1, np.float32)
    call("jem_input_range", model, len(inputs), inputs, outside, count, low, high)
    if count[0] == 0:
        return
    info = model.info
    _warn(f"{count[0]} of {len(inputs)} rows lie outside of the model's input range "
          f"{info.input_low:g}..{info.input_high:g}, the first is row {int(outside.argmax())}; they "
          f"reach from {low[0]:g} to {high[0]:g}, and results for them mean little")


def _warn_overflow(results: np.ndarray) -> None:
    if np.isfinite(results).all():
        return
    good = np.isfinite(results).reshape(len(results), -1).all(axis=1)
    rows = np.flatnonzero(~good)
    listed = ", ".join(map(str, rows[:5])) + (", .." if len(rows) > 5 else "")
    _warn(f"{len(rows)} of {len(results)} rows overflow float32: {listed}; they count as infinitely "
          "out-of-distribution, and their logits say nothing")


def _warn(message: str) -> None:
    """At the line of the program that called the package."""
    package = __name__.rpartition(".")[0] + "."
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, JemWarning, stacklevel=level)
