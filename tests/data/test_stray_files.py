"""Hidden and special files beside photos and annotations are not read, whatever the format; byte-order marks are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.data.annotations.formats import read_dataset
from edgekit.data.images import list_images
from edgekit.errors import EdgekitError
from tests.data.annotations.test_formats import (
    FROG,
    HEN,
    bounds,
    check_same,
    pairs,
    photos,
    shape,
    write_labelme,
    write_voc,
    write_yolo,
    yolo_row,
)
from tests.files.test_reading import no_hang, stray_files

__all__ = ["no_hang"]


def coco(root: Path) -> tuple[Path, Path]:
    photos(root, "a.png")
    rows = [
        {"id": i, "image_id": 1, "category_id": i, "bbox": bounds(p), "segmentation": [p]}
        for i, p in enumerate((FROG, HEN))
    ]
    document = {"images": [{"id": 1, "file_name": "a.png", "height": 90, "width": 120}], "annotations": rows}
    document["categories"] = [{"id": 0, "name": "frog"}, {"id": 1, "name": "chicken"}]
    (root / "a.json").write_text(json.dumps(document))
    return root / "a.json", root


def yolo(root: Path) -> tuple[Path, Path]:
    return root, write_yolo(root, {"a": yolo_row(1, FROG) + yolo_row(0, HEN)})


def yolo_labels(root: Path) -> tuple[Path, Path]:
    images = write_yolo(root, {"a": yolo_row(1, FROG) + yolo_row(0, HEN)})
    return root / "labels" / "train", images


def labelme(root: Path) -> tuple[Path, Path]:
    folder = write_labelme(root, {"a": [shape("frog", pairs(FROG)), shape("chicken", pairs(HEN))]})
    return folder, folder


def voc(root: Path) -> tuple[Path, Path]:
    folder = write_voc(root, {"a": [("frog", list(bounds(FROG)), 0), ("chicken", list(bounds(HEN)), 0)]})
    return folder, folder / "JPEGImages"


WRITERS = [coco, yolo, yolo_labels, labelme, voc]


@pytest.mark.parametrize("suffix", [".png", ".json", ".txt", ".xml", ".yaml"])
@pytest.mark.parametrize("write", WRITERS)
def test_stray_files_are_no_data(write: Callable[[Path], tuple[Path, Path]], suffix: str, tmp_path: Path) -> None:
    annotations, images = write(tmp_path)
    folders = {images, annotations if annotations.is_dir() else images, *(p.parent for p in tmp_path.rglob("*.xml"))}
    for folder in folders:
        stray_files(folder, suffix)
    (photo,) = read_dataset(annotations, images).photos
    check_same(photo.annotations, masks=write is not voc)
    assert [p.name for p in list_images(images)] == ["a.png"]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("write", WRITERS)
def test_byte_order_marks(write: Callable[[Path], tuple[Path, Path]], mark: str, tmp_path: Path) -> None:
    annotations, images = write(tmp_path)
    for file in tmp_path.rglob("*.*"):
        if file.suffix in (".json", ".txt", ".xml", ".yaml"):
            file.write_text(file.read_text(), encoding=mark)
    (photo,) = read_dataset(annotations, images).photos
    check_same(photo.annotations, masks=write is not voc)


@pytest.mark.parametrize("write", [coco, labelme, voc])
def test_a_photo_that_is_a_pipe_is_named(write: Callable[[Path], tuple[Path, Path]], tmp_path: Path) -> None:
    annotations, images = write(tmp_path)
    (images / "a.png").unlink()
    os.mkfifo(images / "a.png")
    with pytest.raises(EdgekitError, match=r"a\.png: is a named pipe"):
        read_dataset(annotations, images)


def test_a_label_file_that_is_a_pipe_is_named(tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"a": "", "b": yolo_row(1, FROG)})
    os.mkfifo(tmp_path / "labels" / "train" / "a.txt")
    with pytest.raises(EdgekitError, match=r"a\.txt.*is a named pipe"):
        read_dataset(tmp_path, images)
