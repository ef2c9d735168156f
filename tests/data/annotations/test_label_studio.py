"""Label Studio's exports JSON and JSON-MIN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import enclosing_box
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.data.annotations.label_studio import is_label_studio, read_label_studio
from tests.data.annotations.test_brush_rle import encode_brush

H, W = 60, 80
RECTANGLE = {"x": 25.0, "y": 50.0, "width": 50.0, "height": 20.0}


def result(kind: str, value: dict[str, Any], label: str = "frog", **more: Any) -> dict[str, Any]:
    labels = {kind: [label]} if kind.endswith("labels") else {}
    seen = {"original_width": W, "original_height": H, "image_rotation": 0}
    names = {"id": kind[:4], "from_name": "label", "to_name": "image", "origin": "manual"}
    return names | seen | {"type": kind, "value": value | labels} | more


def task(*results: dict[str, Any], image: str = "/data/upload/3/1a2b3c4d-a.png", **more: Any) -> dict[str, Any]:
    annotation = {"id": 1001, "was_cancelled": False, "ground_truth": False, "result": list(results)}
    return {"id": 7, "data": {"image": image}, "annotations": [annotation], "predictions": []} | more


def read(folder: Path, document: Any) -> tuple[DatasetRecord, Faults]:
    file, faults = folder / "export.json", Faults()
    file.write_text(json.dumps(document))
    assert is_label_studio(AnnotationSource(file))
    return read_label_studio(AnnotationSource(folder), faults), faults


def test_percentages_become_pixels(tmp_path: Path) -> None:
    record, faults = read(
        tmp_path,
        [
            task(
                result("rectanglelabels", RECTANGLE | {"rotation": 0}),
                result("polygonlabels", {"points": [[0, 0], [50, 0], [50, 100]], "closed": True}, "chicken"),
                result("ellipselabels", {"x": 50, "y": 50, "radiusX": 25, "radiusY": 10, "rotation": 90}),
                result("rectanglelabels", RECTANGLE | {"rotation": 90}),
            )
        ],
    )
    (photo,) = record.photos
    assert (photo.name, photo.size) == ("/data/upload/3/1a2b3c4d-a.png", (H, W))
    assert record.categories == ("chicken", "frog")
    box, polygon, ellipse, turned = photo.objects
    assert (box.where, box.category) == ("task 7, region rect", "frog")
    assert box.box == pytest.approx([20, 30, 40, 12])
    assert (polygon.category, polygon.polygons) == ("chicken", [[0, 0, 40, 0, 40, 60]])
    assert enclosing_box(ellipse.polygons[0]) == pytest.approx([34, 10, 12, 40])
    assert turned.box == pytest.approx([8, 30, 12, 40])  # its first corner stays
    assert not faults.found


def test_what_the_brush_painted_is_the_mask(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random((H, W)) < 0.3
    brush = result("brushlabels", {"format": "rle", "rle": encode_brush(mask)})
    record, _ = read(tmp_path, [task(brush)])
    assert (coco_mask.decode(record.photos[0].objects[0].rle).astype(bool) == mask).all()


def test_json_min(tmp_path: Path) -> None:
    seen = {"original_width": W, "original_height": H}
    short = {
        "image": "/data/upload/3/1a2b3c4d-a.png",
        "id": 7,
        "label": [RECTANGLE | {"rotation": 0, "rectanglelabels": ["frog"]} | seen],
        "annotator": 1,
        "annotation_id": 5,
        "created_at": "2026-01-01T00:00:00Z",
        "lead_time": 3.2,
    }
    record, faults = read(tmp_path, [short])
    (item,) = record.photos[0].objects
    assert (item.category, record.photos[0].size) == ("frog", (H, W))
    assert item.box == pytest.approx([20, 30, 40, 12])
    assert not faults.found


def test_labels_apart_from_their_shapes(tmp_path: Path) -> None:
    """The tags Rectangle and Labels write a region twice, once without its class and once with it."""
    both = result("rectangle", RECTANGLE, id="r"), result("labels", RECTANGLE, id="r")
    bare = result("rectangle", RECTANGLE, id="bare")
    record, faults = read(tmp_path, [task(*both, bare, result("choices", {"choices": ["good"]}))])
    assert [(o.category, o.box) for o in record.photos[0].objects] == [("frog", pytest.approx([20, 30, 40, 12]))]
    assert [f.where for f in faults.treated(REFUSED)] == ["task 7, region bare"]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"image": "/data/local-files/?d=farm/day%201/a.png", "text": "b"}, "/data/local-files/?d=farm/day%201/a.png"),
        ({"picture": "s3://bucket/farm/a.JPG", "text": "a frog"}, "s3://bucket/farm/a.JPG"),
        ({"image": "https://example.org/photos/17"}, "https://example.org/photos/17"),
    ],
)
def test_the_photo_among_a_tasks_data(data: dict[str, str], name: str, tmp_path: Path) -> None:
    record, _ = read(tmp_path, [task(result("rectanglelabels", RECTANGLE)) | {"data": data}])
    assert record.photos[0].name == name


def test_of_several_annotations_the_last_one_counts(tmp_path: Path) -> None:
    def annotation(label: str, updated: str, **more: Any) -> dict[str, Any]:
        return {"result": [result("rectanglelabels", RECTANGLE, label)], "updated_at": updated} | more

    annotations = [
        annotation("frog", "2026-01-02"),
        annotation("hen", "2026-01-01"),
        annotation("cow", "2026-01-03", was_cancelled=True),
    ]
    predictions = [{"result": [result("rectanglelabels", RECTANGLE, "dog")]}]
    record, faults = read(tmp_path, [task(annotations=annotations, predictions=predictions)])
    assert [o.category for o in record.photos[0].objects] == ["frog"]
    assert [f.where for f in faults.treated(REPAIRED)] == ["task 7"]
    annotations[1]["ground_truth"] = True
    assert read(tmp_path, [task(annotations=annotations)])[0].categories == ("hen",)


def test_a_photo_nobody_annotated_is_no_photo_without_objects(tmp_path: Path) -> None:
    record, faults = read(tmp_path, [task(), task(annotations=[]), task(annotations=[{"was_cancelled": True}])])
    assert [photo.objects for photo in record.photos] == [()]
    assert len(faults.treated(REPAIRED)) == 2


def test_what_is_no_object_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    shapes = [
        result("rectanglelabels", RECTANGLE),
        result("keypointlabels", {"x": 1, "y": 2, "width": 0.5}),
        result("polygonlabels", {"points": [[1, 2], [3, 4], [5, 6]], "closed": False}, id="line"),
        result("rectanglelabels", RECTANGLE, id="turned", image_rotation=90),
        result("rectanglelabels", {"x": 1, "y": 2, "width": 3}, id="key"),
        result("rectanglelabels", {"x": 1, "y": 2}, id="point"),
        result("rectanglelabels", RECTANGLE | {"x": "left"}, id="text"),
        result("rectanglelabels", RECTANGLE, id="sizeless", original_width=None),
        result("brushlabels", {"format": "rle", "rle": [0, 0, 300]}, id="brush"),
        result("brushlabels", {"format": "rle", "rle": [0, 0, 0, 9]}, id="short"),
        result("videorectangle", {"sequence": []}, id="video"),
    ]
    shapes.append(result("rectanglelabels", RECTANGLE, id="two"))
    shapes[-1]["value"]["rectanglelabels"] = ["frog", "hen"]
    record, faults = read(tmp_path, [task(*shapes)])
    assert [o.where for o in record.photos[0].objects] == ["task 7, region rect"]
    named = {treated: [f.where.split()[-1] for f in faults.treated(treated)] for treated in (REPAIRED, REFUSED)}
    assert named[REPAIRED] == ["keyp", "line", "key"]
    assert named[REFUSED] == ["turned", "point", "text", "sizeless", "brush", "short", "video", "two"]
    assert all(f.file == tmp_path / "export.json" for f in faults.found)


def test_tasks_that_are_none_are_named(tmp_path: Path) -> None:
    text = task(result("rectanglelabels", RECTANGLE)) | {"data": {"text": "no photo"}}
    record, faults = read(tmp_path, [task(), text, 5, task(annotations=[{"no": "result"}])])
    assert len(record.photos) == 1
    assert [f.where for f in faults.treated(REFUSED)] == ["task 7", "task 3", "task 7"]
