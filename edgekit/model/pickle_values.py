"""What a pickle is read as besides plain data: tensors still in the file, and names of what is not built."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

MAX_DIMENSIONS = 16
MAX_NODES, MAX_DEPTH = 100_000, 32  # of what is kept of one entry beside the weights
OMITTED = object()  # what ``plain`` gives for tensors
ARRAY_KINDS = "biufcSU"  # NumPy's kinds of numbers and text; object arrays are never built


class Named:
    """A class or function that a pickle names. It is never looked up."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Placeholder:
    """An object that was not built: what a pickle would have called, and the data that it would have been given."""

    __slots__ = ("args", "attributes", "items", "name", "values")

    def __init__(self, name: str, args: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.args = args
        self.attributes: dict[Any, Any] = {}
        self.items: dict[Any, Any] = dict(args[0]) if len(args) == 1 and isinstance(args[0], dict) else {}
        self.values: list[Any] = []

    def build(self, state: Any) -> None:
        """Remember attributes, which a pickle gives as a dictionary or as a pair with those of ``__slots__``."""
        for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            if isinstance(part, dict):
                self.attributes |= part


@dataclass(frozen=True)
class Storage:
    """Bytes of the file that tensors lie in."""

    key: str
    dtype: torch.dtype
    nbytes: int
    start: int = 0  # in the bytes of this key


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a storage; offset and stride in elements."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = (self.size, self.stride, (self.offset,))
        if not isinstance(self.storage, Storage) or not all(is_shape(s) for s in sizes):
            raise UnpicklingError("a tensor's sizes are no whole numbers")
        if len(self.size) != len(self.stride) or (self.offset + self.span) * self.dtype.itemsize > self.storage.nbytes:
            raise UnpicklingError(f"a tensor of {list(self.size)} is larger than its data")

    @property
    def span(self) -> int:
        """How many elements lie between its first and its last, both counted."""
        if 0 in self.size:
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))

    @property
    def nbytes(self) -> int:
        """How large it is once it is read, floats as float32."""
        return prod(self.size) * max(4, self.dtype.itemsize)

    def read(self, data: memoryview) -> torch.Tensor:
        """A copy, given the bytes of its storage's key."""
        start = self.storage.start + self.offset * self.dtype.itemsize
        raw = data[start : start + self.span * self.dtype.itemsize]
        if len(raw) != self.span * self.dtype.itemsize:
            raise UnpicklingError("the file is shorter than its tensors")
        copy = torch.empty(len(raw), dtype=torch.uint8)  # aligned as PyTorch aligns, whatever the file does
        copy.numpy()[:] = np.frombuffer(raw, np.uint8)
        tensor = copy.view(self.dtype).as_strided(self.size, self.stride)
        return tensor if tensor.is_contiguous() else tensor.clone()


@dataclass(frozen=True)
class UnreadTensor:
    """A tensor that is not read: what it is ("sparse"), and what to do."""

    what: str
    remedy: str


class ArrayType:
    """NumPy's dtype, such as ``<f4``; ``build`` gets the order of its bytes."""

    __slots__ = ("code", "dtype")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code if isinstance(code, str) and len(code) < 12 else ""
        self.dtype = self._parse(self.code)

    def build(self, state: Any) -> None:
        """Take the order of the bytes, ``<`` or ``>``, from what NumPy pickles."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self._parse(state[1] + self.code.lstrip("<>=|"))

    def _parse(self, code: str) -> np.dtype[Any] | None:
        kind, size = code.lstrip("<>=|")[:1], code.lstrip("<>=|")[1:]
        if not kind or kind not in ARRAY_KINDS or not size.isdecimal() or int(size) == 0:
            return None
        dtype = np.dtype(code)
        return dtype if dtype.kind == kind else None


class StoredArray:
    """A NumPy array; without a dtype it holds objects, which are not built."""

    __slots__ = ("dtype", "fortran", "raw", "shape")

    def __init__(self) -> None:
        self.dtype: np.dtype[Any] | None = None
        self.shape: tuple[int, ...] = (0,)
        self.fortran = False
        self.raw = b""

    def build(self, state: Any) -> None:
        """Take what NumPy pickles: (version,) shape, dtype, whether columns come first, and the bytes."""
        shape, dtype, fortran, raw = state[-4:]
        if not isinstance(dtype, ArrayType) or dtype.dtype is None:
            return
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2's strings
        if not is_shape(shape) or not isinstance(raw, bytes | bytearray):
            raise UnpicklingError("a NumPy array without a shape or without data")
        if prod(shape) * dtype.dtype.itemsize != len(raw):
            raise UnpicklingError(f"a NumPy array of {list(shape)} has {len(raw)} bytes")
        self.dtype, self.shape, self.fortran, self.raw = dtype.dtype, tuple(shape), bool(fortran), bytes(raw)

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers, not text or objects."""
        return self.dtype is not None and self.dtype.kind not in "SU"

    @property
    def nbytes(self) -> int:
        """How large it is once it is read, floats as float32."""
        return prod(self.shape) * max(4, self.dtype.itemsize if self.dtype else 0)

    def array(self) -> np.ndarray[Any, Any]:
        """The array, read-only."""
        array = np.frombuffer(self.raw, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def read(self) -> torch.Tensor:
        """A copy as a tensor."""
        tensor: torch.Tensor = torch.tensor(self.array())
        return tensor


def is_shape(values: Any) -> bool:
    """Whether a value from a pickle is a tuple of sizes, none of them absurd."""
    if not isinstance(values, tuple | list) or len(values) > MAX_DIMENSIONS:
        return False
    return all(type(v) is int and 0 <= v < 2**62 for v in values)


def is_tensor(value: Any) -> bool:
    """Whether a value of a pickle is numbers that a model can have, also of a kind that is not read."""
    known = isinstance(value, torch.Tensor | StoredTensor | UnreadTensor)
    return known or (isinstance(value, StoredArray) and value.is_numeric)


def key_of(value: Any) -> Any:
    """What stands for a dictionary's key: the value, or a placeholder where hashing it could take for ever."""
    parts = value if isinstance(value, tuple) and len(value) <= MAX_DIMENSIONS else (value,)
    nested = any(isinstance(p, tuple | list | dict | set | frozenset | bytearray) for p in parts)
    return Placeholder("builtins.tuple") if nested else value


def plain(value: Any) -> Any:
    """Plain data without tensors: placeholders as what they hold, else as ``<module.Name>``.

    OMITTED for a tensor, and for data too large or nested too deep to be a setting.
    """
    try:
        return _plain(value, [MAX_NODES], 0)
    except (_TooLargeError, ValueError):  # ValueError: text of no known characters
        return OMITTED


class _TooLargeError(Exception):
    pass


def _plain(value: Any, left: list[int], depth: int) -> Any:
    """``left`` is how many more values may be visited: shared ones count each time, as few can stand for billions."""
    left[0] -= _nodes(value)
    if left[0] < 0 or depth > MAX_DEPTH:
        raise _TooLargeError
    if isinstance(value, Placeholder):
        if value.name.startswith("pathlib."):
            return str(PurePosixPath(*value.args)) if _is_path(value.args) else f"<{value.name}>"
        value = value.attributes | value.items or value.values or f"<{value.name}>"
    if isinstance(value, StoredArray) and value.dtype is not None:
        small = value.shape == () or (not value.is_numeric and prod(value.shape) < 1000)
        return value.array().tolist() if small else OMITTED
    if isinstance(value, dict):
        pairs = ((k, _plain(v, left, depth + 1)) for k, v in value.items() if isinstance(k, str | int | float))
        return {k: v for k, v in pairs if v is not OMITTED}
    if isinstance(value, list | tuple | set | frozenset):
        kept = [v for v in (_plain(v, left, depth + 1) for v in value) if v is not OMITTED]
        return tuple(kept) if isinstance(value, tuple) else kept
    if isinstance(value, Named):
        return f"<{value.name}>"
    known = value is None or isinstance(value, str | bytes | int | float | complex)
    return value if known else OMITTED


def _nodes(value: Any) -> int:
    """How many values it takes to read a value without what lies in it."""
    if isinstance(value, Placeholder):
        return 1 + len(value.attributes) + len(value.items)
    if isinstance(value, dict):
        return 1 + len(value)
    return 1 + (len(value.raw) // 8 if isinstance(value, StoredArray) else 0)


def _is_path(parts: tuple[Any, ...]) -> bool:
    return len(parts) < 100 and all(isinstance(p, str) and len(p) < 1000 for p in parts)
