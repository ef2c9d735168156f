"""Folders of the labelme tool: one JSON file per photo, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from edgekit.data.annotations.dataset import Annotation, Dataset
from edgekit.data.annotations.objects import make_annotation
from edgekit.data.annotations.photo_files import AnnotationFile, dataset_of, find_photo, photo_size
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text

KINDS = ("polygon", "rectangle", "circle", "mask")
CIRCLE_POINTS = 64  # a polygon of so many covers 99.8% of the circle


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is one of the labelme tool."""
    return isinstance(document, dict) and "shapes" in document and "imagePath" in document


def read_labelme(folder: Path, images: Sequence[Path]) -> Dataset:
    """Read a folder of labelme's JSON files.

    Polygons, circles and masks are masks; a rectangle is a box without a mask. Shapes of one label and ``group_id`` are
    one object; there, beside another shape, a rectangle is part of the mask.
    """
    return dataset_of(folder, [_read(file, images) for file in list_files(folder, [".json"])])


def _read(file: Path, images: Sequence[Path]) -> AnnotationFile:
    try:
        document = json.loads(read_text(file))
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{file}: is not JSON ({error})", "save the photo's annotations again") from None
    if not is_labelme(document):
        raise EdgekitError(
            f"{file}: is not a JSON file of the labelme tool, which others here are", "move it elsewhere"
        )
    path = find_photo(str(document["imagePath"]), file, (*images, file.parent))
    try:
        height, width = int(document.get("imageHeight") or 0), int(document.get("imageWidth") or 0)
        size = (height, width) if height > 0 and width > 0 else photo_size(path)
        objects = [_object(f"{file}: shape {number}", shapes, size) for number, shapes in _objects(document["shapes"])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EdgekitError(
            f"{file}: is not as the labelme tool writes it ({type(error).__name__}: {error})", "save it there again"
        ) from None
    return file, path, size, tuple(objects)


def _objects(shapes: list[dict[str, Any]]) -> list[tuple[int, list[dict[str, Any]]]]:
    """The shapes of each object, with the first one's number from 1."""
    groups: dict[Any, tuple[int, list[dict[str, Any]]]] = {}
    for number, shape in enumerate(shapes, start=1):
        group = shape.get("group_id")
        key = number if group is None else (str(shape["label"]), group)
        groups.setdefault(key, (number, []))[1].append(shape)
    return list(groups.values())


def _object(where: str, shapes: list[dict[str, Any]], size: tuple[int, int]) -> Annotation:
    kinds = [str(s.get("shape_type") or "polygon") for s in shapes]
    for kind in kinds:
        if kind not in KINDS:
            raise EdgekitError(f"{where}: is a {kind}", f"outline the object with one of {', '.join(KINDS)}")
    label = str(shapes[0]["label"])
    if "mask" in kinds:
        drawn = [_pixels(where, s, k, size) for s, k in zip(shapes, kinds, strict=True)]
        return make_annotation(where, label, size, rle=coco_mask.merge(drawn))
    outlines = [_outline(where, s["points"], kind) for s, kind in zip(shapes, kinds, strict=True)]
    x, y = [v for o in outlines for v in o[0::2]], [v for o in outlines for v in o[1::2]]
    box = (min(x), min(y), max(x) - min(x), max(y) - min(y))
    return make_annotation(where, label, size, box, outlines if set(kinds) != {"rectangle"} else ())


def _outline(where: str, points: list[list[float]], kind: str) -> list[float]:
    """The points as x, y, ...; a rectangle has two opposite corners, or all four, a circle its centre and one on it."""
    corners = [(float(x), float(y)) for x, y in points]
    if len(corners) < (3 if kind == "polygon" else 2):
        raise EdgekitError(f"{where}: a {kind} of {len(corners)} points", "draw it again, or delete it")
    if kind == "rectangle":
        x, y = [c[0] for c in corners], [c[1] for c in corners]
        corners = [(min(x), min(y)), (max(x), min(y)), (max(x), max(y)), (min(x), max(y))]
    if kind == "circle":
        (x0, y0), radius = corners[0], math.dist(corners[0], corners[1])
        turns = [2 * math.pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS)]
        corners = [(x0 + radius * math.cos(t), y0 + radius * math.sin(t)) for t in turns]
    return [v for corner in corners for v in corner]


def _pixels(where: str, shape: dict[str, Any], kind: str, size: tuple[int, int]) -> dict[str, Any]:
    """A shape as RLE; one of kind mask is a PNG in base64 of the pixels from its box's first corner on."""
    if kind != "mask":
        return make_annotation(where, "", size, polygons=[_outline(where, shape["points"], kind)]).segmentation or {}
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            patch = np.asarray(image.convert("L")) > 0
    except OSError as error:
        raise EdgekitError(f"{where}: its mask is not a PNG ({error})", "draw it again, or delete it") from None
    left, top = (round(min(float(p[axis]) for p in shape["points"])) for axis in (0, 1))
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + len(patch), size[0]), min(left + patch.shape[1], size[1])
    full = np.zeros(size, np.uint8, order="F")
    if y0 < y1 and x0 < x1:
        full[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    if not full.any():
        raise EdgekitError(f"{where}: its mask covers no pixel of the photo", "draw it again, or delete it")
    return coco_mask.encode(full)
