"""Labelbox's export of data rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.data.annotations.labelbox import is_labelbox, read_labelbox
from edgekit.errors import EdgekitError

BOX: dict[str, Any] = {"name": "frog", "annotation_kind": "ImageBoundingBox", "classifications": []}
BOX |= {"bounding_box": {"top": 10.0, "left": 20.0, "height": 40.0, "width": 30.0}}
POLYGON: dict[str, Any] = {"feature_id": "p1", "name": "chicken", "annotation_kind": "ImagePolygon"}
POLYGON |= {"polygon": [{"x": 1.0, "y": 2.0}, {"x": 9.5, "y": 2.0}, {"x": 9.5, "y": 8.0}]}


def label(*objects: dict[str, Any], updated: str = "2026-01-01") -> dict[str, Any]:
    found = {"objects": list(objects), "classifications": [], "relationships": []}
    return {"label_kind": "Default", "id": "l", "label_details": {"updated_at": updated}, "annotations": found}


def row(*labels: dict[str, Any], project: str = "farm", **data: Any) -> dict[str, Any]:
    given = {"id": "r", "external_id": "a.png", "global_key": "key", "row_data": "https://x.org/f/b.png"} | data
    media = {"height": 60, "width": 80, "mime_type": "image/png"}
    projects = {"p": {"name": project, "labels": list(labels), "project_details": {}}}
    return {"data_row": given, "media_attributes": media, "projects": projects}


def read(folder: Path, *rows: Any) -> tuple[DatasetRecord, Faults]:
    file, faults = folder / "export.ndjson", Faults()
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
    assert is_labelbox(AnnotationSource(file))
    assert is_labelbox(AnnotationSource(folder))
    return read_labelbox(AnnotationSource(folder), faults), faults


def test_boxes_and_polygons(tmp_path: Path) -> None:
    record, faults = read(tmp_path, row(label(BOX, POLYGON)), row(label(), external_id="c.png"))
    first, second = record.photos
    assert (first.name, first.size, record.categories) == ("a.png", (60, 80), ("chicken", "frog"))
    box, polygon = first.objects
    assert (box.category, box.box) == ("frog", [20, 10, 30, 40])
    assert (polygon.category, polygon.polygons) == ("chicken", [[1, 2, 9.5, 2, 9.5, 8]])
    assert polygon.where == "line 1, object p1"
    assert (second.name, second.objects) == ("c.png", ())
    assert not faults.found


def test_one_line_and_an_array_are_read_too(tmp_path: Path) -> None:
    assert len(read(tmp_path, row(label(BOX)))[0].photos) == 1
    file = tmp_path / "array.json"
    file.write_text(json.dumps([row(label(BOX)), row(label(), external_id="c.png")], indent=1))
    assert is_labelbox(AnnotationSource(file))
    assert len(read_labelbox(AnnotationSource(file), Faults()).photos) == 2


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"external_id": None}, "https://x.org/f/b.png"),
        ({"external_id": None, "global_key": "k.jpg"}, "k.jpg"),
        ({"external_id": "17", "global_key": None, "row_data": "https://x.org/17"}, "17"),
    ],
)
def test_the_photos_name(data: dict[str, Any], name: str, tmp_path: Path) -> None:
    assert read(tmp_path, row(label(BOX), **data))[0].photos[0].name == name


def test_rows_without_a_label_and_with_two(tmp_path: Path) -> None:
    twice = row(label(BOX, updated="2026-01-02"), label(POLYGON), external_id="b.png")
    record, faults = read(tmp_path, row(), twice)
    assert [(p.name, [o.category for o in p.objects]) for p in record.photos] == [("b.png", ["frog"])]
    assert [(f.where, f.detail) for f in faults.treated(REPAIRED)] == [("line 1", "a.png"), ("line 2", "b.png")]


def test_what_is_no_object_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    shapes: list[dict[str, Any]] = [
        {"feature_id": "mask", "name": "frog", "mask": {"url": "https://api.labelbox.com/masks/1"}},
        {"feature_id": "line", "name": "frog", "line": [{"x": 1, "y": 2}]},
        {"feature_id": "point", "name": "frog", "point": {"x": 1, "y": 2}},
        {"feature_id": "cuboid", "name": "frog", "cuboid": {}, "annotation_kind": "ImageCuboid"},
        {"feature_id": "short", "name": "frog", "bounding_box": {"top": 1, "left": 2}},
        {"feature_id": "nameless", "bounding_box": BOX["bounding_box"]},
    ]
    record, faults = read(tmp_path, row(label(BOX, *shapes)))
    assert len(record.photos[0].objects) == 1
    assert [f.where.split()[-1] for f in faults.treated(REPAIRED)] == ["line", "point"]
    assert [f.where.split()[-1] for f in faults.treated(REFUSED)] == ["mask", "cuboid", "short", "nameless"]
    assert all(f.file == tmp_path / "export.ndjson" for f in faults.found)


def test_lines_that_are_no_photo_are_named(tmp_path: Path) -> None:
    video = row(label(BOX))
    video["media_attributes"]["mime_type"] = "video/mp4"
    record, faults = read(tmp_path, row(label(BOX)), "{broken", {"data_row": 5}, video, row(label(), external_id=""))
    assert len(record.photos) == 2
    assert [f.where for f in faults.treated(REFUSED)] == ["line 2", "line 3", "line 4"]
    assert all(f.kind.of_photo for f in faults.treated(REFUSED))


def test_several_projects_and_the_first_export_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"export\.ndjson: .*farm, barn"):
        read(tmp_path, row(label(BOX)), row(label(BOX), project="barn"))
    with pytest.raises(EdgekitError, match=r"export\.ndjson: is an export of Labelbox's first version"):
        read(tmp_path, {"ID": "x", "Labeled Data": "https://x.org/a.png", "Label": {"objects": []}})
    (tmp_path / "second.ndjson").write_text(json.dumps(row(label(BOX))))
    with pytest.raises(EdgekitError, match=r"export\.ndjson, second\.ndjson"):
        read(tmp_path, row(label(BOX)))
