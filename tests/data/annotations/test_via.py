"""JSON of VIA, in all the shapes that its three versions gave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import enclosing_box
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.data.annotations.via import is_via, read_via
from edgekit.errors import EdgekitError

RECT = {"name": "rect", "x": 20, "y": 10, "width": 30, "height": 40}
POLYGON = {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [2, 2, 8]}


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def images(*regions: dict[str, Any]) -> dict[str, Any]:
    return {"a.png1234": {"filename": "a.png", "size": 1234, "regions": list(regions), "file_attributes": {}}}


def project(listed: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    settings = {"ui": {}, "core": {}, "project": {"name": "farm"}}
    kinds = {"region": attributes, "file": {}}
    return {"_via_settings": settings, "_via_img_metadata": listed, "_via_attributes": kinds}


def read(folder: Path, document: Any) -> tuple[DatasetRecord, Faults]:
    file, faults = folder / "via.json", Faults()
    file.write_text(json.dumps(document))
    assert is_via(AnnotationSource(file))
    assert is_via(AnnotationSource(folder))
    return read_via(AnnotationSource(folder), faults), faults


def objects(folder: Path, document: Any) -> tuple[ObjectRecord, ...]:
    record, faults = read(folder, document)
    assert not faults.found
    (photo,) = record.photos
    assert (photo.name, photo.named_in, photo.size) == ("a.png", folder / "via.json", None)
    return photo.objects


@pytest.mark.parametrize("whole", [False, True])
def test_version_2_as_a_project_and_as_an_export(whole: bool, tmp_path: Path) -> None:
    listed = images(region(RECT, kind="frog"), region(POLYGON, kind="chicken"))
    box, polygon = objects(tmp_path, project(listed) if whole else listed)
    assert (box.category, box.box, box.polygons) == ("frog", [20, 10, 30, 40], ())
    assert (polygon.category, polygon.box, polygon.polygons) == ("chicken", None, [[1, 2, 9, 2, 9, 8]])


def test_version_1_numbers_its_regions_and_writes_text(tmp_path: Path) -> None:
    listed = images()
    listed["a.png1234"]["regions"] = {"0": region({k: str(v) for k, v in RECT.items()}, object_name="frog")}
    (box,) = objects(tmp_path, listed)
    assert (box.category, box.box) == ("frog", [20, 10, 30, 40])


def test_circles_and_turned_ellipses_are_masks(tmp_path: Path) -> None:
    circle = {"name": "circle", "cx": 40, "cy": 30, "r": 10}
    ellipse = {"name": "ellipse", "cx": 40, "cy": 30, "rx": 20, "ry": 5, "theta": 1.5707963267948966}
    drawn = objects(tmp_path, images(region(circle, kind="frog"), region(ellipse, kind="frog")))
    boxes = [enclosing_box(item.polygons[0]) for item in drawn]
    assert boxes[0] == pytest.approx([30, 20, 20, 20])
    assert boxes[1] == pytest.approx([35, 10, 10, 40])


def test_version_3_projects(tmp_path: Path) -> None:
    document = {
        "project": {"pid": "p", "data_format_version": "3.1.1", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": {
            "1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": {"0": "frog", "1": "chicken"}}
        },
        "file": {"1": {"fid": 1, "fname": "a.png", "type": 2}, "2": {"fid": 2, "fname": "b.png", "type": 2}},
        "view": {"1": {"fid_list": [1]}, "2": {"fid_list": [2]}},
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [], "xy": [2, 20, 10, 30, 40], "av": {"1": "1"}},
            "1_y": {"vid": "1", "flg": 0, "z": [], "xy": [7, 1, 2, 9, 2, 9, 8], "av": {"1": "0"}},
            "1_z": {"vid": "1", "flg": 0, "z": [], "xy": [3, 40, 30, 10], "av": {"1": "0"}},
            "1_p": {"vid": "1", "flg": 0, "z": [], "xy": [1, 40, 30], "av": {"1": "0"}},
            "2_t": {"vid": "2", "flg": 0, "z": [7.2, 11.6], "xy": [], "av": {"1": "0"}},
        },
    }
    record, faults = read(tmp_path, document)
    first, second = record.photos
    assert [(o.category, o.box) for o in first.objects] == [
        ("chicken", [20, 10, 30, 40]),
        ("frog", None),
        ("frog", None),
    ]
    assert first.objects[1].polygons == [[1, 2, 9, 2, 9, 8]]
    assert enclosing_box(first.objects[2].polygons[0]) == pytest.approx([30, 20, 20, 20])
    assert (second.name, second.objects) == ("b.png", ())
    assert [f.where for f in faults.treated(REPAIRED)] == ["a.png, region 1_p"]


def test_the_boxes_that_are_checked_in_version_3(tmp_path: Path) -> None:
    document = {
        "project": {"data_format_version": "3.1.1"},
        "attribute": {"1": {"aname": "kind", "type": 2, "options": {"0": "frog", "1": "chicken"}}},
        "file": {"1": {"fname": "a.png"}},
        "view": {"1": {"fid_list": [1]}},
        "metadata": {
            key: {"vid": "1", "z": [], "xy": [2, 20, 10, 30, 40], "av": {"1": value}}
            for key, value in (("one", "1"), ("both", "0,1"))
        },
    }
    record, faults = read(tmp_path, document)
    assert [o.category for o in record.photos[0].objects] == ["chicken"]
    assert [(f.where, f.detail) for f in faults.treated(REFUSED)] == [("a.png, region both", "frog, chicken")]


@pytest.mark.parametrize(
    ("value", "options", "category"),
    [
        ({"frog": True, "chicken": False}, {"frog": "", "chicken": ""}, "frog"),  # a checkbox
        ("2", {"1": "frog", "2": "chicken"}, "chicken"),  # a numbered choice
        ("cup", {"cup": "Cup (object)"}, "cup"),  # a named one
        (" frog ", {}, "frog"),
    ],
)
def test_the_class_in_every_kind_of_attribute(
    value: Any, options: dict[str, str], category: str, tmp_path: Path
) -> None:
    document = project(images(region(RECT, kind=value)), kind={"type": "dropdown", "options": options})
    assert [o.category for o in objects(tmp_path, document)] == [category]


def test_of_several_attributes_the_one_that_all_regions_have_is_the_class(tmp_path: Path) -> None:
    drawn = images(region(RECT, kind="frog", note=""), region(RECT, kind="chicken", note="hidden"))
    assert [o.category for o in objects(tmp_path, drawn)] == ["frog", "chicken"]


def test_attributes_that_could_all_be_the_class_are_listed(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"via\.json: .*kind, colour"):
        read(tmp_path, images(region(RECT, kind="frog", colour="green")))


def test_what_is_no_object_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    point = {"name": "point", "cx": 1, "cy": 2}
    broken = {"name": "rect", "x": 20, "y": "left", "width": 30, "height": 40}
    short = {"name": "circle", "cx": 1, "cy": 2}
    record, faults = read(
        tmp_path,
        images(
            region(RECT, kind="frog"),
            region(point, kind="frog"),
            region(broken, kind="frog"),
            region(short, kind="frog"),
            region({"name": "star"}, kind="frog"),
            region(RECT, kind={"frog": True, "chicken": True}),
            region(RECT, kind=""),
        ),
    )
    assert len(record.photos[0].objects) == 1
    assert [f.where for f in faults.treated(REPAIRED)] == ["a.png, region 1"]
    refused = faults.treated(REFUSED)
    assert [f.where for f in refused] == [f"a.png, region {n}" for n in (2, 3, 4, 5, 6)]
    assert all(f.file == tmp_path / "via.json" for f in refused)
    assert [f.detail for f in refused][1:4] == ["lacks 'r'", "star", "frog, chicken"]


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"via\.json: is of version 4\.0"):
        read(tmp_path, project(images()) | {"_via_data_format_version": "4.0.1"})


def test_two_files_in_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps(images()))
    with pytest.raises(EdgekitError, match=r"other\.json, via\.json"):
        read(tmp_path, images())


def test_a_damaged_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"via\.json: is not as VIA writes it"):
        read(tmp_path, {"_via_img_metadata": {"a": {"filename": "a.png"}}})
