"""What is wrong with a damaged shape is said in the words of annotations, and only that shape is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.data.annotations import label_studio, labelbox
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import flattened
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import LEFT_OUT, REFUSED, Faults
from edgekit.data.annotations.formats import collect_dataset
from edgekit.data.annotations.outlines import read_rle
from tests.data.annotations import test_label_studio, test_labelbox, test_via

PYTHON = ("NoneType", "could not convert", "unpack", "indices", "argument", "subscriptable", "iterable", "Error")


def details(faults: Faults) -> list[str]:
    found = [f.detail for f in faults.treated(REFUSED)]
    assert not [detail for detail in found if any(word in detail for word in PYTHON)]
    return found


@pytest.mark.parametrize("region", [None, 5, {"id": "x"}, {"id": "x", "type": "rectanglelabels"}])
def test_a_damaged_region_of_label_studio_is_refused_alone(region: Any, tmp_path: Path) -> None:
    good = test_label_studio.result("rectanglelabels", test_label_studio.RECTANGLE)
    record, faults = test_label_studio.read(tmp_path, [test_label_studio.task(region, good)])
    assert [o.where for o in record.photos[0].objects] == ["task 7, region rect"]
    place = "x" if isinstance(region, dict) else "1"
    assert [(f.where, f.kind.of_photo) for f in faults.treated(REFUSED)] == [(f"task 7, region {place}", False)]
    assert len(details(faults)) == 1


def test_a_null_region_of_json_min_is_refused_alone(tmp_path: Path) -> None:
    seen = {"original_width": 80, "original_height": 60, "rectanglelabels": ["frog"]}
    short = {"image": "a.png", "id": 7, "annotation_id": 5, "lead_time": 1.0}
    record, faults = test_label_studio.read(tmp_path, [short | {"label": [None, test_label_studio.RECTANGLE | seen]}])
    assert len(record.photos[0].objects) == 1
    assert [f.where for f in faults.treated(REFUSED)] == ["task 7, region 1"]


@pytest.mark.parametrize("value", [{"x": "left"}, {"x": None}, {"points": [[1, 2], None]}, {"points": 5}])
def test_numbers_of_label_studio_that_are_none(value: Any, tmp_path: Path) -> None:
    shape = test_label_studio.result("rectanglelabels", test_label_studio.RECTANGLE | value)
    _, faults = test_label_studio.read(tmp_path, [test_label_studio.task(shape)])
    expected = "its points are not pairs of numbers" if "points" in value else repr(value["x"])
    assert details(faults) == [expected]


def test_a_task_without_results_is_named(tmp_path: Path) -> None:
    good = test_label_studio.task(test_label_studio.result("rectanglelabels", test_label_studio.RECTANGLE))
    _, faults = test_label_studio.read(tmp_path, [good, test_label_studio.task(annotations=[{"no": "result"}])])
    assert details(faults) == ["lacks 'result'"]
    assert faults.found[0].kind == label_studio.BAD_TASK


@pytest.mark.parametrize("point", [None, {"x": 1}, {"x": None, "y": 2}, {"x": "left", "y": 2}, [1, 2]])
def test_points_of_labelbox_that_are_none(point: Any, tmp_path: Path) -> None:
    shape = test_labelbox.POLYGON | {"polygon": [{"x": 1, "y": 2}, point, {"x": 9, "y": 8}]}
    record, faults = test_labelbox.read(tmp_path, test_labelbox.row(test_labelbox.label(test_labelbox.BOX, shape)))
    assert len(record.photos[0].objects) == 1
    assert details(faults) == ["its points are not pairs of numbers"]


def test_a_row_of_labelbox_that_is_none(tmp_path: Path) -> None:
    good = test_labelbox.row(test_labelbox.label(test_labelbox.BOX))
    _, faults = test_labelbox.read(tmp_path, good, {"data_row": 5})
    assert [f.kind for f in faults.treated(REFUSED)] == [labelbox.BAD_LINE]
    details(faults)


@pytest.mark.parametrize(("ys", "said"), [([1, 2], "its points have 3 x and 2 y"), (["a", 1, 2], "not pairs")])
def test_points_of_via_that_are_none(ys: list[Any], said: str, tmp_path: Path) -> None:
    shape = {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": ys}
    _, faults = test_via.read(tmp_path, test_via.images(test_via.region(shape, kind="frog")))
    (detail,) = details(faults)
    assert said in detail


@pytest.mark.parametrize("points", [[[1, 2], [3]], [[1, 2, 3]], [None], 5, [["a", 1]], [[None, 1]]])
def test_points_that_are_no_pairs(points: Any) -> None:
    with pytest.raises(Unusable) as caught:
        flattened(points)
    assert caught.value.detail == "its points are not pairs of numbers"


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        ("text", "it is 'text', neither polygons nor RLE with counts and size"),
        ({"size": [40, 60]}, "it is {'size': [40, 60]}, neither polygons nor RLE with counts and size"),
        ({"size": None, "counts": "x"}, "its size is None, not a height and a width"),
        ({"size": ["a", 60], "counts": "x"}, "its size is ['a', 60], not a height and a width"),
    ],
)
def test_what_is_no_rle(rle: Any, said: str) -> None:
    with pytest.raises(Unusable) as caught:
        read_rle(rle, (40, 60))
    assert caught.value.detail == said


def test_yolo_label_files_without_a_photo_are_named_once(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "white").save(tmp_path / "a.png")
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "classes.txt").write_text("frog\n")
    (tmp_path / "data.yaml").write_text("names: [frog]\n")
    faults = Faults()
    dataset = collect_dataset(AnnotationSource(tmp_path, (tmp_path,)), faults)
    faults.raise_refused()
    assert [len(photo.annotations) for photo in dataset.photos] == [1]
    assert [(f.file, f.detail) for f in faults.treated(LEFT_OUT)] == [(tmp_path, "b.txt, c.txt")]
