"""Checkpoints in safetensors, with edgekit's metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import atomic_path


def tensors_sha256(tensors: Mapping[str, np.ndarray], about: str = "") -> str:
    """The SHA-256 in hex of ``about`` and of all tensors' names, types, shapes and bytes."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray], meta: ModelMeta) -> None:
    """Write named arrays with their metadata as safetensors."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(arrays, metadata={METADATA_KEY: meta.to_json()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)  # not by safetensors, whose own error hides a full disk


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], ModelMeta]:
    """Read what ``write_safetensors`` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise EdgekitError(f"{path}: is no safetensors file or is damaged: {error}", "check how it got here") from None
    if text is None:
        raise EdgekitError(f"{path}: holds weights but no edgekit metadata", "give a checkpoint that edgekit wrote")
    return tensors, ModelMeta.from_json(text, path)
