"""Labelbox's export: a line of JSON for each photo, https://docs.labelbox.com/reference/export-image-annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import flattened
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.numbers_given import given_number
from edgekit.data.annotations.photo_search import names_photo
from edgekit.data.annotations.shapes import NO_AREA, UNKNOWN_SHAPE, numbered, one_class, read_shapes, what_is_wrong
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text, refuse_special

SUFFIXES = (".ndjson", ".jsonl")
MASK_ELSEWHERE = FaultKind(
    "is a mask that Labelbox keeps, the export has only its address",
    remedy="draw polygons, or convert the masks to COCO with Labelbox's own tools",
)
BAD_LINE = FaultKind("is not a data row of Labelbox", remedy="export again", of_photo=True)
NOT_A_PHOTO = FaultKind("is not a photo", remedy="export the photos only", of_photo=True)
NOT_LABELLED = FaultKind("is not labelled", repair="not used: it may show any class")
LABELLED_TWICE = FaultKind("is labelled more than once", repair="only the label that was changed last is used")


def is_labelbox(source: AnnotationSource) -> bool:
    """Whether a file, or a file in a folder, is an export of Labelbox."""
    return bool(_files(source))


def read_labelbox(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read an export of Labelbox: bounding boxes are boxes, polygons are masks."""
    files = _files(source)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise EdgekitError(f"{source.path}: holds {len(files)} files of annotations: {names}", "give one of them")
    (file,) = files
    rows = _rows(file, _document(source, file))
    if any(isinstance(row, dict) and "Labeled Data" in row for _, row in rows):
        raise EdgekitError(f"{file}: is an export of Labelbox's first version", "export again, as NDJSON")
    _refuse_several_projects(file, [row for _, row in rows])
    photos = [photo for where, row in rows if (photo := _photo(file, where, row, faults))]
    return DatasetRecord(file, categories_of(photos), tuple(photos), (file.parent,))


def _files(source: AnnotationSource) -> list[Path]:
    """The files whose first row is Labelbox's."""
    listed = list_files(source.path, (*SUFFIXES, ".json")) if source.path.is_dir() else [source.path]
    return [file for file in listed if _is_first_row(_first_row(file, _document(source, file)))]


def _document(source: AnnotationSource, file: Path) -> Any:
    """The JSON document of a file; None for lines of JSON, unless there is only one."""
    return source.documents.get(file) if source.path.is_dir() else source.document


def _first_row(file: Path, document: Any) -> Any:
    """The first row of a file; of lines, no more than the first one is read."""
    if document is not None:
        return document[0] if isinstance(document, list) and document else document
    try:
        refuse_special(file)
        with file.open(encoding="utf-8-sig") as lines:
            return json.loads(next((line for line in lines if line.strip()), ""))
    except (OSError, ValueError, RecursionError, EdgekitError):
        return None


def _is_first_row(row: Any) -> bool:
    return isinstance(row, dict) and ("data_row" in row or "Labeled Data" in row)


def _rows(file: Path, document: Any) -> list[tuple[str, Any]]:
    """The rows, and where they are."""
    if document is not None:
        listed = document if isinstance(document, list) else [document]
        return [(f"row {n}", row) for n, row in enumerate(listed, start=1)]
    return [(f"line {n}", _parsed(line)) for n, line in enumerate(read_text(file).splitlines(), 1) if line.strip()]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _labels(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The labels of a row by project, without those that were left empty."""
    projects = row.get("projects") or {}
    return {str(p.get("name") or key): p["labels"] for key, p in projects.items() if p.get("labels")}


def _refuse_several_projects(file: Path, rows: list[Any]) -> None:
    projects: dict[str, None] = {}
    for row in rows:
        try:
            projects |= dict.fromkeys(_labels(row))
        except (TypeError, AttributeError, KeyError):
            continue
    if len(projects) > 1:
        raise EdgekitError(f"{file}: holds the labels of several projects: {', '.join(projects)}", "export one project")


def _photo(file: Path, where: str, row: Any, faults: Faults) -> PhotoRecord | None:
    try:
        data, media = row["data_row"], row.get("media_attributes") or {}
        name = _name(data)
        labels = [label for found in _labels(row).values() for label in found]
        if not str(media.get("mime_type") or "image/").startswith("image/"):
            faults.add(NOT_A_PHOTO, file, where, f"{name}: {media['mime_type']}")
            return None
        if not labels:
            faults.add(NOT_LABELLED, file, where, name)
            return None
        if len(labels) > 1:
            faults.add(LABELLED_TWICE, file, where, name)
        last = max(labels, key=lambda label: str((label.get("label_details") or {}).get("updated_at") or ""))
        shapes = numbered(last["annotations"].get("objects") or (), f"{where}, object", "feature_id")
        size = media.get("height"), media.get("width")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        faults.add(BAD_LINE, file, where, what_is_wrong(error))
        return None
    found = read_shapes(shapes, _object, file, faults)
    return PhotoRecord(name, file, found, None if None in size else size)


def _name(data: Mapping[str, Any]) -> str:
    """What names the photo's file: the first of the user's names and the address that ends as a photo's does."""
    names = [str(data[key]) for key in ("external_id", "global_key", "row_data") if data.get(key)]
    if not names:
        raise ValueError("it has no name")
    return next(filter(names_photo, names), names[0])


def _object(where: str, item: Mapping[str, Any]) -> ObjectRecord:
    category = one_class([item.get("name") or ""])
    if "bounding_box" in item:
        box = item["bounding_box"]
        return ObjectRecord(where, category, [given_number(box[key]) for key in ("left", "top", "width", "height")])
    if "polygon" in item:
        points = [(p.get("x"), p.get("y")) if isinstance(p, dict) else () for p in item["polygon"]]
        return ObjectRecord(where, category, polygons=[flattened(points)])
    if "mask" in item or "composite_mask" in item:
        raise Unusable(MASK_ELSEWHERE)
    raise Unusable(NO_AREA if "line" in item or "point" in item else UNKNOWN_SHAPE, str(item.get("annotation_kind")))
