"""What a checkpoint that edgekit did not write leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class CheckpointHints:
    """The class names of a state dict, torchvision's name of its architecture where its tensors fit several, and a file
    of settings that its tensors do not say (``DetectorSettings``)."""

    base_classes: str | Path | None = None  # a file of names
    architecture: str | None = None
    settings: str | Path | None = None

    @property
    def files(self) -> tuple[str | Path | None, ...]:
        """The files that are read, None for those not given."""
        return self.base_classes, self.settings

    def refuse(self, path: Path) -> None:
        """Raise EdgekitError if anything is given, since ``path`` describes itself."""
        if self != CheckpointHints():
            raise EdgekitError(f"{path}: describes itself", "omit --base-classes, --architecture and --settings")
