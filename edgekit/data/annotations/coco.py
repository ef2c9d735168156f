"""COCO JSON: read and written."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from edgekit.data.annotations import fault_kinds as kinds
from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.numbers_given import short
from edgekit.data.annotations.shapes import numbered
from edgekit.data.annotations.single_files import holds_document, single_document
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import write_text

Row = dict[str, Any]
MOST_DIGITS = 100  # of an id that is sorted as a number
LISTS = ("images", "annotations", "categories")


def is_coco(source: AnnotationSource) -> bool:
    """Whether a source is a COCO JSON file, of whatever task, or a folder that holds one."""
    return holds_document(source, _is_document)


def read_coco(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read a COCO JSON file, or the one of a folder, with its photos by their id."""
    file, document = single_document(source, _is_document)
    _refuse_other_tasks(file, document)
    if not all(isinstance(document.get(key), list) for key in LISTS):
        raise EdgekitError(f"{file}: is not COCO JSON", "it needs the lists images, annotations and categories")
    images, repeated = _images(file, document["images"], faults)
    rows = _annotations(file, document["annotations"], faults)
    annotated = {_id(row["category_id"]) for _, row in rows}
    categories, unnamed = _named_categories(file, document["categories"], annotated, faults)
    names, shared = _categories(file, categories, annotated, faults)
    objects: dict[str, list[ObjectRecord]] = {key: [] for key in images}
    for where, row in rows:
        image, category = _id(row["image_id"]), _id(row["category_id"])
        if category in shared:
            faults.add(kinds.SHARED_CATEGORY, file, where, shared[category])
        elif category not in names:
            kind = kinds.NO_NAME if category in unnamed else kinds.UNKNOWN_CATEGORY
            faults.add(kind, file, where, f"category {category}")
        elif image in objects:
            objects[image].append(_object(file, where, row, names[category], faults))
        elif image not in repeated:
            faults.add(kinds.UNKNOWN_IMAGE, file, where, f"image {image}")
    photos = [
        PhotoRecord(_name(row), file, tuple(objects[key]), (row.get("height"), row.get("width")))
        for key, row in images.items()
    ]
    return DatasetRecord(file, tuple(dict.fromkeys(names.values())), tuple(photos))


def write_dataset(dataset: Dataset, images: Path | None = None) -> None:
    """Write the annotations as COCO JSON to ``dataset.file``; category ids count from 1.

    Photos are named by their paths relative to the folder ``images``, without it by their file names alone.
    """
    ids = {name: i for i, name in enumerate(dataset.categories, start=1)}
    rows: list[Row] = []
    for photo in dataset.photos:
        for a in photo.annotations:
            row = {"image_id": photo.id, "category_id": ids[a.category], "bbox": list(a.bbox), "area": a.area}
            rows.append(row | {"id": len(rows) + 1, "iscrowd": int(a.iscrowd), "segmentation": a.segmentation})
    names = {p.id: p.path.name if images is None else os.path.relpath(p.path, images) for p in dataset.photos}
    files = [{"id": p.id, "file_name": names[p.id], "height": p.height, "width": p.width} for p in dataset.photos]
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    parts = {"images": files, "annotations": rows, "categories": categories}
    write_text(dataset.file, json.dumps({"format": "edgekit COCO 1"} | parts))


def _is_document(document: Any) -> bool:
    if isinstance(document, list):  # detections, as COCO's evaluation takes them
        return bool(document) and isinstance(document[0], dict) and {"image_id", "category_id"} <= set(document[0])
    return isinstance(document, dict) and "images" in document and "annotations" in document


def _refuse_other_tasks(file: Path, document: Any) -> None:
    """Raise for the JSON of COCO's tasks that annotate no objects by boxes or masks."""
    if isinstance(document, list):
        raise EdgekitError(f"{file}: holds detections in COCO's result format, no annotations", "give the annotations")
    listed = document["annotations"] if isinstance(document["annotations"], list) else []
    rows = [row for row in listed if isinstance(row, dict)]
    if any("segments_info" in row for row in rows):
        raise EdgekitError(
            f"{file}: is COCO panoptic JSON, whose masks are in PNG files",
            "give the instances' JSON, or convert it with panopticapi's panoptic2detection_coco_format.py",
        )
    shaped = any(row.get("bbox") or row.get("segmentation") for row in rows)
    for key, task in (("caption", "captions"), ("keypoints", "keypoints")):
        if not shaped and any(key in row for row in rows):
            raise EdgekitError(f"{file}: is COCO JSON of {task} only, no boxes or masks", "give the instances' JSON")


def _id(value: Any) -> str:
    """An id as it is compared: 1, 1.0 and "1" are the same."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _images(file: Path, rows: Sequence[Any], faults: Faults) -> tuple[dict[str, Row], set[str]]:
    """The images by id, in the order of ids that are numbers, and the ids of those that differ and are not used."""
    images: dict[str, Row] = {}
    doubtful = set()
    for where, row in numbered(rows, "image", "id"):
        if not isinstance(row, dict) or row.get("id") is None:
            named = isinstance(row, dict) and row.get("file_name")
            faults.add(kinds.BAD_IMAGE, file, where, str(named or short(row)))
            continue
        key = _id(row["id"])
        other = images.setdefault(key, row)
        if other == row and other is not row:
            faults.add(kinds.IMAGE_AGAIN, file, f"image {key}")
        elif other is not row:
            faults.add(kinds.ANNOTATED_TWICE, file, f"image {key}", f"{_name(other)} and {_name(row)} have this id")
            doubtful.add(key)
    used = [key for key in images if key not in doubtful]
    ordered = sorted(used, key=int) if all(key.isdecimal() and len(key) < MOST_DIGITS for key in used) else used
    return {key: images[key] for key in ordered}, doubtful


def _annotations(file: Path, rows: Sequence[Any], faults: Faults) -> list[tuple[str, Row]]:
    """The annotations that refer to an image and a category, each with where it is."""
    found = []
    for where, row in numbered(rows, "annotation", "id"):
        if not isinstance(row, dict):
            faults.add(kinds.BAD_ANNOTATION, file, where, short(row))
        elif row.get("category_id") is None:
            faults.add(kinds.UNKNOWN_CATEGORY, file, where, "it has no category_id")
        elif row.get("image_id") is None:
            faults.add(kinds.UNKNOWN_IMAGE, file, where, "it has no image_id")
        else:
            found.append((where, row))
    return found


def _named_categories(
    file: Path, rows: Sequence[Any], annotated: Set[str], faults: Faults
) -> tuple[list[Row], set[str]]:
    """The categories with an id and a name, and the ids of those without a name that annotations refer to."""
    named, unnamed = [], set()
    for where, row in numbered(rows, "category", "id"):
        key, name = (row.get("id"), row.get("name")) if isinstance(row, dict) else (None, None)
        if key is not None and isinstance(name, str | int | float) and str(name).strip():
            named.append(row)
        elif key is not None and _id(key) in annotated:
            unnamed.add(_id(key))
        else:
            faults.add(kinds.UNNAMED_CATEGORY, file, where)
    return named, unnamed


def _name(image: Row) -> str:
    return str(image.get("file_name") or image.get("coco_url") or f"image {image['id']}")


def _categories(
    file: Path, rows: Sequence[Row], annotated: Set[str], faults: Faults
) -> tuple[dict[str, str], dict[str, str]]:
    """The names by id, and, of ids that could mean several categories, why; an unused category is omitted there.

    So is an unused one that others name as their supercategory: it groups them, as Roboflow's of id 0, and is no class.
    """
    groups = {str(row["supercategory"]) for row in rows if row.get("supercategory") not in (None, "", row["name"])}
    classes = [row for row in rows if _id(row["id"]) in annotated or str(row["name"]) not in groups]
    pairs = list(dict.fromkeys((_id(row["id"]), str(row["name"])) for row in classes))
    used = [pair for pair in pairs if pair[0] in annotated]
    names_used = {name for _, name in used}
    unused = [pair for pair in pairs if pair[0] not in annotated and pair[1] not in names_used]
    kept = [pair for pair in pairs if pair in used or pair in unused]
    ids, names = Counter(i for i, _ in used), Counter(name for _, name in used)
    shared = {i: f"id {i}" for i, _ in used if ids[i] > 1} | {i: f"{i}: {n!r}" for i, n in used if names[n] > 1}
    for key, name in pairs:
        if (key, name) not in kept:
            faults.add(kinds.UNUSED_CATEGORY, file, f"category {key}", name)
    return {i: name for i, name in kept if i not in shared}, shared


def _object(file: Path, where: str, row: Row, category: str, faults: Faults) -> ObjectRecord:
    """One annotation; a list of numbers where polygons are meant is one polygon."""
    outline, box = row.get("segmentation") or None, row.get("bbox") or None
    polygons = outline if isinstance(outline, list) else ()
    if polygons and not isinstance(polygons[0], list):
        faults.add(kinds.FLAT_POLYGON, file, where)
        polygons = [polygons]
    if box is None and outline:
        faults.add(kinds.NOT_THE_BOX, file, where)
    rle = outline if outline is not None and not isinstance(outline, list) else None
    return ObjectRecord(where, category, box, polygons, rle, area=row.get("area"), iscrowd=row.get("iscrowd"))
