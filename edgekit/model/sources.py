"""Any file of weights as named float32 tensors: safetensors, what ``torch.save`` writes, pickles of NumPy arrays."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.artifacts.metadata import METADATA_KEY
from edgekit.errors import EdgekitError
from edgekit.model.pickle_values import UnreadTensor
from edgekit.model.state_dicts import StateDict, find_state, shown
from edgekit.model.torch_archives import Reader, unpickle

NOT_WEIGHTS = {  # how files begin that are something else under a checkpoint's name
    b"<": "is a web page, not weights",
    b"version https://git-lfs": "is a Git LFS pointer, not weights",
}
# What reading a damaged or hostile pickle, archive or tensor leads to.
DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


@dataclass(frozen=True)
class Weights:
    """A file's tensors by name, floats in float32, the types the file has them in, and what else the file says."""

    tensors: dict[str, torch.Tensor]
    dtypes: tuple[str, ...]
    metadata: str | None  # edgekit's, if any
    sha256: str  # of the file
    rest: Mapping[str, Any] = field(default_factory=dict)  # beside the weights, as plain data without tensors
    notes: tuple[str, ...] = ()  # which model was chosen, and what was left out


def read_weights(path: Path) -> Weights:
    """Read any file of weights, once.

    No code in the file is run. Raises EdgekitError where it holds no weights, or weights that are no finite numbers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error) from None
    for beginning, what in NOT_WEIGHTS.items():
        if data[:64].lstrip().startswith(beginning):
            raise EdgekitError(f"{path}: {what}", "download the file again")
    text = None
    if path.suffix.lower() == ".safetensors":
        tensors, text = _parse_safetensors(path, data)
        state = StateDict(tensors, {}, ()) if text is not None else find_state(tensors, path)
        tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}  # aligned as PyTorch aligns
    else:
        try:
            content, read = unpickle(path, data)
        except DAMAGED as error:
            raise _damaged(path, error) from None
        state = find_state(content, path)
        tensors = _read_all(state, read, path)
    dtypes = tuple(sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()}))
    for name, tensor in tensors.items():
        tensors[name] = _in_float32(tensor, name, path)
    return Weights(tensors, dtypes, text, hashlib.sha256(data).hexdigest(), state.rest, state.notes)


def _parse_safetensors(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], str | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise _damaged(path, error) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__", {}).get(METADATA_KEY)


def _read_all(state: StateDict, read: Reader, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a model out of the file; raises EdgekitError, which names the tensor, for one that is not read."""
    for name, tensor in state.tensors.items():
        if isinstance(tensor, UnreadTensor):
            raise EdgekitError(f"{path}: {shown(name)}: is a tensor that is {shown(tensor.what)}", tensor.remedy)
    try:
        return {name: read(tensor) for name, tensor in state.tensors.items()}
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _in_float32(tensor: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    """Floats in float32, whole numbers as they are."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        return tensor
    if tensor.is_complex() or "float4" in str(tensor.dtype):  # two numbers in one element
        raise EdgekitError(f"{path}: {shown(name)}: has the type {tensor.dtype}", "give weights in floating point")
    values = tensor.float()
    if not np.isfinite(values.numpy()).all():  # on many small tensors faster than PyTorch's threads
        raise EdgekitError(f"{path}: {shown(name)} holds NaN or infinity", "take a checkpoint from before it diverged")
    return values


def _damaged(path: Path, error: Exception) -> EdgekitError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EdgekitError(f"{path}: is not a checkpoint or is damaged: {reason[:200]}", "check how it got here")
