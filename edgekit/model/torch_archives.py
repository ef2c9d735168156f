"""The containers that pickled weights come in: torch.save's zip archive, its format before 1.6, and a plain pickle."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from edgekit.errors import EdgekitError
from edgekit.model.pickle_values import Storage, StoredArray, StoredTensor
from edgekit.model.plain_pickle import load_plain

SAVE_AGAIN = "where it was made: torch.save(model.state_dict(), 'weights.pth')"
MAGIC = 0x1950A86A20F9469CFC6C  # torch.save's first value before PyTorch 1.6
EXPANSION, SLACK = 8, 2**24  # how many times larger than the file, and bytes beside, the weights may become

Reader = Callable[[StoredTensor | StoredArray], torch.Tensor]


def unpickle(path: Path, data: bytes) -> tuple[Any, Reader]:
    """The value that a file's pickle describes, and what reads its tensors out of ``data``, the whole file.

    Nothing that the pickle names is imported or called. Raises UnpicklingError, or what damaged data leads to.
    """
    if not data:
        raise _partial(path)
    left = EXPANSION * len(data) + SLACK
    if data.startswith(b"PK"):
        value, storages = _zip(path, data)
    else:
        value, storages = _pickles(data)

    def read(tensor: StoredTensor | StoredArray) -> torch.Tensor:
        nonlocal left
        left -= tensor.nbytes
        if left < 0:
            raise UnpicklingError(f"weights of more than {EXPANSION} times the size of the file")
        return tensor.read() if isinstance(tensor, StoredArray) else tensor.read(storages(tensor.storage.key))

    return value, read


def _partial(path: Path) -> EdgekitError:
    return EdgekitError(f"{path}: is empty or only a part of the file", "download or copy it again")


def _zip(path: Path, data: bytes) -> tuple[Any, Callable[[str], memoryview]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise _partial(path) from None
    members = {i.filename: i for i in archive.infolist()}
    if any(n.endswith("constants.pkl") for n in members):
        raise EdgekitError(f"{path}: is a TorchScript archive, not weights", f"save the weights {SAVE_AGAIN}")
    roots = [n.removesuffix("data.pkl") for n in members if n == "data.pkl" or n.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UnpicklingError("a zip archive that torch.save did not write")
    if sum(i.file_size for i in members.values()) > EXPANSION * len(data) + SLACK:
        raise UnpicklingError("a zip archive that unpacks to many times its size")

    def member(name: str) -> memoryview:
        if name not in members:
            raise UnpicklingError("a part of the weights is not in the file")
        return _member(archive, members[name], data)

    order = f"{roots[0]}byteorder"
    if order in members and bytes(member(order)) != sys.byteorder.encode():
        raise EdgekitError(f"{path}: was saved on a machine of the other byte order", f"save it again {SAVE_AGAIN}")
    value, _ = load_plain(io.BytesIO(member(f"{roots[0]}data.pkl")))
    return value, lambda key: member(f"{roots[0]}data/{key}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> memoryview:
    """A member's bytes, without a copy where they lie in the file as they are, which is how torch.save writes them."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        with archive.open(info) as file:
            return memoryview(file.read(info.file_size))
    names = struct.unpack_from("<HH", data, info.header_offset + 26)  # the lengths of the name and of the extra field
    start = info.header_offset + 30 + sum(names)
    found = memoryview(data)[start : start + info.file_size]
    if len(found) != info.file_size:
        raise UnpicklingError("a part of the weights is not in the file")
    return found


def _pickles(data: bytes) -> tuple[Any, Callable[[str], memoryview]]:
    """One pickle, or those of torch.save before PyTorch 1.6 with the storages behind them."""
    file = io.BytesIO(data)
    value, _ = load_plain(file)
    if value != MAGIC:
        return value, _missing
    for _ in ("version", "byte order and sizes of numbers"):
        load_plain(file)
    value, named = load_plain(file)
    keys, _ = load_plain(file)
    found = _storages(keys, named, memoryview(data)[file.tell() :])
    return value, lambda key: found[key] if key in found else _missing(key)


def _storages(keys: Any, named: dict[str, Storage], data: memoryview) -> dict[str, memoryview]:
    """Each storage's bytes: its number of elements, then these, in the order of ``keys``."""
    found: dict[str, memoryview] = {}
    start = 0
    for key in keys:
        (count,) = struct.unpack_from("<q", data, start)
        end = start + 8 + count * named[key].dtype.itemsize
        if count < 0 or end > len(data):
            raise UnpicklingError("the file is shorter than its tensors")
        found[key] = data[start + 8 : end]
        start = end
    return found


def _missing(_: str) -> memoryview:
    raise UnpicklingError("a part of the weights is not in the file")
