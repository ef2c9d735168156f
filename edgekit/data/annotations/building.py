"""From what annotation files say to a dataset: photos are found, and every object is judged, repaired and clipped."""

from __future__ import annotations

from pathlib import Path

from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.records import DatasetRecord


def build_dataset(record: DatasetRecord, folders: tuple[Path, ...], faults: Faults) -> Dataset:
    """The dataset of what can be used; all else is in ``faults``, which also says what to tolerate."""
    raise NotImplementedError
