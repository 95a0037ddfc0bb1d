"""Pickles of arrays, read without running anything that they say: no name in them is ever imported.

A pickle names what is to be called. Here only the names that numpy writes for arrays, types and numbers are known, and
each stands for code of this file: bytes, a shape and a type of number are kept, and become an array afterwards.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import IO, Any

import numpy as np

from motionbench.errors import ShapeError

NUMBER = re.compile(r"[<>|=]?(?:[biuf][1248]|S[0-9]{1,9}|O8?)")
FAULTS = (
    pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, LookupError, OverflowError, MemoryError,
    RecursionError, NotImplementedError,
)  # fmt: skip


def read_pickle(path: Path) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, text, bytes, numbers and numpy arrays of numbers or bytes.

    Raises ShapeError naming the file for anything else, and for a file that is no pickle. Reads into memory whole.
    """
    with path.open("rb") as file:
        try:
            return _to_arrays(ArrayUnpickler(file).load())
        except FAULTS as error:
            raise ShapeError(
                f"{path}: expected a pickle of arrays, dictionaries, lists, text and numbers only: {error}; "
                "nothing of it was run; convert it to npz where it was made"
            ) from error


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows numpy's own names and no other."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's bytes

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name. Raises UnpicklingError for a name that arrays do not need."""
        place = re.sub(r"^numpy\._core\.", "numpy.core.", module)  # numpy 2 and numpy 1
        if (place, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ADMITTED[place, name]


class _Type:
    """A numpy type of numbers: its letters, and the byte order that the pickle adds afterwards."""

    __slots__ = ("order", "text")

    def __init__(self, text: str, *flags: object) -> None:
        if not isinstance(text, str) or not NUMBER.fullmatch(text):
            raise pickle.UnpicklingError(f"an array of type {text!r}")
        self.text, self.order = text, ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in "<>|=" or any(state[2:5]):
            raise pickle.UnpicklingError("an array of records")
        self.order = state[1]

    @property
    def of_objects(self) -> bool:
        return self.text.lstrip("<>|=").startswith("O")

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order.strip("|=") + self.text.lstrip("<>|="))


class _Array:
    """An array to be: numpy writes it as an empty one, then its state."""

    __slots__ = ("values",)

    def __init__(self, *empty: object) -> None:
        self.values: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        self.values = _build(data, kind, shape, "F" if fortran else "C")


def _build(data: Any, kind: _Type, shape: tuple[int, ...], order: str) -> Any:
    """An array of a plain type from bytes, or a list of a row of objects (texts or bytes of unequal length)."""
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array without a type")
    if kind.of_objects:
        if not isinstance(data, list) or len(shape) != 1:
            raise pickle.UnpicklingError("an array of objects in more than one row")
        return data
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, kind.dtype()).reshape(shape, order=order)  # type: ignore[call-overload]


class _Call:
    """A function of numpy's, by what it makes. Without attributes: a pickle can change nothing in it."""

    __slots__ = ()


class _FromBuffer(_Call):
    __slots__ = ()

    def __call__(self, data: Any, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
        array = _Array()
        array.values = _build(data, kind, shape, "F" if order == "F" else "C")
        return array


class _Number(_Call):
    __slots__ = ()

    def __call__(self, kind: _Type, data: Any) -> _Array:
        array = _Array()
        array.values = _build(data, kind, (1,), "C")[0]
        return array


class _Encode(_Call):
    """Bytes as the second pickle protocol writes them: text in Latin-1."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
        return text.encode("latin1")


class _NoBytes(_Call):
    """`bytes()`, as the second protocol writes no bytes at all."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): object(),  # only ever an argument
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Number(),
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("_codecs", "encode"): _Encode(),
    ("builtins", "bytes"): _NoBytes(),
    ("__builtin__", "bytes"): _NoBytes(),
}


def _to_arrays(value: Any) -> Any:
    """The value with arrays where `_Array`s are. Raises UnpicklingError for what has no place in data."""
    if isinstance(value, _Array):
        return _to_arrays(value.values)
    if isinstance(value, dict):
        return {_to_arrays(key): _to_arrays(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_arrays(one) for one in value)
    if value is None or isinstance(value, str | bytes | bytearray | bool | int | float | np.ndarray | np.generic):
        return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
