"""COCO JSON read, checked and written; and the one entry that reads a set in any format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.annotations.formats import detect_format
from edgekit.data.annotations.labelme import is_labelme, read_labelme
from edgekit.data.annotations.objects import make_annotation
from edgekit.data.annotations.voc import read_voc
from edgekit.data.annotations.yolo import read_yolo
from edgekit.errors import EdgekitError
from edgekit.files.reading import check_folder, read_text, refuse_special
from edgekit.files.whole_files import write_text

__all__ = ["Annotation", "Dataset", "Photo", "read_coco", "read_dataset", "readable", "write_dataset"]


def read_dataset(annotations: Path, images: Path, split: str = "") -> Dataset:
    """Read annotated photos: COCO JSON, or a YOLO, LabelMe or Pascal VOC folder, told by what ``annotations`` is.

    The photos are those in the folder ``images``; ``split`` picks one of the splits that a YOLO data.yaml names
    (train, val, test) instead, other formats have none. Raises an ``EdgekitError`` that names file and line or id for
    what cannot be: see ``make_annotation`` for objects.
    """
    check_folder(images, "give the folder that holds the photos")
    readers: dict[str, Callable[[Path, Path], Dataset]] = {
        "coco": read_coco,
        "yolo": lambda a, i: read_yolo(a, i, split),
        "labelme": read_labelme,
        "voc": read_voc,
    }
    dataset = readers[detect_format(annotations)](annotations, images)
    if not any(p.annotations for p in dataset.photos):
        raise EdgekitError(f"{annotations}: holds no annotations", "annotate at least one object of each class")
    return dataset


def read_coco(annotations: Path, images: Path) -> Dataset:
    """Read a COCO JSON file and check that the photos it names are in the folder ``images``."""
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
        files = {int(i["id"]): images / str(i["file_name"]) for i in document["images"]}
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
    missing = [f for f in files.values() if not f.is_file()]
    if missing:
        refuse_special(missing[0])
        raise EdgekitError(
            f"{missing[0]}: named in {annotations.name} but not there ({len(missing)} of {len(files)} are missing)",
            "give the folder that holds the photos with --images",
        )
    photos = tuple(Photo(i, files[i], *sizes[i], tuple(objects[i])) for i in sorted(files))
    return Dataset(annotations, tuple(names.values()), photos)


class Readable(Protocol):
    """A photo in a file."""

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]; raises EdgekitError."""


AnyPhoto = TypeVar("AnyPhoto", bound=Readable)


def readable(
    photos: Iterable[AnyPhoto],
    skip_bad: bool,
    check: Callable[[AnyPhoto, np.ndarray], tuple[AnyPhoto | None, str]] | None = None,
) -> tuple[list[AnyPhoto], list[str]]:
    """The photos whose files can be read, and what is wrong with the others; raises on these unless ``skip_bad``.

    ``check`` is given each photo with its pixels; it returns what of the photo is to be used, and what is wrong.
    """
    good, bad = [], []
    for photo in photos:
        try:
            pixels = photo.read()
        except EdgekitError as error:
            if not skip_bad:
                raise EdgekitError(error.message, f"{error.hint}, or give --skip-bad-images") from None
            bad.append(error.message)
        else:
            used, wrong = check(photo, pixels) if check else (photo, "")
            good += [] if used is None else [used]
            bad += [wrong] if wrong else []
    if not good:
        raise EdgekitError(f"none of the {len(bad)} photos can be used: {bad[0]}" if bad else "no photos", "check them")
    return good, bad


def write_dataset(dataset: Dataset) -> None:
    """Write the annotations as COCO JSON to ``dataset.file``; category ids count from 1."""
    ids = {name: i for i, name in enumerate(dataset.categories, start=1)}
    rows: list[dict[str, Any]] = []
    for photo in dataset.photos:
        for a in photo.annotations:
            row = {"image_id": photo.id, "category_id": ids[a.category], "bbox": list(a.bbox), "area": a.area}
            rows.append(row | {"id": len(rows) + 1, "iscrowd": int(a.iscrowd), "segmentation": a.segmentation})
    images = [{"id": p.id, "file_name": p.path.name, "height": p.height, "width": p.width} for p in dataset.photos]
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    parts = {"images": images, "annotations": rows, "categories": categories}
    write_text(dataset.file, json.dumps({"format": "edgekit COCO 1"} | parts))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such file", "give the annotations' JSON file") from None
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{path}: is not COCO JSON ({error})", "give the annotations' JSON file") from None


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
