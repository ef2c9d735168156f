"""Annotated photos checked before anything is learned from them: faults, sizes, near-duplicates, probable mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.adaptation.splitting import split
from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.artifacts.outputs import check_outputs
from edgekit.checking.class_facts import (
    ClassFacts,
    ObjectPlace,
    PhotoShape,
    class_facts,
    photo_shapes,
    smallest_objects,
    suggested_canvas,
)
from edgekit.checking.near_duplicates import NearDuplicates, duplicate_groups, near_duplicates
from edgekit.checking.photo_scan import Scanned, scan
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import REFUSED, FaultRow, Faults, ReadingOptions
from edgekit.data.annotations.formats import collect_dataset
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import output_file
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent

if TYPE_CHECKING:
    from edgekit.adaptation.bases import Adaptable
    from edgekit.checking.base_findings import BaseFindings


@dataclass(frozen=True)
class Check:
    """What is annotated, what is wrong with it, and what of it is doubtful."""

    data: Path
    images: Path
    base: str | None
    page: Path
    fixed: Path | None  # the clean annotations, where they were asked for and written
    photos: int  # that can be used
    held_out: int  # photos of ``val``, or of those above that ``adapt`` would hold out
    size: tuple[int, int]  # (height, width) of the canvas that objects are measured on
    suggested_size: tuple[int, int]  # of the canvas that suits the photos
    classes: tuple[ClassFacts, ...]
    shapes: tuple[PhotoShape, ...]
    faults: tuple[FaultRow, ...]
    causes: tuple[str, ...]  # likely ones of a whole set's faults
    smallest: tuple[ObjectPlace, ...]
    duplicates: tuple[NearDuplicates, ...]
    findings: BaseFindings | None  # of the base model

    @property
    def refused(self) -> int:
        """How many faults there are of which only the user can tell what is meant."""
        return sum(row.count for row in self.faults if row.treated == REFUSED)
