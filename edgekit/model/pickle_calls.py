"""The few calls in a pickle that give plain data or tensors, by the names of what is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from edgekit.model.pickle_values import (
    ArrayType,
    Named,
    Placeholder,
    Storage,
    StoredArray,
    StoredTensor,
    UnreadTensor,
    key_of,
)

STORAGES = {  # torch's typed storages
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
}
DTYPES = {str(d): d for d in vars(torch).values() if isinstance(d, torch.dtype)}
ENCODINGS = ("latin1", "latin-1", "utf-8", "utf8", "ascii")
MAX_NAME = 500  # characters
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # modules of Python 2


def named(module: str, name: str) -> Named:
    """A class or function by the name that Python and NumPy have for it today."""
    if len(module) + len(name) > MAX_NAME:
        raise UnpicklingError("a name of absurd length")
    module = RENAMED.get(module, module)
    return Named(f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1))


def storage(identity: Any) -> Storage:
    """The storage that a persistent id of torch.save means: its type, key, device and number of elements."""
    _, kind, key, _, count, *view = identity
    dtype = STORAGES.get(kind.name.rpartition(".")[2]) if isinstance(kind, Named) else None
    if dtype is None or not isinstance(key, str) or type(count) is not int or not 0 <= count < 2**62:
        raise UnpicklingError("a storage without a type, a name or a size")
    if not view or view[0] is None:
        return Storage(key, dtype, count * dtype.itemsize)
    _, offset, count = view[0]
    if type(offset) is not int or type(count) is not int or offset < 0 or count < 0:
        raise UnpicklingError("a view of a storage without a size")
    return Storage(key, dtype, count * dtype.itemsize, offset * dtype.itemsize)


def _tensor(source: Any, offset: Any, size: Any, stride: Any, *more: Any) -> StoredTensor | UnreadTensor:
    if not isinstance(source, Storage):
        raise UnpicklingError("a tensor without a storage")
    _grad, _hooks, bits = (*more, None, None, None)[:3]
    return _in_storage(source, source.dtype, offset, size, stride, bits)


def _tensor_v3(
    source: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, kind: Any, bits: Any = None, *_: Any
) -> StoredTensor | UnreadTensor:
    dtype = DTYPES.get(kind.name) if isinstance(kind, Named) else None
    if dtype is None or not isinstance(source, Storage):
        raise UnpicklingError("a tensor without a type or without a storage")
    return _in_storage(source, dtype, offset, size, stride, bits)


def _in_storage(
    source: Storage, dtype: torch.dtype, offset: Any, size: Any, stride: Any, bits: Any
) -> StoredTensor | UnreadTensor:
    """``bits`` says of what is to be done to the stored numbers first: conjugate or negate them."""
    if isinstance(bits, dict) and True in bits.values():
        return UnreadTensor("negated or conjugated lazily", "save tensor.resolve_neg().resolve_conj()")
    return StoredTensor(source, dtype, offset, tuple(size), tuple(stride))


def _unread(what: str, remedy: str) -> Callable[..., UnreadTensor]:
    return lambda *_: UnreadTensor(what, remedy)


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensor_subclass(function: Any, kind: Any, args: Any, *_: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    call = TENSORS.get(function.name) if isinstance(function, Named) else None
    if call is not None:
        return call(*args)
    return UnreadTensor(f"of the class {kind.name if isinstance(kind, Named) else 'object'}", PLAIN_TENSORS)


def _array(*_: Any) -> StoredArray:
    return StoredArray()


def _array_v5(raw: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> StoredArray:
    array = StoredArray()
    array.build((shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(dtype, ArrayType) or dtype.dtype is None:
        return Placeholder("numpy.generic")
    if not isinstance(raw, bytes) or len(raw) != dtype.dtype.itemsize:
        raise UnpicklingError("a NumPy number of the wrong size")
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _mapping(entries: Any = ()) -> dict[Any, Any]:
    pairs: Iterable[Any] = entries.items() if isinstance(entries, dict) else entries
    return {key_of(key): value for key, value in pairs}


def _default_mapping(_factory: Any = None, entries: Any = ()) -> dict[Any, Any]:
    return _mapping(entries)


def _set(values: Any = ()) -> set[Any]:
    return {key_of(v) for v in values}


def _sequence(values: Any = ()) -> Any:
    return values if isinstance(values, list | tuple) else list(values)


def _encode(text: Any, encoding: Any = "utf-8", *_: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ENCODINGS:
        raise UnpicklingError("text in an unknown encoding")
    return text.encode(encoding)


def _bytes(value: Any = b"", encoding: Any = None) -> Any:
    if isinstance(value, str):
        return _encode(value, encoding)
    return value if isinstance(value, bytes) else Placeholder("builtins.bytearray")


def _complex(real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise UnpicklingError("a complex number of other things")
    return complex(real, imaginary)


def _reconstructed(kind: Any, _base: Any = None, state: Any = None) -> Placeholder:
    """An object of the protocols 0 and 1 (``copyreg._reconstructor``)."""
    return Placeholder(kind.name if isinstance(kind, Named) else "builtins.object", (state,))


PLAIN_TENSORS = "save plain tensors in floating point"
TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_sparse_tensor": _unread("sparse", "save tensor.to_dense()"),
    "torch._utils._rebuild_nested_tensor": _unread("nested", PLAIN_TENSORS),
    "torch._utils._rebuild_qtensor": _unread("quantized", "save the model as it was before: edgekit quantizes itself"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unread("without values (meta)", "save the model once it has them"),
    "torch._utils._rebuild_wrapper_subclass": _unread("of a subclass", PLAIN_TENSORS),
}
# These copy what they are given, so a pickle could call them again and again on the same large value.
COPIES: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _default_mapping,
    "builtins.dict": _mapping,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.list": _sequence,
    "builtins.tuple": _sequence,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "_codecs.encode": _encode,
    "numpy.core.multiarray.scalar": _scalar,
}
CALLS: dict[str, Callable[..., Any]] = {
    **TENSORS,
    **COPIES,
    "torch.Size": _first,
    "torch._tensor._rebuild_from_type_v2": _tensor_subclass,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy.core.numeric._frombuffer": _array_v5,
    "numpy.dtype": ArrayType,
    "builtins.complex": _complex,
    "copyreg._reconstructor": _reconstructed,
}
