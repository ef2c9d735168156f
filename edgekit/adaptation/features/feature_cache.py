"""The feature cache: what the trunk made of each view, on disk, checked, bounded, read by memory mapping."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from edgekit.errors import EdgekitError
from edgekit.files.cache_folder import CacheFolder
from edgekit.files.whole_files import default_cache, output_folder

FILE = "features.safetensors"
ELSEWHERE = "free space or give another folder with --cache; the same command then goes on"
MAPPED = 30_000  # entries at once: Linux lets a process map 65,530 files


@dataclass(frozen=True)
class FeatureStore:
    """Where trunks and features are kept (default: edgekit's cache folder), and the most the features may take."""

    cache: Path | None = None
    cache_gb: float = 10.0

    def __post_init__(self) -> None:
        if self.cache_gb <= 0:
            raise EdgekitError(f"--cache-gb {self.cache_gb}: leaves no room", "give a size above 0")

    @property
    def folder(self) -> Path:
        """The folder of all caches."""
        return self.cache or default_cache()

    def features(self) -> FeatureCache:
        """The cache of features in it."""
        return FeatureCache(self.folder / "features", self.cache_gb)


@dataclass
class FeatureCache:
    """Tensors by key in a folder of at most ``limit_gb`` (1e9 bytes); the least recently used ones make room.

    What was checked or written stays mapped, so that it can be read even if another process has removed it since.
    """

    folder: Path
    limit_gb: float
    used: set[str] = field(default_factory=set)  # keys of this run, in all processes, which are never removed
    _mapped: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        larger = "give a larger --cache-gb, fewer --views or fewer photos"
        self.entries = CacheFolder(output_folder(self.folder), self.limit_gb, self.used, larger)

    def holds(self, key: str) -> bool:
        """Whether there is a sound entry, which is then kept for this run."""
        if self.entries.find(key) is None:
            return False
        try:
            self._open(key)
        except FileNotFoundError:  # another process has just removed it
            return False
        return True

    def read(self, key: str) -> dict[str, torch.Tensor]:
        """An entry's tensors, mapped from its file."""
        try:
            file = self._open(key)
        except FileNotFoundError:
            raise EdgekitError(
                f"{self.folder}: another process removed features of this run",
                "run the command again, with a larger --cache-gb or a --cache of its own",
            ) from None
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)

    def write(self, key: str, tensors: dict[str, torch.Tensor]) -> None:
        """Add an entry, whole or not at all; raises if the disk or the cache's bound has no room for it."""
        with self.entries.adding(key) as entry:
            try:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, entry / FILE)
            except (SafetensorError, OSError) as error:
                raise EdgekitError(f"{self.folder}: the feature cache cannot be written: {error}", ELSEWHERE) from None
            self._open(key, entry)

    def _open(self, key: str, entry: Path | None = None) -> Any:
        """An entry's file, mapped; ``entry`` is where it lies before it is in its place."""
        if key in self._mapped:
            return self._mapped[key]
        file = safe_open((entry or self.folder / key) / FILE, framework="pt")
        if len(self._mapped) < MAPPED:
            self._mapped[key] = file
        return file
