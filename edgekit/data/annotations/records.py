"""What annotation files say, read but not judged: each format's reader gives these, and one builder judges them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object as its file gives it; nothing is checked, and numbers may still be text.

    ``box`` is [x, y, w, h] in pixels, ``polygons`` are lists x, y, x, y, ... in pixels, ``rle`` is COCO's. ``where``
    says which object of its file it is: "annotation 17", "line 3", "shape 2".
    """

    where: str
    category: str
    box: Any = None
    polygons: Sequence[Any] = ()
    rle: Mapping[str, Any] | None = None
    area: Any = None
    iscrowd: Any = 0


@dataclass(frozen=True)
class PhotoRecord:
    """One photo as its file names it, with its objects; ``size`` is (height, width) in pixels, if the file says it."""

    name: str
    named_in: Path
    objects: tuple[ObjectRecord, ...]
    size: tuple[Any, Any] | None = None


@dataclass(frozen=True)
class DatasetRecord:
    """A whole set as its file or folder gives it, with the class names in its order."""

    file: Path
    categories: tuple[str, ...]
    photos: tuple[PhotoRecord, ...]
