"""The photos on which two models are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Photos:
    """The photos to compare on: pixels read one at a time, with annotations or without."""

    files: tuple[Path, ...]
    dataset: Dataset | None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> np.ndarray:
        """The pixels of a photo, RGB uint8 [H, W, 3]."""
        return self.dataset.photos[index].read() if self.dataset else read_image(self.files[index])


def comparison_photos(images: str | Path | None = None, data: str | Path | None = None) -> Photos:
    """The photos of a folder, those that ``data`` annotates, or those that come with edgekit."""
    if data is None:
        return Photos(tuple(list_images(Path(images or SAMPLE_PHOTOS))), None)
    if images is None:
        raise EdgekitError(f"{data}: annotates photos of an unknown folder", "give the folder with --images")
    dataset = read_dataset(Path(data), Path(images))
    return Photos(tuple(p.path for p in dataset.photos), dataset)


def photos_in(folder: Path | None) -> Photos:
    """The photos of a folder, with its annotations.json if it holds one, or those that come with edgekit."""
    annotations = folder / "annotations.json" if folder is not None else None
    return comparison_photos(folder, annotations if annotations is not None and annotations.exists() else None)
