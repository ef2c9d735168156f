"""The feature cache: what the trunk made of each view, on disk, checked, bounded, read by memory mapping."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from edgekit.errors import EdgekitError
from edgekit.files import atomic_path, output_folder

SUFFIX = ".safetensors"


@dataclass
class FeatureCache:
    """Tensors by key in a folder of at most ``limit_gb`` (1e9 bytes); the least recently used ones make room.

    An entry carries the SHA-256 of its tensors; one that does not match is removed and counts as absent.
    """

    folder: Path
    limit_gb: float
    used: set[str] = field(default_factory=set)  # keys of this run, in all processes, which are never removed

    def __post_init__(self) -> None:
        output_folder(self.folder)

    def path(self, key: str) -> Path:
        """The file of an entry."""
        return self.folder / (key + SUFFIX)

    def holds(self, key: str) -> bool:
        """Whether there is a sound entry, which is then kept for this run."""
        path = self.path(key)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                sound = (file.metadata() or {}).get("sha256") == _digest(tensors)
        except FileNotFoundError:
            return False
        except (SafetensorError, OSError, RuntimeError):
            sound = False
        if not sound:
            path.unlink(missing_ok=True)
            return False
        self.used.add(key)
        os.utime(path)
        return True

    def read(self, key: str) -> dict[str, torch.Tensor]:
        """An entry's tensors, mapped from its file."""
        with safe_open(self.path(key), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)

    def write(self, key: str, tensors: dict[str, torch.Tensor]) -> None:
        """Add an entry, whole or not at all; raises if the disk or the cache's bound has no room for it."""
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        self._make_room(sum(t.numel() * t.element_size() for t in tensors.values()))
        with atomic_path(self.path(key)) as temporary:
            try:
                save_file(tensors, temporary, metadata={"sha256": _digest(tensors)})
            except (SafetensorError, OSError) as error:
                raise EdgekitError(
                    f"{self.folder}: the feature cache cannot be written: {error}",
                    "free space or give another folder with --cache; the same command then goes on",
                ) from None
        self.used.add(key)

    def _make_room(self, size: int) -> None:
        limit = self.limit_gb * 1e9
        entries = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            entries.append((status.st_mtime, path, status.st_size))
        total = sum(e[2] for e in entries) + size
        for _, path, length in sorted(entries):
            if total <= limit:
                return
            if path.name.removesuffix(SUFFIX) not in self.used:
                path.unlink(missing_ok=True)
                total -= length
        if total > limit:
            raise EdgekitError(
                f"{self.folder}: the photos' features need more than {self.limit_gb:g} GB",
                "give a larger --cache-gb, fewer --views or fewer photos",
            )


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
