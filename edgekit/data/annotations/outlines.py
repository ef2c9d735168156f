"""Polygons, RLE and patches of pixels as COCO's compressed RLE, checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.annotations.fault_kinds import (
    NOT_A_MASK,
    NOT_NUMBERS,
    ODD_COUNT,
    OUTSIDE,
    RLE_LENGTH,
    RLE_SIZE,
    RLE_UNREADABLE,
    Unusable,
)
from edgekit.data.annotations.numbers_given import Report, as_numbers, short

Rle = dict[str, Any]
FAR = 10  # photo sides: pycocotools walks along every pixel of an outline, and crashes where it is long enough
LOOP = 0.05  # of a polygon's area: a crossing that cuts off less is a slip of the hand
JAGGED = 0.25  # pixels per pixel of outline, by which the area of the pixels at most differs from the polygon's
NO_AREA = 1e-6  # pixels


def read_polygon(polygon: Any, scale: tuple[float, float], size: tuple[int, int], report: Report) -> np.ndarray:
    """A polygon's points [N, 2] (x, y) in pixels of a photo of ``size`` (height, width)."""
    values = as_numbers(polygon, report)
    if values.ndim == 0 or values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 2):
        raise Unusable(NOT_NUMBERS, short(polygon))
    if values.size % 2:
        raise Unusable(ODD_COUNT, f"{values.size}")
    points = values.reshape(-1, 2)
    if scale != (1.0, 1.0):
        points = points * scale
    if points.size:
        check_near((float(points.min()), float(points.max())), size)
    return points


def check_near(values: Sequence[float], size: tuple[int, int]) -> None:
    """Raise Unusable where coordinates are so far from the photo that no outline can be meant."""
    limit = FAR * max(size)
    for value in values:
        if abs(value) > limit:
            raise Unusable(OUTSIDE, f"a coordinate is {value:g}")


MOST_AT_ONCE = 255


class Outlines:
    """The polygons [N, 2] of one photo, drawn together."""

    def __init__(self, polygons: Sequence[np.ndarray], size: tuple[int, int]) -> None:
        """Draw them; each needs 3 points or more."""
        self.drawn: list[Rle] = []
        if not polygons:
            return
        self.drawn = coco_mask.frPyObjects([p.ravel() for p in polygons], *size)
        pixels = mask_areas(self.drawn).astype(np.float64)
        lengths = np.array([len(p) for p in polygons])
        points = np.concatenate(polygons)
        starts = np.cumsum(lengths) - lengths
        following = np.arange(1, len(points) + 1)
        following[starts + lengths - 1] = starts
        ends = points[following]
        enclosed = np.abs(np.add.reduceat(points[:, 0] * ends[:, 1] - ends[:, 0] * points[:, 1], starts)) / 2
        self.is_empty = (pixels == 0) & (enclosed < NO_AREA)
        # Loops drawn in opposite directions cancel in this shoelace formula, but not in the filling.
        difference = np.abs(pixels - enclosed) - LOOP * np.maximum(pixels, enclosed)
        self.crosses = difference > 0
        if self.crosses.any():
            around = np.add.reduceat(np.hypot(*(ends - points).T), starts)
            inside = ((points >= 0) & (points <= size[::-1])).all(axis=1)
            self.crosses = (difference > JAGGED * around) & np.logical_and.reduceat(inside, starts)


def mask_areas(masks: Sequence[Rle]) -> np.ndarray:
    """The pixels of each mask, int64 [N]; pycocotools counts at most 255 at once."""
    some = [coco_mask.area(list(masks[first : first + MOST_AT_ONCE])) for first in range(0, len(masks), MOST_AT_ONCE)]
    return np.concatenate([np.zeros(0, np.int64), *some]).astype(np.int64)


def read_rle(rle: Mapping[str, Any], size: tuple[int, int]) -> Rle:
    """RLE, compressed or not, of exactly the photo's pixels."""
    if not isinstance(rle, Mapping) or not {"counts", "size"} <= rle.keys():
        raise Unusable(NOT_A_MASK, f"it is {short(rle)}, neither polygons nor RLE with counts and size")
    try:
        counts, given = rle["counts"], tuple(int(v) for v in rle["size"])
    except (TypeError, ValueError, OverflowError):
        raise Unusable(NOT_A_MASK, f"its size is {short(rle['size'])}, not a height and a width") from None
    if given != size:
        wrong = ", the photo's width and height exchanged" if given == size[::-1] else ""
        raise Unusable(RLE_SIZE, f"its size is {list(given)}, the photo's {list(size)}{wrong}")
    runs = run_lengths(counts)
    if runs.size == 0 or runs.min() < 0 or runs.sum() != size[0] * size[1]:
        raise Unusable(RLE_LENGTH, f"its runs are {runs.sum():g} pixels, the photo {size[0] * size[1]}")
    if isinstance(counts, list):
        return coco_mask.frPyObjects({"size": list(size), "counts": runs.astype(int).tolist()}, *size)
    return {"size": list(size), "counts": counts.encode("ascii") if isinstance(counts, str) else counts}


def run_lengths(counts: Any) -> np.ndarray:
    """The runs of RLE, float64 [N]: given as a list, or as pycocotools' text of 6-bit groups."""
    if isinstance(counts, list):
        return as_numbers(counts, lambda _: None).ravel()
    try:
        text = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
    except (TypeError, UnicodeEncodeError, ValueError):
        raise Unusable(RLE_UNREADABLE, short(counts)) from None
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not groups.size or groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        raise Unusable(RLE_UNREADABLE, "its text is not pycocotools', or is cut off")
    ends = np.flatnonzero(groups & 32 == 0)  # a number's last group
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 6:
        raise Unusable(RLE_UNREADABLE, "it holds a run of more than 2**31 pixels")
    values = np.add.reduceat((groups & 31) << (5 * place), starts)
    negative = groups[ends] & 16 != 0
    values[negative] -= 1 << (5 * (place[ends][negative] + 1))
    for first in (1, 2):  # each but the first three is the difference to the one before the last
        values[first::2] = np.cumsum(values[first::2])
    return values.astype(np.float64)


def as_text(encoded: Rle) -> Rle:
    """RLE as JSON can hold it."""
    return {"size": [int(v) for v in encoded["size"]], "counts": encoded["counts"].decode("ascii")}
