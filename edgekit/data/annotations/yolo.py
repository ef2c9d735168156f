"""YOLO datasets: data.yaml names the classes, one text file per photo holds boxes and polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edgekit.data.annotations.annotation_records import DatasetRecord, PhotoRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.fault_kinds import BAD_FILE
from edgekit.data.annotations.faults import FaultKind, Faults, shortened
from edgekit.data.annotations.yolo_rows import holds_rows, read_rows
from edgekit.data.images import SUFFIXES
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text

WITHOUT_PHOTO = FaultKind("label files have no photo among those read", is_left_out=True)
SPLITS = ("train", "val", "test")


def find_config(path: Path) -> Path | None:
    """The data.yaml of a path: itself, in the folder, or above a folder of label files."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return path if path.is_file() else None
    labels = path.is_dir() and list_files(path, [".txt"])
    for folder in (path, *path.resolve().parents[:3]) if labels else (path,):
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (folder / name).is_file():
                return folder / name
    return None


def is_yolo(source: AnnotationSource) -> bool:
    """Whether a source is a data.yaml, its folder, or a folder of label files below it."""
    return find_config(source.path) is not None


def read_yolo(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read a YOLO dataset: its data.yaml, the folder that holds it, or a folder of label files.

    The photos are all those under the first folder of photos; with a split, those that data.yaml names so. A photo
    without a label file shows no object. Rows of 4 numbers are boxes without masks, rows of 6 or more are polygons; all
    are fractions of the photo's size (https://docs.ultralytics.com/datasets/segment).
    """
    path = source.path
    config = find_config(path)
    assert config is not None, f"{path} is not a YOLO dataset"
    images = source.images[0] if source.images else config.parent
    document = _read_yaml(config)
    names = _names(config, document)
    labels = path if path.is_dir() and not (path / config.name).is_file() else None
    if labels is not None:
        roots = [images if _photos(images) else _swap(labels, "labels", "images") or images]
    else:
        roots = _folders(config, document, images, source.split)
    files = [(file, _label_file(file, root, labels, config)) for root in roots for file in _photos(root)]
    if not files:
        raise EdgekitError(f"{roots[0]}: holds no photos", f"photos end in one of: {', '.join(SUFFIXES)}")
    if not any(label.exists() for _, label in files):
        raise EdgekitError(
            f"{files[0][1]}: no such label file, nor one for any other of the {len(files)} photos in {roots[0]}",
            "label files are in a folder labels beside images, or beside the photos",
        )
    _refuse_shared(files)
    _note_without_photo([label for _, label in files], faults)
    keypoints = _keypoint_numbers(document)
    read = [_photo(file, label, names, keypoints, faults) for file, label in files]
    return DatasetRecord(path, tuple(names.values()), tuple(photo for photo in read if photo))


def _photo(file: Path, label: Path, names: dict[int, str], keypoint_numbers: int, faults: Faults) -> PhotoRecord | None:
    """One photo, None where its label file cannot be read."""
    lines: list[str] = []
    if label.exists():
        try:
            lines = read_text(label).splitlines()
        except (OSError, EdgekitError) as error:
            faults.add(BAD_FILE, label, detail=str(error))
            return None
    objects = read_rows(label, lines, names, keypoint_numbers, faults)
    return PhotoRecord(file.name, label, objects, path=file, fractions=True)


def _keypoint_numbers(document: dict[str, Any]) -> int:
    """How many numbers a row has for keypoints, as data.yaml's kpt_shape says; 0 without one."""
    try:
        count, dimensions = (int(value) for value in document["kpt_shape"])
    except (KeyError, TypeError, ValueError):
        return 0
    return count * dimensions


def _refuse_shared(files: list[tuple[Path, Path]]) -> None:
    """Raise where two photos, such as a.jpg and a.png, have one label file."""
    photos: dict[Path, Path] = {}
    for photo, label in files:
        if label.is_file() and photos.setdefault(label, photo) != photo:
            raise EdgekitError(
                f"{label}: is the label file of both {photos[label].name} and {photo.name}",
                "rename one, and its labels",
            )


def _note_without_photo(labels: list[Path], faults: Faults) -> None:
    """Note the label files beside those of the photos that belong to none of them; a text without rows is no labels."""
    known = set(labels)
    for folder in dict.fromkeys(label.parent for label in labels if label.is_file()):
        others = [file for file in list_files(folder, [".txt"]) if file not in known]
        names = [file.name for file in others if holds_rows(file)]
        if names:
            faults.add(WITHOUT_PHOTO, folder, detail=shortened(names))


class _TextOnly(yaml.BaseLoader):
    """PyYAML's loader that keeps every scalar as the text written, so that classes named off, 007 or null stay so.

    A key given twice is refused; PyYAML by itself keeps only the last value.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping as text; raises where it has a key twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(problem=f"{key} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read_yaml(config: Path) -> dict[str, Any]:
    try:
        document = yaml.load(read_text(config), _TextOnly)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EdgekitError(
            f"{config}: cannot be read as YAML ({' '.join(str(error).split())})", "write it again"
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("names"), dict | list):
        raise EdgekitError(f"{config}: lists no class names", "write them as: names: [frog, chicken]")
    return document


def _names(config: Path, document: dict[str, Any]) -> dict[int, str]:
    listed = document["names"]
    try:
        names = {int(k): str(v) for k, v in (listed.items() if isinstance(listed, dict) else enumerate(listed))}
    except (TypeError, ValueError):
        raise EdgekitError(f"{config}: a class has an id that is not a number", "count the classes from 0") from None
    empty = next((i for i, name in names.items() if not name), None)
    if empty is not None:
        raise EdgekitError(f"{config}: class {empty} has no name", "write one")
    twice = [n for n in names.values() if list(names.values()).count(n) > 1]
    if twice or len(names) != len(listed):
        raise EdgekitError(f"{config}: lists class {(twice or ['ids'])[0]} twice", "give each class one id and name")
    return dict(sorted(names.items()))


def _folders(config: Path, document: dict[str, Any], images: Path, split: str) -> list[Path]:
    """The folders of photos to read: those of the split, or ``images``, which must not mix splits."""
    splits = {s: _split_folders(config, document, s) for s in SPLITS if document.get(s)}
    if split:
        if not splits.get(split):
            raise EdgekitError(
                f"{config}: names no folder of photos as {split}", f"add the line {split}: images/{split}"
            )
        return splits[split]
    here = images.resolve()
    covered = {s: [f for f in fs if here in (f.resolve(), *f.resolve().parents)] for s, fs in splits.items()}
    mixed = [s for s, folders in covered.items() if folders]
    if len({f.resolve() for folders in covered.values() for f in folders}) > 1 and len(mixed) > 1:
        raise EdgekitError(
            f"{images}: holds the photos of {' and '.join(mixed)}", f"give the folder of one: {covered[mixed[0]][0]}"
        )
    return [images]


def _split_folders(config: Path, document: dict[str, Any], split: str) -> list[Path]:
    """The folders that data.yaml gives a split; Roboflow writes them as ../train/images though they are beside it."""
    listed = document[split] if isinstance(document[split], list) else [document[split]]
    found = []
    for entry in map(str, listed):
        roots = (config.parent / str(document.get("path") or ""), config.parent)
        options = [r / e for e in (entry, entry.removeprefix("../")) for r in roots]
        found += [o for o in options if o.is_dir()][:1]
    return found


def _photos(folder: Path) -> list[Path]:
    return list_files(folder, SUFFIXES, deep=True)


def _swap(path: Path, old: str, new: str) -> Path | None:
    """The path with its last folder named ``old`` named ``new``, as YOLO finds labels; None where there is none."""
    parts = list(path.resolve().parts)
    if old not in parts:
        return None
    parts[len(parts) - 1 - parts[::-1].index(old)] = new
    return Path(*parts)


def _label_file(photo: Path, root: Path, labels: Path | None, config: Path) -> Path:
    """The label file of a photo, or where it would be if the photo has none."""
    name = photo.relative_to(root).with_suffix(".txt")
    if labels is not None:
        return labels / name
    swapped = _swap(photo.with_suffix(".txt"), "images", "labels")
    options = [swapped] if swapped else []
    options += [config.parent / "labels" / name, root.parent / "labels" / name, photo.with_suffix(".txt")]
    return next((o for o in options if o.is_file()), options[0])
