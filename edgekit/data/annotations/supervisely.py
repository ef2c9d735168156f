"""Projects and datasets of Supervisely: https://developer.supervisely.com/getting-started/supervisely-annotation-format.

Exports are in whole pixels, rounded down from where the user drew (.../app-development/advanced/coordinate-system), so
the middle of a pixel is what a polygon's corner stands for, and a rectangle's last row and column belong to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import Outline, checked_size, flattened, rle_of_patch, rle_with_holes
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.png_masks import read_packed_mask
from edgekit.data.annotations.shapes import NO_AREA, UNKNOWN_SHAPE, numbered, one_class, read_shapes
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text

NOT_SUPERVISELY = FaultKind("is not an annotation file of Supervisely", remedy="move it elsewhere", of_photo=True)
WITHOUT_AREA = ("point", "line", "polyline", "graph", "cuboid")
DEEPEST = 4  # datasets in datasets, below the project


def is_supervisely(source: AnnotationSource) -> bool:
    """Whether a folder is a project, a dataset or its annotations, or a file the annotations of one photo."""
    if not source.path.is_dir():
        return _is_document(source.document)
    return any(_is_document(_parsed(file)) for folder in _folders(source.path) for file in _files(folder)[:1])


def read_supervisely(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read a project, all its datasets together: rectangles are boxes, polygons and bitmaps are masks."""
    if not source.path.is_dir():
        raise EdgekitError(
            f"{source.path}: holds the annotations of one photo", f"give the folder: {source.path.parent}"
        )
    photos = []
    for folder in _folders(source.path):
        for file in _files(folder):
            document = source.documents[file] if file in source.documents else _parsed(file)
            photo = _photo(file, document, faults)
            photos += [photo] if photo else []
    listed = _class_names(source.path)
    used = categories_of(photos)
    pictures = tuple(folder.parent / "img" for folder in _folders(source.path))
    return DatasetRecord(source.path, tuple(dict.fromkeys((*listed, *used))), tuple(photos), pictures)


def _folders(path: Path) -> list[Path]:
    """The folders ``ann`` of a project or dataset, or ``path`` itself if it is one."""
    if path.name == "ann":
        return [path]
    below = ["ann", *("/".join(["*"] + ["datasets/*"] * depth + ["ann"]) for depth in range(DEEPEST))]
    return [folder for pattern in below for folder in sorted(path.glob(pattern)) if folder.is_dir()]


def _files(folder: Path) -> list[Path]:
    return list_files(folder, [".json"])


def _is_document(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("objects"), list) and "size" in document


def _parsed(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except (OSError, ValueError, RecursionError, EdgekitError):
        return None


def _class_names(path: Path) -> list[str]:
    """The classes in the order of the project's meta.json."""
    metas = [folder / "meta.json" for folder in (path, *path.resolve().parents[:2])]
    meta = next((_parsed(file) for file in metas if file.is_file()), None)
    classes = meta.get("classes") if isinstance(meta, dict) else None
    return [str(c["title"]) for c in classes or () if isinstance(c, dict) and "title" in c]


def _photo(file: Path, document: Any, faults: Faults) -> PhotoRecord | None:
    if not _is_document(document):
        faults.add(NOT_SUPERVISELY, file)
        return None
    listed = document["size"] if isinstance(document["size"], dict) else {}
    size = listed.get("height"), listed.get("width")
    shapes = numbered(document["objects"], "object", "id")

    def read(where: str, item: Mapping[str, Any]) -> ObjectRecord:
        return _object(where, item, checked_size(*size))

    beside = file.parent.parent / "img" / file.stem  # datasets may have photos of the same name
    path = beside if beside.is_file() else None
    return PhotoRecord(file.stem, file, read_shapes(shapes, read, file, faults), size, path)


def _object(where: str, item: Mapping[str, Any], size: tuple[int, int]) -> ObjectRecord:
    kind = str(item.get("geometryType") or ("bitmap" if "bitmap" in item else "unknown"))
    if kind in WITHOUT_AREA:
        raise Unusable(NO_AREA, kind)
    category = one_class([item.get("classTitle") or ""])
    if kind == "rectangle":
        corners = flattened(item["points"]["exterior"])
        if len(corners) != 4:
            raise ValueError(f"it is a rectangle of {len(corners) // 2} points, not 2")
        x0, y0, x1, y1 = corners
        left, top = min(x0, x1), min(y0, y1)
        return ObjectRecord(where, category, [left, top, max(x0, x1) - left + 1, max(y0, y1) - top + 1])
    if kind in ("bitmap", "alpha_mask"):
        left, top = (int(v) for v in flattened([item["bitmap"]["origin"]]))
        pixels = read_packed_mask(item["bitmap"]["data"], size)
        return ObjectRecord(where, category, rle=rle_of_patch(pixels, top, left, size))
    if kind not in ("polygon", "multipolygon"):
        raise Unusable(UNKNOWN_SHAPE, kind)
    parts = [
        (_middles(part["exterior"]), [_middles(hole) for hole in part.get("interior") or ()])
        for part in (item["parts"] if kind == "multipolygon" else [item["points"]])
    ]
    if any(holes for _, holes in parts):
        return ObjectRecord(where, category, rle=rle_with_holes(parts, size))
    return ObjectRecord(where, category, polygons=[outline for outline, _ in parts])


def _middles(points: list[list[Any]]) -> Outline:
    return [value + 0.5 for value in flattened(points)]
