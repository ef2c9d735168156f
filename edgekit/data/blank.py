"""Photos and annotated objects where there is nothing to see: pixels of one colour."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgekit.data.annotations.dataset import Annotation, Photo

FLAT = 2  # of 255: pixels that differ by no more are of one colour
MARGIN = 0.1  # of its box's sides, at least 2 pixels, is looked at around an object: where a flat object has an edge


def without_blank(photo: Photo, pixels: np.ndarray) -> tuple[Photo | None, str]:
    """The photo without the objects that lie on nothing, and what was left out, in words for the user.

    There is no photo where it, or what lies around each of its objects, is of one colour. ``pixels`` are the photo's.
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
