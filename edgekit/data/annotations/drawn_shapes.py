"""What annotation tools draw, as polygons and COCO RLE: ellipses, turned rectangles, holes, masks of a patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.annotations.fault_kinds import NOT_NUMBERS, Unusable

ELLIPSE_POINTS = 64  # a polygon of so many covers 99.8% of the ellipse
MOST_PIXELS = 1 << 28  # of a photo; a file that claims more is damaged, and would take all memory

Outline = list[float]  # x, y, x, y, ... in pixels
Corner = tuple[float, float]


def flattened(points: Sequence[Sequence[Any]]) -> Outline:
    """Points (x, y) as an outline; raises ``Unusable`` where they are none."""
    try:
        return [float(v) for x, y in points for v in (x, y)]
    except (TypeError, ValueError, OverflowError):
        raise Unusable(NOT_NUMBERS, "its points are not pairs of numbers") from None


def ellipse_outline(centre: Corner, radii: Corner, degrees: float = 0.0) -> Outline:
    """An ellipse as a polygon; ``degrees`` turn it clockwise around its centre."""
    turns = [2 * math.pi * i / ELLIPSE_POINTS for i in range(ELLIPSE_POINTS)]
    x, y = centre
    points = [(x + radii[0] * math.cos(t), y + radii[1] * math.sin(t)) for t in turns]
    return flattened([turned(point, centre, degrees) for point in points])


def rectangle_outline(box: Sequence[float], pivot: Corner, degrees: float) -> Outline:
    """The corners of the rectangle [x, y, w, h] turned clockwise around ``pivot``."""
    x, y, w, h = box
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    return flattened([turned(corner, pivot, degrees) for corner in corners])


def turned(point: Corner, pivot: Corner, degrees: float) -> Corner:
    """A point turned clockwise around another; y counts downwards."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x, y = point[0] - pivot[0], point[1] - pivot[1]
    return pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine


def enclosing_box(outline: Sequence[float]) -> list[float]:
    """The box [x, y, w, h] around an outline."""
    x, y = outline[0::2], outline[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def checked_size(height: Any, width: Any) -> tuple[int, int]:
    """(height, width) of a photo as numbers; raises ValueError where no photo is of that size."""
    try:
        size = int(height), int(width)
    except (TypeError, ValueError):
        size = 0, 0
    if min(size) <= 0 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"its photo is listed as {width}x{height} pixels")
    return size


def rle_with_holes(parts: Sequence[tuple[Outline, Sequence[Outline]]], size: tuple[int, int]) -> dict[str, Any]:
    """COCO RLE of polygons, each with its holes, drawn as COCO's own tools draw polygons."""
    return coco_mask.merge([_without_holes(outline, holes, size) for outline, holes in parts])


def rle_of_patch(pixels: np.ndarray, top: int, left: int, size: tuple[int, int]) -> dict[str, Any]:
    """COCO RLE of a photo whose mask is ``pixels``, bool [h, w], from row ``top`` and column ``left`` on.

    What lies outside the photo is cut off. Memory and time are those of the patch, not of the photo.
    """
    height, width = size
    inside = pixels[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    first = max(left, 0) * height + max(top, 0)  # COCO counts pixels down the columns
    steps = np.diff(np.pad(inside, ((1, 1), (0, 0))).astype(np.int8), axis=0).T  # [w, h + 1]
    starts, ends = (first + columns * height + rows for columns, rows in (np.nonzero(steps == s) for s in (1, -1)))
    joined = starts[1:] == ends[:-1]  # a run goes on in the next column
    edges = np.stack([starts[np.r_[True, ~joined]], ends[np.r_[~joined, True]]], axis=1) if len(starts) else starts
    counts = np.diff(np.concatenate([[0], edges.ravel(), [height * width]])).tolist()
    listed = counts if counts[-1] else counts[:-1]
    return coco_mask.frPyObjects({"size": [height, width], "counts": listed}, height, width)


def _without_holes(outline: Outline, holes: Sequence[Outline], size: tuple[int, int]) -> dict[str, Any]:
    """COCO RLE of one polygon with holes, drawn on a canvas no larger than the polygon."""
    points = np.reshape(np.asarray(outline, np.float64), (-1, 2))
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f"a polygon of {len(points)} points" if len(points) < 3 else "a coordinate is not a number")
    most = np.array(size[::-1])
    left, top = np.clip(np.floor(points.min(0)) - 1, 0, most).astype(int).tolist()
    right, bottom = np.clip(np.ceil(points.max(0)) + 1, 0, most).astype(int).tolist()
    canvas = bottom - top, right - left
    if min(canvas) <= 0:
        return rle_of_patch(np.zeros((0, 0), bool), 0, 0, size)
    moved = [(np.reshape(drawn, (-1, 2)) - (left, top)).ravel().tolist() for drawn in (outline, *holes)]
    outer, *inner = (_drawn(shape, canvas) for shape in moved if len(shape) >= 6)
    pixels = outer & ~np.logical_or.reduce(inner) if inner else outer
    return rle_of_patch(pixels, top, left, size)


def _drawn(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    return coco_mask.decode(coco_mask.frPyObjects([outline], *size))[..., 0].astype(bool)
