"""Annotated photos that lie beside their annotations, or in a folder that other annotations have too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.formats import collect_dataset
from edgekit.data.annotations.yolo import is_yolo
from edgekit.errors import EdgekitError


def collect_beside(annotations: Path, images: Path, split: str, faults: Faults) -> Dataset:
    """A dataset whose photos lie beside its annotations or in ``images``; of a YOLO set, one split if it is named."""
    beside = annotations if annotations.is_dir() else annotations.parent
    source = AnnotationSource(annotations, (beside, images), split)
    if not is_yolo(source):
        return collect_dataset(source, faults)
    try:
        return collect_dataset(replace(source, images=(beside,)), faults)
    except EdgekitError as first:
        try:
            return collect_dataset(replace(source, images=(images,)), faults)
        except EdgekitError as second:
            if first.message == second.message:  # it is not about where the photos are
                raise
            raise EdgekitError(
                f"{first.message}; with photos in {images}: {second.message}",
                f"photos belong into {beside} or into {images}",
            ) from None
