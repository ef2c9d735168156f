"""What a checkpoint that edgekit did not write leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class CheckpointHints:
    """The class names of a state dict, and torchvision's name of its architecture where its tensors fit several."""

    base_classes: str | Path | None = None  # a file of names
    architecture: str | None = None

    def refuse(self, path: Path) -> None:
        """Raise EdgekitError if anything is given, since ``path`` describes itself."""
        if self != CheckpointHints():
            raise EdgekitError(f"{path}: describes itself", "omit --base-classes and --architecture")
