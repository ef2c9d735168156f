"""Boxes that are not those of their masks are never accepted, and what a whole set means is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.annotations.faults import AnnotationError, ReadingOptions
from edgekit.data.annotations.formats import read_dataset
from tests.data.annotations.test_formats import write_yolo
from tests.data.annotations.test_repairs import OTHER, SQUARE, H, W, box_of, coco, row


def rectangles(count: int) -> list[list[float]]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        x, y, w, h = rng.uniform(5, 60), rng.uniform(5, 40), rng.uniform(15, 50), rng.uniform(15, 45)
        found.append([float(v) for v in (x, y, x + w, y, x + w, y + h, x, y + h)])
    return found


def layouts(box: list[float]) -> dict[str, list[float]]:
    x, y, w, h = box
    return {
        "x0, y0, x1, y1": [x, y, x + w, y + h],
        "centre x, centre y, width, height": [x + w / 2, y + h / 2, w, h],
        "x, y, width, height in fractions of the photo": [x / W, y / H, w / W, h / H],
        "centre x, centre y, width, height in fractions": [(x + w / 2) / W, (y + h / 2) / H, w / W, h / H],
        "x0, y0, x1, y1 in fractions of the photo": [x / W, y / H, (x + w) / W, (y + h) / H],
    }


@pytest.mark.parametrize("layout", list(layouts([0, 0, 1, 1])))
@pytest.mark.parametrize("skips", [True, False])
def test_boxes_of_another_layout_are_named(layout: str, skips: bool, tmp_path: Path) -> None:
    source = coco(tmp_path, [row(p, bbox=layouts(box_of(p))[layout]) for p in rectangles(20)])
    with pytest.raises(AnnotationError) as caught:
        read_dataset(source.path, *source.images, options=ReadingOptions(skip_bad_annotations=skips))
    assert f"20 of 20 boxes fit their masks if read as {layout}" in str(caught.value)


def test_right_boxes_are_not_suspected(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [row(p, bbox=[v + rng.uniform(-2, 2) for v in box_of(p)]) for p in rectangles(20)]
    source = coco(tmp_path, rows)
    assert len(read_dataset(source.path, *source.images).photos[0].annotations) == 20


def test_one_box_of_another_object_is_named_alone(tmp_path: Path) -> None:
    rows = [row(p) for p in rectangles(20)]
    rows[7] |= {"bbox": [100, 70, 15, 15], "segmentation": [SQUARE]}
    source = coco(tmp_path, rows)
    with pytest.raises(
        AnnotationError, match=r"annotation 47: its box is not its mask's .*\[100, 70, 15, 15\]"
    ) as caught:
        read_dataset(source.path, *source.images)
    assert not caught.value.faults.causes
    options = ReadingOptions(skip_bad_annotations=True)
    assert len(read_dataset(source.path, *source.images, options=options).photos[0].annotations) == 19


def rle(polygon: list[float], by_rows: bool) -> dict[str, Any]:
    mask = coco_mask.decode(coco_mask.frPyObjects([polygon], H, W))[:, :, 0]
    flat = mask.ravel() if by_rows else mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [H, W], "counts": np.diff([0, *edges, flat.size]).tolist()}


def test_masks_given_row_by_row_are_named(tmp_path: Path) -> None:
    for by_rows in (False, True):
        source = coco(tmp_path, [row(p, segmentation=rle(p, by_rows)) for p in (*rectangles(8), SQUARE, OTHER)])
        if not by_rows:
            assert len(read_dataset(source.path, *source.images).photos[0].annotations) == 10
    with pytest.raises(AnnotationError, match=r"10 of 10 masks fit their boxes if their RLE is read row by row"):
        read_dataset(source.path, *source.images)


@pytest.mark.parametrize(
    ("layout", "said"),
    [("x0, y0, x1, y1", "x0, y0, x1, y1"), ("x, y, width, height in fractions of the photo", "between 0 and 1")],
)
def test_boxes_without_masks_of_another_layout_are_named(layout: str, said: str, tmp_path: Path) -> None:
    boxes = [box_of(p) for p in rectangles(20)]
    source = coco(tmp_path, [{"bbox": box} for box in boxes])
    assert len(read_dataset(source.path, *source.images).photos[0].annotations) == 20
    source = coco(tmp_path, [{"bbox": layouts(box)[layout]} for box in boxes])
    with pytest.raises(AnnotationError, match=said):
        read_dataset(source.path, *source.images)


POSE = "0 0.5 0.5 0.4 0.6 0.45 0.4 2 0.55 0.4 1 0.0 0.0 0\n"


@pytest.mark.parametrize(
    ("config", "line"), [({}, POSE), ({"kpt_shape": [4, 2]}, "0 0.5 0.5 0.4 0.6" + " 0.5 0.4" * 4)]
)
def test_yolo_pose_rows_are_no_polygons(config: dict[str, Any], line: str, tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"a": "1 0.5 0.5 0.4 0.6\n" + line}, **config)
    with pytest.raises(AnnotationError, match=r"a\.txt: line 2: .*pose"):
        read_dataset(tmp_path, images)


def test_a_yolo_polygon_is_no_pose(tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"a": "0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8 0.1 0.5\n"})
    (photo,) = read_dataset(tmp_path, images).photos
    assert photo.annotations[0].segmentation is not None


def test_yolo_rows_of_corners_are_named(tmp_path: Path) -> None:
    rows = "".join(f"0 {x} {y} {x + 0.5} {y + 0.5}\n" for x, y in ((0.2, 0.2), (0.1, 0.3), (0.4, 0.1), (0.3, 0.4)))
    images = write_yolo(tmp_path, {"a": rows})
    with pytest.raises(AnnotationError, match=r"none does if read as x0, y0, x1, y1") as caught:
        read_dataset(tmp_path, images)
    assert "centre x, centre y" in str(caught.value)


def test_a_single_box_in_fractions_is_named(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [0.2, 0.2, 0.4, 0.4]}])
    with pytest.raises(AnnotationError, match="between 0 and 1, as fractions of the photo"):
        read_dataset(source.path, *source.images)
