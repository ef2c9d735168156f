"""What a checkpoint that edgekit did not write does not say of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class CheckpointHints:
    """The class names of a state dict, and torchvision's name of its architecture where its tensors fit several."""

    base_classes: Path | None = None  # a file of names
    architecture: str | None = None

    def refuse(self, path: Path) -> None:
        """Raise EdgekitError if anything is given: the file ``path`` says itself what it is."""
        if self != CheckpointHints():
            raise EdgekitError(f"{path}: says itself what it is", "omit --base-classes and --architecture")
