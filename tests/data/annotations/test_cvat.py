"""CVAT's XML for images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.cvat import is_cvat, read_cvat
from edgekit.data.annotations.drawn_shapes import enclosing_box
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.errors import EdgekitError

LABELS = """<labels>
  <label><name>frog</name><type>any</type><attributes/></label>
  <label><name>chicken</name><type>mask</type></label>
  <label><name>beak</name><type>points</type><parent>skeleton</parent></label>
</labels>"""
COMMON = 'source="manual" occluded="0" z_order="2" group_id="4"'
# The disc of 13x15 pixels that CVAT's own description has as its example.
DISC = "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"


def write(folder: Path, shapes: str, version: str = "1.1", after: str = "", meta: str = LABELS) -> Path:
    image = f'<image id="0" name="dir/a.png" width="80" height="60">{shapes}</image>'
    head = f"<version>{version}</version><meta><task><id>4</id>{meta}</task><dumped/></meta>"
    file = folder / "annotations.xml"
    file.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{head}{image}{after}</annotations>')
    return file


def read(folder: Path, shapes: str) -> tuple[DatasetRecord, Faults]:
    file, faults = write(folder, shapes), Faults()
    assert is_cvat(AnnotationSource(file))
    assert is_cvat(AnnotationSource(folder))
    return read_cvat(AnnotationSource(folder), faults), faults


def test_boxes_polygons_and_ellipses(tmp_path: Path) -> None:
    shapes = f"""
      <box label="frog" {COMMON} xtl="20.00" ytl="10.50" xbr="50.00" ybr="50.50"><attribute name="a">b</attribute></box>
      <polygon label="chicken" {COMMON} points="1.00,2.00;9.00,2.00;9.00,8.00"/>
      <ellipse label="frog" {COMMON} cx="40" cy="30" rx="20" ry="5" rotation="90.00"/>
      <box label="frog" {COMMON} xtl="30" ytl="25" xbr="50" ybr="35" rotation="90.00"/>
      <tag label="good"/>"""
    record, faults = read(tmp_path, shapes)
    (photo,) = record.photos
    assert (photo.name, photo.size, record.categories) == ("dir/a.png", (60, 80), ("frog", "chicken"))
    box, polygon, ellipse, turned = photo.objects
    assert (box.category, box.box, box.polygons) == ("frog", [20, 10.5, 30, 40], ())
    assert (polygon.category, polygon.polygons) == ("chicken", [[1, 2, 9, 2, 9, 8]])
    assert enclosing_box(ellipse.polygons[0]) == pytest.approx([35, 10, 10, 40])
    assert turned.box == pytest.approx([35, 20, 10, 20])
    assert not faults.found


def test_a_mask_is_laid_out_by_rows(tmp_path: Path) -> None:
    record, _ = read(tmp_path, f'<mask label="frog" {COMMON} rle="{DISC}" left="30" top="20" width="13" height="15"/>')
    wanted = np.zeros((60, 80), bool)
    position, on = 0, False
    for run in map(int, DISC.split(",")):
        for pixel in range(position, position + run):
            wanted[20 + pixel // 13, 30 + pixel % 13] = on
        position, on = position + run, not on
    (item,) = record.photos[0].objects
    assert (coco_mask.decode(item.rle).astype(bool) == wanted).all()
    assert wanted[20].tolist() == [33 <= x < 38 for x in range(80)]


def test_what_is_no_object_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    shapes = f"""
      <polyline label="frog" {COMMON} points="1,2;3,4"/>
      <points label="frog" {COMMON} points="1,2"/>
      <skeleton label="s"><points label="1" points="1,2"/></skeleton>
      <box label="frog" {COMMON} xtl="1" ytl="2" xbr="3"/>
      <box label="frog" {COMMON} xtl="1" ytl="2" xbr="far" ybr="4"/>
      <polygon label="frog" {COMMON} points="1,2;3;4,5"/>
      <mask label="frog" {COMMON} rle="3, 5" left="0" top="0" width="3" height="3"/>
      <mask label="frog" {COMMON} rle="1000000000000" left="0" top="0" width="1000000" height="1000000"/>
      <blob label="frog"/>
      <box {COMMON} xtl="1" ytl="2" xbr="3" ybr="4"/>
      <box label="chicken" {COMMON} xtl="1" ytl="2" xbr="3" ybr="4"/>"""
    record, faults = read(tmp_path, shapes)
    assert [o.where for o in record.photos[0].objects] == ["dir/a.png, box 11"]
    assert [f.detail for f in faults.treated(REPAIRED)] == ["polyline", "points", "skeleton"]
    refused = faults.treated(REFUSED)
    names = ["box 4", "box 5", "polygon 6", "mask 7", "mask 8", "blob 9", "box 10"]
    assert [f.where for f in refused] == [f"dir/a.png, {name}" for name in names]
    assert str(refused[0]).startswith(f"{tmp_path / 'annotations.xml'}: dir/a.png, box 4: ")
    assert refused[3].detail == "its RLE is of 8 pixels, its rectangle of 3x3"


def test_classes_that_the_task_does_not_list_are_added(tmp_path: Path) -> None:
    write(tmp_path, f'<box label="hen" {COMMON} xtl="1" ytl="2" xbr="3" ybr="4"/>', meta="")
    assert read_cvat(AnnotationSource(tmp_path), Faults()).categories == ("hen",)


def test_video_and_newer_versions_are_refused_by_name(tmp_path: Path) -> None:
    file = write(tmp_path, "", after='<track id="0" label="frog"><box frame="0"/></track>')
    with pytest.raises(EdgekitError, match=r"annotations\.xml: is CVAT for video") as caught:
        read_cvat(AnnotationSource(file), Faults())
    assert "CVAT for images 1.1" in caught.value.hint
    with pytest.raises(EdgekitError, match=r"annotations\.xml: is of version 2\.0"):
        read_cvat(AnnotationSource(write(tmp_path, "", "2.0")), Faults())


def test_files_of_two_tasks_and_other_xml(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    (tmp_path / "other.xml").write_text("<annotation><filename>a.png</filename></annotation>")  # Pascal VOC
    assert is_cvat(AnnotationSource(tmp_path))
    assert not is_cvat(AnnotationSource(tmp_path / "other.xml"))
    (tmp_path / "second.xml").write_text(file.read_text())
    with pytest.raises(EdgekitError, match=r"annotations\.xml, second\.xml"):
        read_cvat(AnnotationSource(tmp_path), Faults())
