"""Loads libjem, gives every function of the declaration table its types, and makes the calls.

Three things are decided here and nowhere else: where the library is looked for, how a status
becomes an exception, and how long a handle lives. A handle is pinned while a call uses it, so
close() in one thread cannot pull it away under a call in another.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import ctypes.util
import functools
import os
import pathlib
import re
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import errors
from ._declarations import FUNCTIONS, OPAQUE, STRUCTS, TYPEDEFS

# ---- types -----------------------------------------------------------------------------------

SCALARS: dict[str, Any] = {
    "void": None,
    "char": ctypes.c_char,
    "uint8_t": ctypes.c_uint8,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}


def value_type(spelling: str) -> Any:
    """The ctypes type of a struct field, a return value or a callback's argument."""
    if spelling in SCALARS:
        return SCALARS[spelling]
    if spelling in TYPEDEFS:
        return value_type(TYPEDEFS[spelling])
    if spelling in STRUCTS or spelling in OPAQUE:
        return struct_type(spelling)
    if array := re.fullmatch(r"(.+)\[(\d+)\]", spelling):
        return value_type(array[1]) * int(array[2])
    if function := re.fullmatch(r"(.+?) ?\(\*\)\((.+)\)", spelling):
        arguments = [value_type(argument) for argument in function[2].split(", ")]
        return ctypes.CFUNCTYPE(value_type(function[1]), *arguments)
    if not spelling.endswith("*"):
        raise KeyError(spelling)
    target = spelling[:-1].strip().removeprefix("const ").removesuffix(" const")
    special = {"void": ctypes.c_void_p, "char": ctypes.c_char_p}
    return special[target] if target in special else ctypes.POINTER(value_type(target))


@functools.cache
def struct_type(name: str) -> type[ctypes.Structure]:
    """The class of a struct of the table; one without fields for an opaque handle."""
    fields = [(field, value_type(spelling)) for field, spelling in STRUCTS.get(name, ())]
    return type(name, (ctypes.Structure,), {"_fields_": fields} if fields else {})


class ArrayPointer:
    """An argument that points to numbers: takes a numpy array as it lies in memory, or None.

    There is one subclass per C type. Nothing is ever converted here, so an array of another
    type, layout or (for an output) permission cannot get through by accident.
    """

    dtype: np.dtype
    writable: bool

    @classmethod
    def from_param(cls, array: np.ndarray | None) -> ctypes.c_void_p | None:
        if array is None:
            return None
        if not isinstance(array, np.ndarray) or array.dtype != cls.dtype:
            raise TypeError(f"expected an array of {cls.dtype}")
        if not array.flags.c_contiguous or not array.flags.aligned:
            raise TypeError("expected a C-contiguous, aligned array")
        if cls.writable and not array.flags.writeable:
            raise TypeError("expected a writable array")
        return ctypes.c_void_p(array.ctypes.data)


@functools.cache
def argument_type(spelling: str) -> Any:
    """The ctypes type of a function's argument: as value_type(), but arrays come from numpy."""
    pointer = re.fullmatch(r"(const )?(\w+) \*", spelling)
    if pointer is None or pointer[2] not in SCALARS or pointer[2] in ("void", "char"):
        return value_type(spelling)
    dtype = np.dtype(SCALARS[pointer[2]])
    fields = {"dtype": dtype, "writable": pointer[1] is None}
    return type(f"ArrayPointer<{spelling}>", (ArrayPointer,), fields)


# ---- library ---------------------------------------------------------------------------------

SONAME = "libjem.so.0"


def _candidates() -> list[str]:
    chosen = os.environ.get("JEM_LIBRARY")
    if chosen:
        return [chosen]
    beside = pathlib.Path(__file__).parent
    found = [str(path) for name in (SONAME, "libjem.so") if (path := beside / name).exists()]
    installed = ctypes.util.find_library("jem")
    return found + ([installed] if installed else []) + [SONAME]


def _load() -> ctypes.CDLL:
    failures = []
    for candidate in _candidates():
        try:
            return ctypes.CDLL(candidate)
        except OSError as error:
            failures.append(str(error))
    raise ImportError(
        f"libjem was not found: {'; '.join(failures)}. Install libjem, or set the environment "
        f"variable JEM_LIBRARY to the path of {SONAME}."
    )


def _bind(library: ctypes.CDLL) -> dict[str, Any]:
    bound = {}
    for name, (result, *arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(
                f"{library._name} has no function {name}: it is older than this Python package"
            ) from None
        function.restype = value_type(result)
        function.argtypes = [argument_type(argument) for argument in arguments]
        bound[name] = function
    return bound


_library = _load()
functions: dict[str, Any] = _bind(_library)


# ---- handles ---------------------------------------------------------------------------------


class Handle:
    """A libjem object: released by close(), at the end of a `with` block, or with its last use.

    Objects still alive when the interpreter exits are left to the operating system, because
    threads may be computing with them.
    """

    _c_name: str  # of the opaque struct

    def __init__(self, pointer: Any) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False
        self._pointer = pointer
        self._release = weakref.finalize(self, functions[f"{self._c_name}_destroy"], pointer)
        self._release.atexit = False

    def close(self) -> None:
        """Releases the object; a second time does nothing. Calls already running finish first."""
        with self._lock:
            self._closed = True
            unused = self._users == 0
        if unused:
            self._release()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    def _pin(self) -> None:
        with self._lock:
            if self._closed:
                raise ValueError(f"this {type(self).__name__} is closed")
            self._users += 1

    def _unpin(self) -> None:
        with self._lock:
            self._users -= 1
            unused = self._closed and self._users == 0
        if unused:
            self._release()


@contextlib.contextmanager
def held(handle: Handle | None) -> Iterator[Any]:
    """The handle's pointer, for a field of a struct; it is not released meanwhile. None for None."""
    if handle is None:
        yield None
        return
    handle._pin()
    try:
        yield handle._pointer
    finally:
        handle._unpin()


def create(name: str, c_name: str, *args: Any) -> Any:
    """Calls a function whose first argument is the new handle; returns its pointer."""
    out = ctypes.POINTER(struct_type(c_name))()
    call(name, ctypes.byref(out), *args)
    return out


# ---- calls -----------------------------------------------------------------------------------


def call(name: str, *args: Any) -> Any:
    """Calls a function of the table. Handle objects among `args` stand for their pointers.

    The GIL is released meanwhile; `args` keeps what is pointed to alive.

    Raises:
        JemError: The status was not JEM_OK.
        TypeError: An argument is of the wrong type.
        ValueError: A handle is closed.
    """
    pinned = []
    try:
        for arg in args:
            if isinstance(arg, Handle):
                arg._pin()
                pinned.append(arg)
        values = [arg._pointer if isinstance(arg, Handle) else arg for arg in args]
        result = functions[name](*values)
    except ctypes.ArgumentError as error:
        raise TypeError(f"{name}: {error}") from None
    finally:
        for handle in pinned:
            handle._unpin()
    if FUNCTIONS[name][0] == "jem_status" and result != 0:
        raise _last_error(result, args)
    return result


def _last_error(status: int, args: tuple[Any, ...]) -> errors.JemError:
    message = functions["jem_last_error"]().decode(errors="replace")
    path = next((os.fsdecode(arg) for arg in args if isinstance(arg, bytes)), None)
    return errors.error_of(status, message, functions["jem_last_errno"](), path)


PROGRESS = value_type("jem_progress_fn")
Progress = Callable[[int, int], Any]


@contextlib.contextmanager
def _control_c_noted(raised: list[BaseException]) -> Iterator[bool]:
    """In the main thread, Ctrl-C appends a KeyboardInterrupt to `raised` instead of raising it.

    Python would raise it at the entry of the callback, before any `try`, where ctypes loses it.
    A handler that the program has set itself is left alone.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield False
        return
    signal.signal(signal.SIGINT, lambda *_: raised.append(KeyboardInterrupt()))
    try:
        yield True
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def progress_function(callback: Progress | None) -> Iterator[Any]:
    """A jem_progress_fn for the calls in the block, made of callback(done, total).

    A true result cancels. So does an exception, and Ctrl-C with or without a callback; they are
    raised from the block.
    """
    raised: list[BaseException] = []

    def report(_user: int | None, done: int, total: int) -> int:
        try:
            cancel = callback is not None and bool(callback(done, total))
            return int(cancel or bool(raised))
        except BaseException as error:  # nothing may travel through C
            raised.append(error)
            return 1

    try:
        with _control_c_noted(raised) as noted:
            yield PROGRESS(report) if noted or callback is not None else PROGRESS()
    except errors.JemError as cancelled:
        if not raised:
            raise
        # Its traceback ends in a frame of contextlib, which holds it in turn (Python 3.13).
        cancelled.__traceback__ = None
    if raised:
        error = raised[0]
        try:
            raise error
        finally:
            # No cycle through the traceback, which would keep the caller's handles alive.
            raised.clear()
            del error


LOG = value_type("jem_log_fn")
STEP = value_type("jem_step_fn")
ALARM = value_type("jem_alarm_fn")
_log_receiver = LOG()  # the library keeps its address, so it must live


def set_log(receiver: Callable[[int, str], Any] | None) -> None:
    """Sends the library's log lines to receiver(level, line); None, the default, to nobody.

    Levels are 1 debug, 2 info, 3 warning. The receiver runs on the thread of the call that logs
    and must not call libjem.
    """
    global _log_receiver

    def log(_user: int | None, level: int, line: bytes) -> None:
        receiver(level, line.decode(errors="replace"))

    function = LOG(log) if receiver is not None else LOG()
    call("jem_set_log", function, None)
    _log_receiver = function


@atexit.register
def _silence() -> None:
    set_log(None)
