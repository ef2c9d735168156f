"""What is annotated, by class: how many objects, how many with masks, and how large they are on photo and canvas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.images import fitted_size

SMALL_AREA = 32**2  # pixels of the canvas, below which COCO's protocol calls an object small
QUANTILES = (0.1, 0.5, 0.9)
LISTED = 100  # of the smallest objects


@dataclass(frozen=True)
class ObjectPlace:
    """An object of a photo: its class and its box [x, y, w, h] in pixels of the photo."""

    photo: Path
    category: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class ClassFacts:
    """What is annotated of one class. Sizes are square roots of areas, at ``QUANTILES``; crowds count apart."""

    name: str
    photos: int
    objects: int
    with_masks: int
    boxes_only: int
    crowds: int
    photo_pixels: tuple[float, ...]
    canvas_pixels: tuple[float, ...]
    small: int  # objects that are small on the canvas


@dataclass(frozen=True)
class PhotoShape:
    """How many photos have this height and width."""

    height: int
    width: int
    photos: int


def class_facts(dataset: Dataset, size: tuple[int, int]) -> tuple[ClassFacts, ...]:
    """The facts of every class, on a canvas of ``size`` (H, W)."""
    found: dict[str, list[tuple[Photo, Annotation]]] = {name: [] for name in dataset.categories}
    for photo in dataset.photos:
        for item in photo.annotations:
            found[item.category].append((photo, item))
    return tuple(_facts(name, shown, size) for name, shown in found.items())


def _facts(name: str, shown: Sequence[tuple[Photo, Annotation]], size: tuple[int, int]) -> ClassFacts:
    objects = [(photo, item) for photo, item in shown if not item.iscrowd]
    masks = sum(item.segmentation is not None for _, item in objects)
    canvas = [canvas_area(photo, item, size) for photo, item in objects]
    return ClassFacts(
        name,
        photos=len({photo.id for photo, _ in shown}),
        objects=len(objects),
        with_masks=masks,
        boxes_only=len(objects) - masks,
        crowds=len(shown) - len(objects),
        photo_pixels=_quantiles([item.area for _, item in objects]),
        canvas_pixels=_quantiles(canvas),
        small=sum(area < SMALL_AREA for area in canvas),
    )


def canvas_scale(photo: Photo, size: tuple[int, int]) -> tuple[float, float]:
    """Canvas pixels per pixel of the photo, (x, y)."""
    height, width = fitted_size((photo.height, photo.width), size)
    return width / photo.width, height / photo.height


def canvas_area(photo: Photo, item: Annotation, size: tuple[int, int]) -> float:
    """An object's area in pixels of a canvas of ``size``."""
    return item.area * math.prod(canvas_scale(photo, size))


def smallest_objects(photos: Sequence[Photo], size: tuple[int, int]) -> tuple[ObjectPlace, ...]:
    """The smallest of the objects that are small on the canvas, at most ``LISTED``."""
    small = [
        (area, photo.id, place, ObjectPlace(photo.path, item.category, item.bbox))
        for photo in photos
        for place, item in enumerate(photo.annotations)
        if not item.iscrowd and (area := canvas_area(photo, item, size)) < SMALL_AREA
    ]
    return tuple(place for *_, place in sorted(small, key=lambda row: row[:3])[:LISTED])


def photo_shapes(photos: Sequence[Photo]) -> tuple[PhotoShape, ...]:
    """The shapes of the photos, the most frequent first."""
    counts = Counter((photo.height, photo.width) for photo in photos)
    return tuple(PhotoShape(*shape, number) for shape, number in counts.most_common())


def _quantiles(areas: Sequence[float]) -> tuple[float, ...]:
    if not areas:
        return ()
    return tuple(round(float(v), 1) for v in np.quantile(np.sqrt(areas), QUANTILES))
