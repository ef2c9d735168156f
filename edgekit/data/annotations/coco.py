"""COCO JSON: read, checked and written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.annotations.labelme import is_labelme
from edgekit.data.annotations.objects import make_annotation
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text, refuse_special
from edgekit.files.whole_files import write_text


def read_coco(annotations: Path, folders: Sequence[Path]) -> Dataset:
    """Read a COCO JSON file, with its photos in the first of the folders that holds all of them."""
    document = _read_json(annotations)
    if is_labelme(document):
        raise EdgekitError(f"{annotations}: holds the labels of one photo", f"give the folder: {annotations.parent}")
    try:
        names = {int(c["id"]): str(c["name"]) for c in document["categories"]}
        _check_unique((int(c["id"]) for c in document["categories"]), f"{annotations}: two categories have the id")
        _check_unique((str(c["name"]) for c in document["categories"]), f"{annotations}: two categories are named")
        _check_unique((int(i["id"]) for i in document["images"]), f"{annotations}: two images have the id")
        paths = (os.path.normpath(str(i["file_name"])) for i in document["images"])
        _check_unique(paths, f"{annotations}: two images are of the file")
        files = {int(i["id"]): str(i["file_name"]) for i in document["images"]}
        sizes = {int(i["id"]): _size(i, annotations) for i in document["images"]}
        objects: dict[int, list[Annotation]] = {i: [] for i in files}
        for number, row in enumerate(document["annotations"]):
            where = f"{annotations}: annotation {row.get('id', number)}"
            image = int(row["image_id"])
            if image not in objects or int(row["category_id"]) not in names:
                raise EdgekitError(
                    f"{where} refers to an image or a category that the file does not list",
                    "export the annotations again",
                )
            objects[image].append(_annotation(where, row, names[int(row["category_id"])], sizes[image]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise EdgekitError(
            f"{annotations}: is not COCO JSON ({type(error).__name__}: {error})",
            "it needs the lists images, annotations and categories",
        ) from None
    folder = _folder_of_all(annotations, list(files.values()), folders)
    photos = tuple(Photo(i, folder / files[i], *sizes[i], tuple(objects[i])) for i in sorted(files))
    return Dataset(annotations, tuple(names.values()), photos)


def write_dataset(dataset: Dataset, images: Path | None = None) -> None:
    """Write the annotations as COCO JSON to ``dataset.file``; category ids count from 1.

    Photos are named by their paths relative to the folder ``images``, without it by their file names alone.
    """
    ids = {name: i for i, name in enumerate(dataset.categories, start=1)}
    rows: list[dict[str, Any]] = []
    for photo in dataset.photos:
        for a in photo.annotations:
            row = {"image_id": photo.id, "category_id": ids[a.category], "bbox": list(a.bbox), "area": a.area}
            rows.append(row | {"id": len(rows) + 1, "iscrowd": int(a.iscrowd), "segmentation": a.segmentation})
    names = {p.id: p.path.name if images is None else os.path.relpath(p.path, images) for p in dataset.photos}
    files = [{"id": p.id, "file_name": names[p.id], "height": p.height, "width": p.width} for p in dataset.photos]
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    parts = {"images": files, "annotations": rows, "categories": categories}
    write_text(dataset.file, json.dumps({"format": "edgekit COCO 1"} | parts))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such file", "give the annotations' JSON file") from None
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{path}: is not COCO JSON ({error})", "give the annotations' JSON file") from None


def _folder_of_all(file: Path, names: list[str], folders: Sequence[Path]) -> Path:
    """The first folder that holds all photos: a photo of the same name in another may be another photo."""
    lacking = {folder: [n for n in names if not (folder / n).is_file()] for folder in folders}
    best = min(lacking, key=lambda folder: len(lacking[folder]))
    if lacking[best]:
        lost = best / lacking[best][0]
        refuse_special(lost)
        others = "".join(f", nor are all in {folder}" for folder in lacking if folder != best)
        raise EdgekitError(
            f"{lost}: named in {file} but not there ({len(lacking[best])} of {len(names)} are missing){others}",
            "give the folder that holds all photos with --images",
        )
    return best


def _check_unique(values: Iterable[int | str], message: str) -> None:
    seen: set[int | str] = set()
    for value in values:
        if value in seen:
            raise EdgekitError(f"{message} {value}", "make them one, or give each its own")
        seen.add(value)


def _size(image: dict[str, Any], file: Path) -> tuple[int, int]:
    height, width = image["height"], image["width"]
    if not (0 < height < float("inf") and 0 < width < float("inf")):
        raise EdgekitError(f"{file}: image {image['id']} is {width}x{height} pixels", "give it its file's size")
    return int(height), int(width)


def _annotation(where: str, row: dict[str, Any], category: str, size: tuple[int, int]) -> Annotation:
    outline = row.get("segmentation") or None
    if outline is not None and not isinstance(outline, dict if "counts" in outline else list):
        raise EdgekitError(f"{where}: its segmentation is neither polygons nor RLE", "export the annotations again")
    try:
        return make_annotation(
            where,
            category,
            size,
            box=row["bbox"],
            polygons=outline if isinstance(outline, list) else (),
            rle=outline if isinstance(outline, dict) else None,
            iscrowd=bool(row.get("iscrowd", 0)),
            area=float(row.get("area") or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdgekitError(
            f"{where}: is not COCO's ({type(error).__name__}: {error})", "export the annotations again"
        ) from None
