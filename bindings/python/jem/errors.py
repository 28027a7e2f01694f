"""Statuses of libjem as exceptions.

Each status has a class of its own, which is also the built-in exception that a Python programmer
would expect: `except ValueError` catches a wrong argument, `except OSError` an unreadable file.
`except jem.JemError` catches all of them.
"""

from __future__ import annotations

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
    """A file could not be opened, read or written."""

    name = "JEM_EIO"


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


def error_of(status: int, message: str) -> JemError:
    """The exception for a status; a JemError with that number when a newer library invented it."""
    error = _BY_STATUS.get(status, JemError)(message)
    error.status = status
    return error
