"""What annotation files say, read but not judged: each format's reader gives these, and one builder judges them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Patch:
    """A mask's pixels, bool [h, w], whose first one is at row ``top``, column ``left`` of the photo."""

    top: int
    left: int
    pixels: np.ndarray


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object as its file gives it; nothing is checked, and numbers may still be text.

    ``box`` is [x, y, w, h], ``polygons`` are lists x, y, x, y, ..., both in pixels (or fractions: see ``PhotoRecord``),
    ``rle`` is COCO's; where an object has several polygons and patches, they are one mask. ``where`` says which object
    of its file it is: "annotation 17", "line 3", "shape 2".
    """

    where: str
    category: str
    box: Any = None
    polygons: Sequence[Any] = ()
    rle: Mapping[str, Any] | None = None
    patches: Sequence[Patch] = ()
    area: Any = None
    iscrowd: Any = 0


@dataclass(frozen=True)
class PhotoRecord:
    """One photo as its file names it, with its objects; ``size`` is (height, width) in pixels, if the file says it.

    ``name`` is a file name, path or URL as written; a reader that lists the photos itself gives their ``path``. Where
    ``fractions``, boxes and polygons are in fractions of the photo's width and height.
    """

    name: str
    named_in: Path
    objects: tuple[ObjectRecord, ...]
    size: tuple[Any, Any] | None = None
    path: Path | None = None
    fractions: bool = False


@dataclass(frozen=True)
class DatasetRecord:
    """A whole set as its file or folder gives it, with the class names in its order.

    ``folders`` are looked in for photos after those that the user gave.
    """

    file: Path
    categories: tuple[str, ...]
    photos: tuple[PhotoRecord, ...]
    folders: tuple[Path, ...] = ()


def categories_of(photos: Sequence[PhotoRecord]) -> tuple[str, ...]:
    """The names that objects have, sorted, for formats that list no classes."""
    return tuple(sorted({item.category for photo in photos for item in photo.objects if item.category}))
