"""Where the photos are that annotation files name, however they write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhotoSearch:
    """Folders of photos, each listed once."""

    folders: tuple[Path, ...]

    def find(self, names: Sequence[str]) -> list[Path | str]:
        """The files of all names in the one folder that has most of them; for one that is not there, what was tried."""
        raise NotImplementedError
