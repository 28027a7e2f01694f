"""What crosses the border between Python and libjem: arrays, strings, settings, results.

Arrays of the right type and layout are passed as they lie in memory; others are converted once.
Settings are keywords named like the fields of a config struct, results are frozen dataclasses
with the fields of a result struct, and numbers that stand for a constant are called by name.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
import operator
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _native
from ._declarations import CONSTANTS, ENUM_FIELDS, STRUCTS

Shape = tuple[int, int, int]

# ---- arrays ----------------------------------------------------------------------------------


def _row_shapes(shape: Shape) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [shape, (math.prod(shape),)]
    return shapes + [shape[1:]] if shape[0] == 1 else shapes


def _check_shape(array: np.ndarray, allowed: list[tuple[int, ...]], name: str) -> None:
    if array.ndim == 0 or array.shape[1:] not in allowed:
        wanted = " or ".join(f"(n, {', '.join(map(str, s))})" for s in allowed)
        raise ValueError(f"{name} has shape {array.shape}; expected {wanted}")


def _is_masked(values: Any) -> bool:
    """Also a list of masked rows, of which numpy would make a plain array."""
    if isinstance(values, (list, tuple)):
        return any(map(_is_masked, values))
    return bool(np.ma.is_masked(values))


def _check_mask(values: ArrayLike, name: str) -> None:
    """numpy would hand out what lies under the mask."""
    if _is_masked(values):
        raise TypeError(f"{name} has masked elements; fill them, or leave their rows out")


def _converted(values: ArrayLike, dtype: Any, kinds: str, name: str) -> np.ndarray:
    _check_mask(values, name)
    array = np.asarray(values)
    if array.dtype.kind not in kinds and array.size > 0:
        raise TypeError(f"{name} has dtype {array.dtype}, which is not taken for {dtype.__name__}")
    return np.require(array, dtype, ["C", "A"])


def rows(x: ArrayLike, shape: Shape, name: str = "x") -> np.ndarray:
    """Inputs (n, C, H, W), or with the same elements flat (n, C*H*W), or (n, H, W) if C is 1.

    The array itself when it is float32, C-contiguous and aligned.
    """
    if getattr(x, "dtype", None) == np.uint8:
        raise TypeError(f"{name} has dtype uint8; model.input_from_u8() makes inputs of images")
    array = floats(x, name)
    _check_shape(array, _row_shapes(shape), name)
    return array


def floats(values: ArrayLike, name: str) -> np.ndarray:
    """Any numbers as float32; the array itself when it already fits."""
    return _converted(values, np.float32, "fiub", name)


def matrix(values: ArrayLike, n: int, width: int, name: str) -> np.ndarray:
    """float32 (n, width)."""
    array = floats(values, name)
    if array.shape != (n, width):
        raise ValueError(f"{name} has shape {array.shape}; expected {(n, width)}")
    return array


def table(values: ArrayLike, columns: str, name: str) -> np.ndarray:
    """float32 (n, any width); `columns` names the width in the message."""
    array = floats(values, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; expected (n, {columns})")
    return array


def vector(values: ArrayLike, name: str) -> np.ndarray:
    """One-dimensional float32."""
    array = floats(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected (n,)")
    return array


def labels(values: ArrayLike | None, n: int, name: str = "labels") -> np.ndarray | None:
    """Classes (n,) as int64, the array itself when it already fits; one number is for all rows."""
    if values is None:
        return None
    array = _converted(values, np.int64, "iu", name)
    if array.ndim == 0:
        return np.full(n, array)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({n},), one per row")
    return array


def image_shape(shape: Shape, layout: int) -> Shape:
    """The shape of one 8-bit image in a JEM_LAYOUT_."""
    c, h, w = shape
    return (h, w, c) if layout == CONSTANTS["JEM_LAYOUT_NHWC"] else shape


def images(values: ArrayLike, shape: Shape, layout: int) -> np.ndarray:
    """8-bit images as uint8, in a JEM_LAYOUT_; (n, H, W) if C is 1."""
    _check_mask(values, "images")
    array = np.asarray(values)
    if array.dtype != np.uint8:
        raise TypeError(f"images have dtype {array.dtype}; expected uint8")
    wanted = [image_shape(shape, layout)] + ([shape[1:]] if shape[0] == 1 else [])
    _check_shape(array, wanted, "images")
    return np.require(array, np.uint8, ["C", "A"])


def chain_rows(x: ArrayLike, shape: Shape, out: np.ndarray | None) -> np.ndarray:
    """Rows that a call will change: a copy of x, or `out` with x copied in (it may be x itself)."""
    source = rows(x, shape)
    if out is None:
        return source.copy() if np.may_share_memory(source, x) else source
    if not isinstance(out, np.ndarray) or out.shape != source.shape or out.dtype != np.float32:
        raise ValueError(f"out must be a float32 array of shape {source.shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError("out must be C-contiguous, aligned and writable")
    if out is not source:
        np.copyto(out, source)
    return out


def field_pointer(array: np.ndarray | None) -> Any:
    """For a pointer field of a struct; the caller keeps the array alive until after the call."""
    if array is None:
        return None
    return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))


# ---- numbers and strings ---------------------------------------------------------------------


def integer(value: Any, spelling: str, name: str) -> int:
    """A whole number that the C type can hold; ctypes would cut it silently."""
    number = operator.index(value)
    bits = 8 * ctypes.sizeof(_native.SCALARS[spelling])
    low = 0 if spelling.startswith(("u", "size")) else -(2 ** (bits - 1))
    if not low <= number < low + 2**bits:
        raise ValueError(f"{name} is {number}; expected {low}..{low + 2**bits - 1}")
    return number


def text(value: str, name: str) -> bytes:
    """UTF-8 for a `const char *`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} contains a NUL character")
    return value.encode()


def path(value: str | os.PathLike[str]) -> bytes:
    """A file name as the system spells it."""
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError("path contains a NUL character")
    return encoded


def constant(prefix: str, value: str | int, name: str) -> int:
    """The number of a constant called by the rest of its name in lower case, or by its number.

    The words are those of the command, with hyphens; underscores do as well.
    """
    if not isinstance(value, str):
        return integer(value, "int32_t", name)
    names = _constant_names(prefix)
    word = value.lower().replace("_", "-")
    if word not in names.values():
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(names.values())}")
    return CONSTANTS[prefix + word.upper().replace("-", "_")]


def constant_name(prefix: str, value: int) -> str | int:
    """The way back; the number itself when a newer library invented it."""
    return _constant_names(prefix).get(value, value)


def _constant_names(prefix: str) -> dict[int, str]:
    return {
        number: name.removeprefix(prefix).lower().replace("_", "-")
        for name, number in CONSTANTS.items()
        if name.startswith(prefix)
    }


# ---- settings --------------------------------------------------------------------------------


def _float_array(values: Any, array_type: Any, name: str) -> Any:
    """A field of several floats; those not given are 0."""
    numbers = [float(value) for value in values]
    room = array_type._length_
    if len(numbers) > room:
        raise ValueError(f"{name} has {len(numbers)} values; expected {room} at most")
    return array_type(*numbers)

_NOT_KEYWORDS = ("struct_size", "progress", "progress_user", "reserved", "detector")


def _field_value(struct: str, field: str, spelling: str, value: Any) -> Any:
    if (struct, field) in ENUM_FIELDS:
        return constant(ENUM_FIELDS[struct, field], value, field)
    if spelling == "const char *":
        return text(value, field)
    if spelling.endswith("]"):
        return _float_array(value, _native.value_type(spelling), field)
    is_float = spelling in ("float", "double")
    return float(value) if is_float else integer(value, spelling, field)


def configs(what: str, structs: tuple[str, ...], keywords: Mapping[str, Any]) -> list[Any]:
    """Config structs with the library's defaults, overridden by keywords; None is the default.

    Raises:
        TypeError: A keyword names no field; the message lists those there are.
    """
    made = {struct: _native.struct_type(struct)() for struct in structs}
    places = {}
    for struct, config in made.items():
        _native.call(f"{struct}_init", ctypes.byref(config), ctypes.sizeof(config))
        for field, spelling in STRUCTS[struct]:
            if field not in _NOT_KEYWORDS:
                places[field] = (struct, spelling)
    for keyword, value in keywords.items():
        if keyword not in places:
            raise TypeError(f"{what} has no setting {keyword!r}; valid are {', '.join(places)}")
        if value is not None:
            struct, spelling = places[keyword]
            setattr(made[struct], keyword, _field_value(struct, keyword, spelling, value))
    return list(made.values())


def settings_of(struct: str, config: Any) -> dict[str, Any]:
    """The way back: the keywords that make this config."""
    return {
        field: _python_value(struct, field, getattr(config, field))
        for field, _ in STRUCTS[struct]
        if field not in _NOT_KEYWORDS
    }


# ---- results ---------------------------------------------------------------------------------

_RESULT_STRUCTS: dict[type, str] = {}


def _result_type(struct: str, field: str, spelling: str) -> str:
    if (struct, field) in ENUM_FIELDS or spelling == "const char *":
        return "str"
    if spelling.endswith("]"):
        return "tuple"
    return "float" if spelling in ("float", "double") else "int"


def _python_value(struct: str, field: str, value: Any) -> Any:
    if (struct, field) in ENUM_FIELDS:
        return constant_name(ENUM_FIELDS[struct, field], value)
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, ctypes.Array) else value


def result_class(name: str, struct: str, doc: str) -> type:
    """A frozen dataclass with the fields of a result struct."""
    fields = [
        (field, _result_type(struct, field, c))
        for field, c in STRUCTS[struct]
        if field not in _NOT_KEYWORDS
    ]
    made = dataclasses.make_dataclass(name, fields, frozen=True)
    made.__module__ = "jem"
    listed = ", ".join(field for field, _ in fields)
    made.__doc__ = f"{doc}\n\nFields, explained at {struct} in jem.h: {listed}."
    _RESULT_STRUCTS[made] = struct
    return made


def result_of(made: type, function: str, *args: Any) -> Any:
    """Calls a function whose last argument is the result struct; returns the dataclass."""
    filled = _native.struct_type(_RESULT_STRUCTS[made])()
    filled.struct_size = ctypes.sizeof(filled)
    _native.call(function, *args, ctypes.byref(filled))
    return result_from(made, filled)


def result_from(made: type, filled: Any) -> Any:
    """The dataclass of a result struct that was filled."""
    struct = _RESULT_STRUCTS[made]
    names = [field.name for field in dataclasses.fields(made)]
    return made(**{n: _python_value(struct, n, getattr(filled, n)) for n in names})
