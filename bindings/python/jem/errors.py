"""Statuses of libjem as exceptions.

Each status has a class of its own, which is also the built-in exception that a Python programmer
would expect: `except ValueError` catches a wrong argument, `except OSError` an unreadable file.
`except jem.JemError` catches all of them.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from ._declarations import CONSTANTS


class JemError(Exception):
    """A call of libjem failed.

    Attributes:
        status: The number, for example -1.
        name: Its name, for example "JEM_EINVAL".
        message: One sentence naming what was wrong.
    """

    status = 0
    name = "JEM_UNKNOWN"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:  # KeyError would quote it
        return f"{self.name}: {self.message}"


class JemInvalidError(JemError, ValueError):
    """An argument is wrong; the message names it and what was expected."""

    name = "JEM_EINVAL"


class JemMemoryError(JemError, MemoryError):
    """Out of memory; every object is as before the call."""

    name = "JEM_ENOMEM"


class JemIOError(JemError, OSError):
    """A file could not be opened, read or written.

    It is also the OSError that Python itself would raise: `except FileNotFoundError` catches the
    one for a file that is missing, PermissionError the one for a file that is forbidden.

    Attributes:
        errno: Of the operating system; None where none of its calls had failed.
        filename: The path as it was given; None when there was none.
    """

    name = "JEM_EIO"

    def __new__(cls, message: str, errno: int | None = None, filename: str | None = None) -> Any:
        builtin = type(OSError(errno, message)) if errno is not None else OSError
        return super().__new__(_io_error_like(cls, builtin), message)

    def __init__(
        self, message: str, errno: int | None = None, filename: str | None = None
    ) -> None:
        super().__init__(message)
        self.errno = errno
        self.strerror = os.strerror(errno) if errno is not None else None
        self.filename = filename

    def __reduce__(self) -> Any:
        return JemIOError, (self.message, self.errno, self.filename)


@functools.cache
def _io_error_like(cls: type[JemIOError], builtin: type[OSError]) -> type[JemIOError]:
    """The class that is both; `cls` itself when it is a `builtin` already."""
    if issubclass(cls, builtin):
        return cls
    return type(f"Jem{builtin.__name__}", (cls, builtin), {"__module__": __name__})


class JemFormatError(JemError, ValueError):
    """A file's contents are not what its format demands."""

    name = "JEM_EFORMAT"


class JemMismatchError(JemError, ValueError):
    """A file, sampler or optimizer belongs to a model of another shape."""

    name = "JEM_EMISMATCH"


class JemUnsupportedError(JemError, NotImplementedError):
    """Understood, but not offered by this build or version."""

    name = "JEM_EUNSUPPORTED"


class JemBackendError(JemError, RuntimeError):
    """The compute backend failed."""

    name = "JEM_EBACKEND"


class JemDivergedError(JemError, ArithmeticError):
    """Training or a chain became non-finite; the parameters are unchanged."""

    name = "JEM_EDIVERGED"


class JemBusyError(JemError, RuntimeError):
    """Another thread is using this object for writing."""

    name = "JEM_EBUSY"


class JemCancelledError(JemError):
    """A progress callback asked to stop."""

    name = "JEM_ECANCELLED"


class JemNotFoundError(JemError, KeyError):
    """No tensor or metadata of that name."""

    name = "JEM_ENOTFOUND"


_BY_STATUS: dict[int, type[JemError]] = {}
for _class in JemError.__subclasses__():
    _class.status = CONSTANTS[_class.name]
    _BY_STATUS[_class.status] = _class


def error_of(
    status: int, message: str, errno: int = 0, filename: str | None = None
) -> JemError:
    """The exception for a status; a JemError with that number when a newer library invented it.

    Args:
        errno: What the operating system said, 0 for nothing; and
        filename: which file it was about. Both are for JemIOError.
    """
    kind = _BY_STATUS.get(status, JemError)
    error = kind(message, errno or None, filename) if kind is JemIOError else kind(message)
    error.status = status
    return error
