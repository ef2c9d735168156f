"""Folders whose annotations are in a folder of theirs: one for each split, as Roboflow exports, or ``annotations``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.faults import FaultKind, Faults

TRAIN = "train"
FOLDERS = {TRAIN: ("train",), "val": ("valid", "val", "validation"), "test": ("test",)}
OTHER_SPLITS = FaultKind("holds several splits", repair="one is read: give the folder of another to read that")


def inner_sources(source: AnnotationSource) -> list[AnnotationSource]:
    """The folders in a folder that may hold its annotations; of several splits, the wanted one, or train."""
    if not source.path.is_dir():
        return []
    names = (*FOLDERS.get(source.split or TRAIN, (source.split,)), "annotations")
    return [replace(source, path=folder) for name in names for folder in _folders(source.path, [name])]


def report_other_splits(outer: Path, inner: Path, faults: Faults) -> None:
    """Note that a folder has splits which are not read."""
    splits = _folders(outer, [name for names in FOLDERS.values() for name in names])
    if inner in splits and len(splits) > 1:
        faults.add(OTHER_SPLITS, outer, detail=f"{', '.join(f.name for f in splits)}; {inner.name} is read")


def _folders(path: Path, names: Sequence[str]) -> list[Path]:
    return [path / name for name in names if (path / name).is_dir()]
