"""One annotated object: its box and mask are checked, clipped to the photo and encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.annotations.dataset import Annotation
from edgekit.data.annotations.polygons import crosses_itself, signed_area
from edgekit.errors import EdgekitError

Box = tuple[float, float, float, float]


def make_annotation(
    where: str,
    category: str,
    size: tuple[int, int],
    box: Sequence[float] | None = None,
    polygons: Sequence[Sequence[float]] = (),
    rle: dict[str, Any] | None = None,
    area: float = 0.0,
    iscrowd: bool = False,
) -> Annotation:
    """An annotation of a photo of ``size`` (height, width), checked and clipped to the photo.

    ``box`` is [x, y, w, h] in pixels, without it the mask's; ``polygons`` are lists x, y, x, y, ... in pixels, ``rle``
    is COCO's, compressed or not. ``where`` starts the message of the ``EdgekitError`` that a bad object raises.
    """
    mask: dict[str, Any] | None
    if rle is not None:
        mask = _encode_rle(where, rle, size)
    else:
        mask = _encode_polygons(where, polygons, size) if polygons else None
    if box is None and mask is None:
        raise EdgekitError(f"{where}: has neither a box nor a mask", "annotate it again, or delete it")
    full = _checked(where, coco_mask.toBbox(mask).tolist() if box is None else box)
    clipped = _clip(where, full, size)
    if mask is not None and not coco_mask.area(mask):
        raise EdgekitError(f"{where}: its mask covers no pixel of the photo", "draw it again, or delete it")
    if not math.isfinite(area) or area < 0:
        raise EdgekitError(f"{where}: its area is {area}", "export the annotations again")
    if not area or max(abs(a - b) for a, b in zip(full, clipped, strict=True)) > 1:  # more than a rounded pixel is lost
        area = float(coco_mask.area(mask) if mask is not None else clipped[2] * clipped[3])
    return Annotation(category, clipped, float(area), mask, iscrowd)


def _checked(where: str, box: Sequence[float]) -> Box:
    x, y, w, h = (float(v) for v in box)
    if not all(math.isfinite(v) for v in (x, y, w, h)):
        raise EdgekitError(f"{where}: its box is {[x, y, w, h]}", "draw it again, or delete it")
    if w <= 0 or h <= 0:
        raise EdgekitError(f"{where}: its box is {w:g}x{h:g} pixels", "draw it again, or delete it")
    return x, y, w, h


def _clip(where: str, box: Box, size: tuple[int, int]) -> Box:
    x, y, w, h = box
    height, width = size
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise EdgekitError(
            f"{where}: its box {[round(v, 1) for v in box]} is outside the photo of {width}x{height} pixels",
            "delete it, or check that it was drawn on this photo",
        )
    left, top = max(x, 0.0), max(y, 0.0)
    inside = left == x and x + w <= width, top == y and y + h <= height  # then its numbers stay as they are
    return left, top, w if inside[0] else min(x + w, width) - left, h if inside[1] else min(y + h, height) - top


def _encode_polygons(where: str, polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> dict[str, Any]:
    for polygon in polygons:
        if len(polygon) % 2:
            raise EdgekitError(f"{where}: a polygon has {len(polygon)} numbers, an odd count", "export it again")
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise EdgekitError(f"{where}: a coordinate of a polygon is not a number", "draw it again, or delete it")
        if len(np.unique(points, axis=0)) < 3:
            raise EdgekitError(f"{where}: a polygon has fewer than 3 points", "draw it again, or delete it")
        if crosses_itself(points):
            raise EdgekitError(
                f"{where}: a polygon crosses itself, so what it encloses is ambiguous",
                "draw its outline in one direction, or split it in two polygons",
            )
        drawn = coco_mask.area(coco_mask.frPyObjects([points.ravel().tolist()], *size))[0]
        if abs(signed_area(points)) < 1e-6 and not drawn:
            raise EdgekitError(f"{where}: a polygon has no area", "draw it again, or delete it")
    _refuse_outside(where, polygons, size)
    return _ascii(coco_mask.merge(coco_mask.frPyObjects([[float(v) for v in p] for p in polygons], *size)))


def _refuse_outside(where: str, polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> None:
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons]).astype(np.float64)
    (x, y), (w, h) = points.min(0), np.ptp(points, axis=0)
    _clip(where, (float(x), float(y), float(w), float(h)), size)


def _encode_rle(where: str, rle: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    if tuple(int(v) for v in rle["size"]) != size:
        raise EdgekitError(
            f"{where}: its mask is of a photo of {rle['size'][1]}x{rle['size'][0]} pixels, its photo is listed as "
            f"{size[1]}x{size[0]}",
            "export the annotations again",
        )
    counts = rle["counts"]
    try:
        if isinstance(counts, list):
            if sum(counts) != size[0] * size[1] or min(counts) < 0:
                raise ValueError("its counts are not the photo's pixels")
            encoded = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)
        else:
            encoded = {"size": list(size), "counts": counts}
            coco_mask.decode(encoded)
    except (ValueError, TypeError, UnicodeEncodeError) as error:
        raise EdgekitError(f"{where}: its RLE cannot be read: {error}", "export the annotations again") from None
    return _ascii(encoded)


def _ascii(encoded: dict[str, Any]) -> dict[str, Any]:
    """RLE as JSON can hold it."""
    counts = encoded["counts"]
    return {
        "size": [int(v) for v in encoded["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }
