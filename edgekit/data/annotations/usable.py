"""Which photos of a set can be used: their files can be read, and there is something to see in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.annotations.fault_kinds import BLANK, UNREADABLE
from edgekit.data.annotations.faults import Faults
from edgekit.errors import EdgekitError

FLAT = 2  # of 255: pixels that differ by no more are of one colour
MARGIN = 0.1  # of its box's sides, at least 2 pixels, is looked at around an object: where a flat object has an edge


class Readable(Protocol):
    """A photo in a file."""

    @property
    def path(self) -> Path:
        """The file."""

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]; raises EdgekitError."""


AnyPhoto = TypeVar("AnyPhoto", bound=Readable)


def readable(
    photos: Iterable[AnyPhoto],
    faults: Faults,
    check: Callable[[AnyPhoto, np.ndarray], tuple[AnyPhoto | None, str]] | None = None,
) -> list[AnyPhoto]:
    """The photos whose files can be read; what is wrong with the others goes to the faults. Raises where none can be.

    ``check`` is given each photo with its pixels; it returns what of the photo is to be used, and what is wrong.
    """
    good, wrong = [], ""
    for photo in photos:
        try:
            pixels = photo.read()
        except EdgekitError as error:
            wrong = error.message
            faults.add(UNREADABLE, photo.path, detail=wrong.removeprefix(f"{photo.path}: "))
            continue
        used, blank = check(photo, pixels) if check else (photo, "")
        good += [] if used is None else [used]
        if blank:
            wrong = blank
            faults.add(BLANK, photo.path, detail=blank.removeprefix(f"{photo.path}: "))
    if not good:
        faults.raise_refused()
        raise EdgekitError(f"none of the photos can be used: {wrong}" if wrong else "no photos", "check them")
    return good


def without_blank(photo: Photo, pixels: np.ndarray) -> tuple[Photo | None, str]:
    """The photo without the objects that lie on nothing, and what was left out, in words for the user.

    The photo is None where it, or what lies around each of its objects, is of one colour. ``pixels`` are the photo's.
    """
    if _is_flat(pixels):
        return None, f"{photo.path}: is of one colour all over, so it was left out"
    seen = tuple(a for a in photo.annotations if a.iscrowd or not _is_flat(_around(pixels, a)))
    lost = len(photo.annotations) - len(seen)
    if not lost:
        return photo, ""
    count = sum(not a.iscrowd for a in photo.annotations)
    where = f"{photo.path}: {lost} of {count} annotated objects lie where the photo is of one colour"
    if lost == count:
        return None, f"{where}, so it was left out"
    return dataclasses.replace(photo, annotations=seen), f"{where}, so these were left out"


def _is_flat(pixels: np.ndarray) -> bool:
    """Whether pixels [H, W, 3] are of one colour; a few of them tell most photos."""
    return all(int(np.ptp(some, axis=(0, 1)).max()) <= FLAT for some in (pixels[::8, ::8], pixels))


def _around(pixels: np.ndarray, item: Annotation) -> np.ndarray:
    """The pixels of an object's box and its margin."""
    x, y, w, h = item.bbox
    wide, high = max(2.0, MARGIN * w), max(2.0, MARGIN * h)
    top, left = int(max(0, y - high)), int(max(0, x - wide))
    return pixels[top : int(np.ceil(y + h + high)), left : int(np.ceil(x + w + wide))]
