"""What ``check`` found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.checking.class_facts import ClassFacts, ObjectPlace, PhotoShape
from edgekit.checking.near_duplicates import NearDuplicates
from edgekit.data.annotations.faults import REFUSED, FaultRow

if TYPE_CHECKING:
    from edgekit.checking.base_findings import BaseFindings


@dataclass(frozen=True)
class Check:
    """What is annotated, what is wrong with it, and what of it is doubtful; sizes are (height, width) in pixels."""

    data: Path
    images: Path
    base: str | None
    page: Path
    fixed: Path | None  # the clean annotations, where they were asked for and written
    photos: int  # that can be used
    held_out: int  # photos given as ``val``, or those of the above that ``adapt`` would hold out
    size: tuple[int, int]  # of the canvas that objects are measured on
    suggested_size: tuple[int, int]  # of the canvas that suits the photos
    classes: tuple[ClassFacts, ...]
    shapes: tuple[PhotoShape, ...]
    faults: tuple[FaultRow, ...]
    causes: tuple[str, ...]  # likely ones of the faults of a whole set
    smallest: tuple[ObjectPlace, ...]
    duplicates: tuple[NearDuplicates, ...]
    findings: BaseFindings | None  # of the base model

    @property
    def refused(self) -> int:
        """How many faults only the user can mend."""
        return len(self.causes) + sum(row.count for row in self.faults if row.treated == REFUSED)

    def short(self, photo: Path) -> str:
        """A photo's name in the folder of the photos."""
        return str(photo.relative_to(self.images)) if photo.is_relative_to(self.images) else photo.name
