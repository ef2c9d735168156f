"""Folders of the labelme tool: one JSON file per photo, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, Patch, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.fault_kinds import BAD_FILE, NOT_A_MASK, NOT_NUMBERS, Unusable
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.numbers_given import as_numbers, short
from edgekit.errors import EdgekitError

KINDS = ("polygon", "rectangle", "circle", "mask")
CIRCLE_POINTS = 64  # a polygon of so many covers 99.8% of the circle

Shape = dict[str, Any]


def is_labelme(source: AnnotationSource) -> bool:
    """Whether a source is a JSON file of the labelme tool or a folder of such."""
    return any(map(_is_document, [source.document, *source.documents.values()]))


def read_labelme(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read a folder of labelme's JSON files.

    Polygons, circles and masks are masks; a rectangle is a box without a mask. Shapes of one label and ``group_id`` are
    one object; there, beside another shape, a rectangle is part of the mask.
    """
    if not source.path.is_dir():
        raise EdgekitError(f"{source.path}: holds the labels of one photo", f"give the folder: {source.path.parent}")
    photos = []
    for file, document in source.documents.items():
        if document is None:
            faults.add(BAD_FILE, file, detail="is not JSON")
        elif not _is_document(document):
            faults.add(BAD_FILE, file, detail="is not JSON of the labelme tool, as others here are")
        else:
            photos.append(_photo(file, document, faults))
    return DatasetRecord(source.path, categories_of(photos), tuple(photos), (source.path,))


def _is_document(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("shapes"), list) and "imagePath" in document


def _photo(file: Path, document: dict[str, Any], faults: Faults) -> PhotoRecord:
    objects = []
    for number, shapes in _objects(document["shapes"]):
        where = f"shape {number}"
        try:
            objects.append(_object(where, shapes))
        except Unusable as error:
            faults.add(error.kind, file, where, error.detail)
    size = (document.get("imageHeight"), document.get("imageWidth"))
    return PhotoRecord(str(document["imagePath"] or ""), file, tuple(objects), size)


def _objects(shapes: list[Any]) -> list[tuple[int, list[Shape]]]:
    """The shapes of each object, with the first one's number from 1."""
    groups: dict[Any, tuple[int, list[Shape]]] = {}
    for number, given in enumerate(shapes, start=1):
        shape = given if isinstance(given, dict) else {}
        group = shape.get("group_id")
        key = number if group is None else (str(shape.get("label")), str(group))
        groups.setdefault(key, (number, []))[1].append(shape)
    return list(groups.values())


def _object(where: str, shapes: list[Shape]) -> ObjectRecord:
    label = str(shapes[0].get("label") or "")
    drawn = [(str(shape.get("shape_type") or "polygon"), shape) for shape in shapes]
    for kind, _ in drawn:
        if kind not in KINDS:
            raise Unusable(NOT_A_MASK, f"it is a {kind}; edgekit reads {', '.join(KINDS)}")
    polygons = [_outline(shape.get("points"), kind) for kind, shape in drawn if kind != "mask"]
    if all(kind == "rectangle" for kind, _ in drawn):
        corners = np.concatenate(polygons)
        return ObjectRecord(where, label, [*corners.min(axis=0).tolist(), *np.ptp(corners, axis=0).tolist()])
    patches = [_patch(shape) for kind, shape in drawn if kind == "mask"]
    return ObjectRecord(where, label, polygons=polygons, patches=patches)


def _outline(points: Any, kind: str) -> np.ndarray:
    """The points [N, 2]; a rectangle has two opposite corners, or all four, a circle its centre and one on it."""
    corners = _points(points)
    if kind == "polygon":
        return corners
    if len(corners) < 2:
        raise Unusable(NOT_A_MASK, f"it is a {kind} of {len(corners)} points")
    if kind == "rectangle":
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    turns = 2 * math.pi * np.arange(CIRCLE_POINTS) / CIRCLE_POINTS
    radius = math.dist(corners[0], corners[1])
    return corners[0] + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)


def _points(points: Any) -> np.ndarray:
    found = as_numbers(points, lambda _: None)
    if found.ndim != 2 or found.shape[1] != 2:
        raise Unusable(NOT_NUMBERS, short(points))
    return found


def _patch(shape: Shape) -> Patch:
    """A PNG in base64 of the pixels from the box's first corner on."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.get("mask") or ""))) as image:
            pixels = np.asarray(image.convert("L")) > 0
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(NOT_A_MASK, f"its mask is not a PNG: {error}") from None
    left, top = np.round(_points(shape.get("points")).min(axis=0)).astype(int)
    return Patch(int(top), int(left), pixels)
