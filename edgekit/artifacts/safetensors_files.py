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
    """Write named arrays with a model's metadata as safetensors."""
    write_with_metadata(path, tensors, {METADATA_KEY: meta.to_json()})


def write_with_metadata(path: Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write named arrays as safetensors, whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(arrays, metadata=metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)  # not by safetensors, whose own error hides a full disk


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], ModelMeta]:
    """Read what ``write_safetensors`` wrote."""
    tensors, text = parse_safetensors(path)
    if text is None:
        raise EdgekitError(f"{path}: holds weights but no edgekit metadata", "give a checkpoint that edgekit wrote")
    return tensors, ModelMeta.from_json(text, path)


def parse_safetensors(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """A safetensors file's arrays, and edgekit's metadata if there is any."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            return {name: file.get_tensor(name) for name in file.keys()}, text  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise EdgekitError(
            f"{path}: is not a safetensors file or is damaged: {error}", "check how it got here"
        ) from None
