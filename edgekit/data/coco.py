"""COCO-format annotations: read and checked once, then plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.images import read_image
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Annotation:
    """One annotated object: its class, its box [x, y, w, h] in pixels and its mask as compressed RLE."""

    category: str
    bbox: tuple[float, float, float, float]
    area: float
    segmentation: dict[str, Any] | None  # COCO RLE; None where only the box is annotated
    iscrowd: bool = False

    def mask(self) -> np.ndarray:
        """The mask, bool [H, W]."""
        return coco_mask.decode(self.segmentation).astype(bool)


@dataclass(frozen=True)
class Photo:
    """One photo with what is annotated in it."""

    id: int
    path: Path
    height: int
    width: int
    annotations: tuple[Annotation, ...]

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]; raises where the file's size is not the annotated one."""
        pixels = read_image(self.path)
        if pixels.shape[:2] != (self.height, self.width):
            raise EdgekitError(
                f"{self.path}: is {pixels.shape[1]}x{pixels.shape[0]} pixels, "
                f"its annotations say {self.width}x{self.height}",
                "annotate the file as it is, or restore the one that was annotated",
            )
        return pixels


@dataclass(frozen=True)
class Dataset:
    """Photos with annotations, and the class names in the file's order."""

    file: Path
    categories: tuple[str, ...]
    photos: tuple[Photo, ...]


def read_dataset(annotations: Path, images: Path) -> Dataset:
    """Read a COCO JSON file and check that the photos it names are in the folder ``images``."""
    document = _read_json(annotations)
    if not images.is_dir():
        raise EdgekitError(f"{images}: no such folder", "give the folder that holds the photos")
    try:
        names = {int(c["id"]): str(c["name"]) for c in document["categories"]}
        objects: dict[int, list[Annotation]] = {int(i["id"]): [] for i in document["images"]}
        sizes = {int(i["id"]): (int(i["height"]), int(i["width"])) for i in document["images"]}
        files = {int(i["id"]): images / str(i["file_name"]) for i in document["images"]}
        for number, row in enumerate(document["annotations"]):
            image = int(row["image_id"])
            if image not in objects or int(row["category_id"]) not in names:
                raise EdgekitError(
                    f"{annotations}: annotation {row.get('id', number)} refers to an image or a category "
                    "that the file does not list",
                    "export the annotations again",
                )
            objects[image].append(_annotation(row, names[int(row["category_id"])], sizes[image]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EdgekitError(
            f"{annotations}: is not COCO JSON ({type(error).__name__}: {error})",
            "it needs the lists images, annotations and categories",
        ) from None
    missing = [f for f in files.values() if not f.is_file()]
    if missing:
        raise EdgekitError(
            f"{missing[0]}: named in {annotations.name} but not there ({len(missing)} of {len(files)} are missing)",
            "give the folder that holds the photos with --images",
        )
    photos = tuple(Photo(i, files[i], *sizes[i], tuple(objects[i])) for i in sorted(files))
    if not any(p.annotations for p in photos):
        raise EdgekitError(f"{annotations}: holds no annotations", "annotate at least one object of each class")
    return Dataset(annotations, tuple(dict.fromkeys(names.values())), photos)


def readable(photos: Iterable[Photo], skip_bad: bool) -> tuple[list[Photo], list[str]]:
    """The photos whose files can be read, and what is wrong with the others; raises on these unless ``skip_bad``."""
    good, bad = [], []
    for photo in photos:
        try:
            photo.read()
        except EdgekitError as error:
            if not skip_bad:
                raise EdgekitError(error.message, f"{error.hint}, or give --skip-bad-images") from None
            bad.append(error.message)
        else:
            good.append(photo)
    if not good:
        raise EdgekitError(f"none of the {len(bad)} photos can be read: {bad[0]}" if bad else "no photos", "check them")
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
    dataset.file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such file", "give the annotations' JSON file") from None
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{path}: is not COCO JSON ({error})", "give the annotations' JSON file") from None


def _annotation(row: dict[str, Any], category: str, size: tuple[int, int]) -> Annotation:
    x, y, w, h = (float(v) for v in row["bbox"])
    segmentation = row.get("segmentation")
    if not segmentation:
        encoded = None
    elif isinstance(segmentation, list):  # polygons
        encoded = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):  # uncompressed RLE
        encoded = coco_mask.frPyObjects(segmentation, *size)
    else:
        encoded = segmentation
    if encoded is not None and isinstance(encoded["counts"], bytes):
        encoded = {"size": [int(v) for v in encoded["size"]], "counts": encoded["counts"].decode("ascii")}
    area = float(row.get("area") or (coco_mask.area(encoded) if encoded else w * h))
    return Annotation(category, (x, y, w, h), area, encoded, bool(row.get("iscrowd", 0)))
