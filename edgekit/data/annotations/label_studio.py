"""Label Studio's exports "JSON" and "JSON-MIN": https://labelstud.io/guide/task_format and https://labelstud.io/tags.

Numbers are percentages of the photo's width and height; a rectangle is turned around its first corner
(https://labelstud.io/templates/image_bbox#Rotation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.brush_rle import decode_brush
from edgekit.data.annotations.drawn_shapes import (
    Outline,
    checked_size,
    ellipse_outline,
    enclosing_box,
    flattened,
    rectangle_outline,
    rle_of_patch,
)
from edgekit.data.annotations.fault_kinds import NO_NAME, Unusable
from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.numbers_given import given_number
from edgekit.data.annotations.photo_search import names_photo
from edgekit.data.annotations.shapes import NO_AREA, UNKNOWN_SHAPE, numbered, one_class, read_shapes, what_is_wrong
from edgekit.data.annotations.single_files import holds_document, single_document

NO_PHOTO = FaultKind("names no photo", remedy="export the tasks whose data is an image", of_photo=True)
NOT_ANNOTATED = FaultKind("is not annotated", repair="not used: it may show any class")
ANNOTATED_TWICE = FaultKind("is annotated more than once", repair="only what was changed last is used")
TURNED_PHOTO = FaultKind(
    "was drawn on a photo turned in Label Studio", remedy="turn the photo itself, or turn it back in Label Studio"
)
BAD_TASK = FaultKind("is not a task of Label Studio", remedy="export again", of_photo=True)
# Results that say something of the whole photo, or of a region that is listed by itself.
OF_PHOTO = ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "relation")
WITHOUT_LABEL = ("rectangle", "polygon", "brush", "ellipse")


def is_label_studio(source: AnnotationSource) -> bool:
    """Whether a file, or a file in a folder, is an export of Label Studio."""
    return holds_document(source, _is_document)


def read_label_studio(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read an export of Label Studio: rectangles are boxes (a turned one, the box around it), polygons, ellipses and
    what the brush painted are masks. Predictions, and annotations that were cancelled, are not used."""
    file, document = single_document(source, _is_document)
    tasks = document if isinstance(document, list) else [document]
    photos = [photo for n, task in enumerate(tasks, start=1) if (photo := _photo(file, n, task, faults))]
    return DatasetRecord(file, categories_of(photos), tuple(photos), (file.parent,))


def _is_document(document: Any) -> bool:
    tasks = document[:20] if isinstance(document, list) else [document]
    return any(_is_task(task) or _is_short_task(task) for task in tasks)


def _is_task(task: Any) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and ("annotations" in task or "completions" in task)
    )


def _is_short_task(task: Any) -> bool:
    """Whether it is a task of JSON-MIN."""
    return isinstance(task, dict) and "annotation_id" in task and "lead_time" in task


def _photo(file: Path, number: int, task: Any, faults: Faults) -> PhotoRecord | None:
    where = f"task {task.get('id', number)}" if isinstance(task, dict) else f"task {number}"
    try:
        full = _long(task) if _is_short_task(task) else task
        name = _file_name(full["data"])
        annotations = full.get("annotations") or full.get("completions") or []
        kept = [a for a in annotations if not (a.get("was_cancelled") or a.get("skipped"))]
        if not name or not kept:
            faults.add(NOT_ANNOTATED if name else NO_PHOTO, file, where, name)
            return None
        if len(kept) > 1:
            faults.add(ANNOTATED_TWICE, file, where, name)
        last = max(kept, key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at") or "")))
        results = last["result"]
        shapes = _shapes(numbered(results, f"{where}, region", "id"))
    except (KeyError, TypeError, AttributeError) as error:
        faults.add(BAD_TASK, file, where, what_is_wrong(error))
        return None
    read = [r for _, r in shapes if isinstance(r, dict)]
    sizes = [(r["original_height"], r.get("original_width")) for r in read if "original_height" in r]
    return PhotoRecord(name, file, read_shapes(shapes, _object, file, faults), sizes[0] if sizes else None)


def _shapes(regions: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The regions that stand for objects, and those that are damaged; each shape once."""
    kinds = [(str(r.get("type")), str(r.get("id"))) if isinstance(r, dict) else ("", "") for _, r in regions]
    labelled = {key for kind, key in kinds if kind.endswith("labels")}
    return [
        region
        for region, (kind, key) in zip(regions, kinds, strict=True)
        if kind not in OF_PHOTO and not (kind in WITHOUT_LABEL and key in labelled)
    ]


def _long(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of JSON-MIN as JSON has it; there, a list of regions stands under the name of what drew them."""
    results: list[Any] = []
    for regions in task.values():
        for region in regions if isinstance(regions, list) else ():
            kind = next((key for key in region if key.endswith("labels")), "") if isinstance(region, dict) else ""
            if kind:
                results.append({"type": kind, "value": region} | dict(region))
            elif region is None:
                results.append(None)
    return {"data": task, "annotations": [{"result": results}]}


def _file_name(data: Mapping[str, Any]) -> str:
    """The photo among a task's data: the only text that names a photo's file, or the one under "image"."""
    texts = {key: text for key, text in data.items() if isinstance(text, str)}
    photos = {key: text for key, text in texts.items() if names_photo(text)}
    return next(iter(photos.values())) if len(photos) == 1 else (photos or texts).get("image", "")


def _object(where: str, result: Mapping[str, Any]) -> ObjectRecord:
    kind, value = str(result["type"]), result["value"]
    if value.get("closed") is False or ("width" in value and "height" not in value):  # a line, a key point
        raise Unusable(NO_AREA, kind)
    if kind in WITHOUT_LABEL:
        raise Unusable(NO_NAME)
    if not kind.endswith("labels"):
        raise Unusable(UNKNOWN_SHAPE, kind)
    if given_number(result.get("image_rotation") or 0):
        raise Unusable(TURNED_PHOTO, f"{result['image_rotation']} degrees")
    category = one_class(value[kind])
    size = checked_size(result.get("original_height"), result.get("original_width"))
    if "rle" in value:
        return ObjectRecord(where, category, rle=rle_of_patch(decode_brush(value["rle"], size), 0, 0, size))
    if "points" in value:
        return ObjectRecord(where, category, polygons=[_outline(value["points"], size)])
    first, degrees = _pixels(value["x"], value["y"], size), given_number(value.get("rotation") or 0)
    if "radiusX" in value:
        radii = _pixels(value["radiusX"], value["radiusY"], size)
        return ObjectRecord(where, category, polygons=[ellipse_outline(first, radii, degrees)])
    box = [*first, *_pixels(value["width"], value["height"], size)]
    return ObjectRecord(where, category, enclosing_box(rectangle_outline(box, first, degrees)) if degrees else box)


def _pixels(x: Any, y: Any, size: Sequence[int]) -> tuple[float, float]:
    return given_number(x) / 100 * size[1], given_number(y) / 100 * size[0]


def _outline(points: Any, size: Sequence[int]) -> Outline:
    height, width = size
    return (np.reshape(flattened(points), (-1, 2)) / 100 * (width, height)).ravel().tolist()
