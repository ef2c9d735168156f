"""Which annotation format is this path in?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from edgekit.data.annotations.labelme import is_labelme
from edgekit.data.annotations.voc import xml_files
from edgekit.data.annotations.yolo import find_config
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text

Format = Literal["coco", "yolo", "labelme", "voc"]
KNOWN = "a COCO JSON file, YOLO's data.yaml or its folder, or a folder of labelme's JSON or Pascal VOC's XML files"


def detect_format(path: Path) -> Format:
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


def _of_folder(folder: Path) -> Format:
    if find_config(folder):
        return "yolo"
    if xml_files(folder):
        return "voc"
    documents = list_files(folder, [".json"])
    if any(is_labelme(_load(d)) for d in documents):
        return "labelme"
    coco = next((d for d in documents if _is_coco(_load(d))), None)
    if coco:
        raise EdgekitError(f"{folder}: is a folder, COCO annotations are a file", f"give the file, such as {coco}")
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
