"""Annotated photos in any format: which one it is, told by the path, and the reader of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.data.annotations.coco import read_coco
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.labelme import is_labelme, read_labelme
from edgekit.data.annotations.voc import read_voc, xml_files
from edgekit.data.annotations.yolo import find_config, read_yolo
from edgekit.errors import EdgekitError
from edgekit.files.reading import check_folder, list_files, read_text

KNOWN = "a COCO JSON file, YOLO's data.yaml or its folder, or a folder of labelme's JSON or Pascal VOC's XML files"


def read_dataset(annotations: Path, *images: Path, split: str = "") -> Dataset:
    """Read annotated photos: COCO JSON, or a YOLO, LabelMe or Pascal VOC folder, told by what ``annotations`` is.

    The photos are looked for in the folders ``images`` in turn; a YOLO dataset's are all those in the first. ``split``
    picks one of the splits that a YOLO data.yaml names (train, val, test) instead, other formats have none. Raises an
    ``EdgekitError`` that names file and line or id for what cannot be: see ``make_annotation`` for objects.
    """
    for folder in images:
        check_folder(folder, "give the folder that holds the photos")
    readers: dict[str, Callable[[Path, Sequence[Path]], Dataset]] = {
        "coco": read_coco,
        "yolo": lambda a, i: read_yolo(a, i[0], split),
        "labelme": read_labelme,
        "voc": read_voc,
    }
    dataset = readers[detect_format(annotations)](annotations, images)
    if not any(p.annotations for p in dataset.photos):
        raise EdgekitError(f"{annotations}: holds no annotations", "annotate at least one object of each class")
    return dataset


def detect_format(path: Path) -> str:
    """The format of an annotations file or folder; raises where it is none that edgekit reads."""
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        raise EdgekitError(f"{path}: no such file", f"give the annotations: {KNOWN}")
    if find_config(path):
        return "yolo"
    if path.suffix.lower() in (".xml", ".txt"):
        raise EdgekitError(f"{path}: holds the annotations of one photo", f"give the folder: {path.parent}")
    return "coco"


def _of_folder(folder: Path) -> str:
    if find_config(folder):
        return "yolo"
    if xml_files(folder):
        return "voc"
    documents = list_files(folder, [".json"])
    if any(is_labelme(_load(d)) for d in documents):
        return "labelme"
    coco = next((d for d in documents if _is_coco(_load(d))), None)
    if coco:
        raise EdgekitError(f"{folder}: is a folder, COCO annotations are a file", f"give the file, e.g. {coco}")
    if list_files(folder, [".txt"]) or (folder / "labels").is_dir():
        raise EdgekitError(
            f"{folder}: looks like YOLO but has no data.yaml",
            "write one beside images and labels: names: [frog, chicken]",
        )
    raise EdgekitError(f"{folder}: holds no annotations in a format that edgekit reads", f"give {KNOWN}")


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and "images" in document and "annotations" in document


def _load(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except (OSError, ValueError, EdgekitError):
        return None
