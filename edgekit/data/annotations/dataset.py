"""Annotated photos, whatever format they came in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.images import read_image
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Annotation:
    """One annotated object: its class, its box [x, y, w, h] in pixels and its mask as compressed RLE.

    ``mask_made`` says that nobody drew the mask: it was made from the box.
    """

    category: str
    bbox: tuple[float, float, float, float]
    area: float
    segmentation: dict[str, Any] | None  # COCO RLE; None where only the box is annotated
    iscrowd: bool = False
    mask_made: bool = False

    def mask(self) -> np.ndarray:
        """The mask, bool [H, W]."""
        return coco_mask.decode(self.segmentation).astype(bool)


@dataclass(frozen=True)
class Photo:
    """One photo with what is annotated in it."""

    id: int
    path: Path
    height: int
    width: int
    annotations: tuple[Annotation, ...]

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]; raises where the file's size is not the annotated one."""
        pixels = read_image(self.path)
        if pixels.shape[:2] != (self.height, self.width):
            raise EdgekitError(
                f"{self.path}: is {pixels.shape[1]}x{pixels.shape[0]} pixels, "
                f"its annotations say {self.width}x{self.height}",
                "annotate the file as it is, or restore the one that was annotated",
            )
        return pixels


@dataclass(frozen=True)
class Dataset:
    """Photos with annotations, and the class names in the file's order."""

    file: Path
    categories: tuple[str, ...]
    photos: tuple[Photo, ...]
