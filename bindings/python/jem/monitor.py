"""Monitors: one alarm when the inputs of a stream are no longer what they were."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _values
from ._declarations import CONSTANTS
from ._native import ALARM, Handle, call, create, struct_type

MonitorInfo = _values.result_class("MonitorInfo", "jem_monitor_info", "A monitor's state.")

_BYTES = CONSTANTS["JEM_MONITOR_SNAPSHOT_BYTES"]


class Monitor(Handle):
    """Watches a stream of scores against a fixed calibration; higher scores are more unusual.

        monitor = jem.Monitor(detector.score(x_held_out), alpha=0.01)
        if monitor.update(detector.score(x)):
            print("shifted, noticed at input", monitor.info.alarm_at)

    While inputs are drawn as those of the calibration were, the chance that an alarm is ever raised
    is at most alpha, however long the stream is and however often it is looked at.

    Args:
        scores: (n,) of independent held-out in-distribution inputs; infinite ones are allowed.
        **config: alpha, tolerance, two_sided. jem.h explains them at jem_monitor_config.

    One thread may use it at a time; a second gets a JemBusyError.
    """

    _c_name = "jem_monitor"

    def __init__(self, scores: ArrayLike, **config: Any) -> None:
        (settings,) = _values.configs("Monitor()", ("jem_monitor_config",), config)
        held_out = _values.vector(scores, "scores")
        self._take(create("jem_monitor_create", "jem_monitor", ctypes.byref(settings),
                          len(held_out), held_out))

    def _take(self, pointer: Any) -> None:
        super().__init__(pointer)
        self._alarm = ALARM()  # the library keeps its address, so it must live
        self._raised = threading.local()

    @classmethod
    def restore(cls, snapshot: bytes) -> Monitor:
        """The monitor that snapshot() was called on, without its on_alarm().

        Raises:
            JemFormatError: The bytes are no snapshot, or damaged.
        """
        data = np.frombuffer(snapshot, np.uint8)
        monitor = cls.__new__(cls)
        monitor._take(create("jem_monitor_restore", "jem_monitor", data.size, data))
        return monitor

    def snapshot(self) -> bytes:
        """All that the monitor is, to go on after a restart or in another process."""
        out = np.empty(_BYTES, np.uint8)
        call("jem_monitor_snapshot", self, out.size, out)
        return out.tobytes()

    def __reduce__(self) -> Any:
        return (type(self).restore, (self.snapshot(),))

    def _call(self, name: str, *args: Any) -> None:
        """A call that may raise the alarm: what its receiver raises is raised from here."""
        self._raised.error = None
        call(name, self, *args)
        error, self._raised.error = self._raised.error, None
        if error is not None:
            raise error

    def update(self, scores: ArrayLike) -> bool:
        """Takes scores (n,) of the stream, or a single one; whether there has been an alarm."""
        array = _values.floats(scores, "scores")
        values = _values.vector(array.reshape(1) if array.ndim == 0 else array, "scores")
        alarm = np.zeros(1, np.int32)
        self._call("jem_monitor_update", len(values), values, alarm)
        return bool(alarm[0])

    @property
    def info(self) -> Any:
        """A MonitorInfo: n_seen, alarm, alarm_at, log_evidence, log_threshold, ..."""
        return _values.result_of(MonitorInfo, "jem_monitor_get_info", self)

    def on_alarm(self, receiver: Callable[[Any], Any] | None) -> None:
        """Calls receiver(info) once, at the alarm; None, the default, calls nobody.

        It runs at the end of the update() or merge() that brings the alarm, on that thread; what
        it raises is raised from there.
        """

        def receive(_user: int | None, info: Any) -> None:
            try:
                receiver(_values.result_from(MonitorInfo, info.contents))
            except BaseException as error:  # nothing may travel through C
                self._raised.error = error

        function = ALARM(receive) if receiver is not None else ALARM()
        call("jem_monitor_set_alarm", self, function, None)
        self._alarm = function

    def reset(self) -> None:
        """Begins anew with the same calibration."""
        call("jem_monitor_reset", self)

    def merge(self, workers: Sequence[Monitor | bytes]) -> bool:
        """Becomes the mean of workers that share its calibration; whether there has been an alarm.

        Args:
            workers: Monitors, or their snapshots; always the same ones. jem.h explains it at
                jem_monitor_merge().
        """
        used = [w if isinstance(w, Monitor) else Monitor.restore(w) for w in workers]
        pointers = (ctypes.POINTER(struct_type("jem_monitor")) * len(used))()
        for worker in used:
            worker._pin()
        try:
            for place, worker in enumerate(used):
                pointers[place] = worker._pointer
            self._call("jem_monitor_merge", len(used), pointers)
        finally:
            for worker in used:
                worker._unpin()
        return bool(self.info.alarm)
