"""Projects, datasets and annotation folders of Supervisely."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.data.annotations.supervisely import is_supervisely, read_supervisely
from edgekit.errors import EdgekitError

H, W = 60, 80
SQUARE = [[10, 5], [50, 5], [50, 45], [10, 45]]
HOLE = [[20, 10], [30, 10], [30, 20], [20, 20]]


def drawn(kind: str, title: str = "frog", **geometry: Any) -> dict[str, Any]:
    return {"id": 1, "classTitle": title, "geometryType": kind, "tags": [], "description": ""} | geometry


def points(exterior: list[list[int]], *interior: list[list[int]]) -> dict[str, Any]:
    return {"points": {"exterior": exterior, "interior": list(interior)}}


def bitmap(mask: np.ndarray, origin: list[int], alpha: bool = True) -> dict[str, Any]:
    picture, packed = Image.fromarray(mask.astype(np.uint8) * 255), io.BytesIO()
    if alpha:
        picture = Image.merge("RGBA", [Image.new("L", picture.size, 255)] * 3 + [picture])
    picture.save(packed, "PNG")
    return {"bitmap": {"data": base64.b64encode(zlib.compress(packed.getvalue())).decode(), "origin": origin}}


def write(project: Path, dataset: str, name: str, *objects: dict[str, Any], photo: bool = True) -> Path:
    folder = project / dataset
    for part in ("ann", "img"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    document = {"description": "", "tags": [], "size": {"height": H, "width": W}, "objects": list(objects)}
    (folder / "ann" / f"{name}.json").write_text(json.dumps(document))
    if photo:
        Image.new("RGB", (W, H)).save(folder / "img" / name)
    classes = [{"title": title, "shape": "any", "color": "#fff"} for title in ("hen", "frog")]
    (project / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    return folder


def read(path: Path) -> tuple[DatasetRecord, Faults]:
    faults = Faults()
    assert is_supervisely(AnnotationSource(path))
    return read_supervisely(AnnotationSource(path), faults), faults


def masks(record: DatasetRecord) -> list[np.ndarray]:
    return [coco_mask.decode(item.rle).astype(bool) for photo in record.photos for item in photo.objects]


def test_a_rectangle_has_its_last_row_and_column(tmp_path: Path) -> None:
    write(tmp_path, "ds", "a.png", drawn("rectangle", **points([[20, 10], [49, 49]])))
    record, faults = read(tmp_path)
    (photo,) = record.photos
    assert (photo.name, photo.size, photo.path) == ("a.png", (H, W), tmp_path / "ds" / "img" / "a.png")
    assert record.categories == ("hen", "frog")
    assert [(o.where, o.category, o.box) for o in photo.objects] == [("object 1", "frog", [20, 10, 30, 40])]
    assert not faults.found


def test_polygons_go_through_the_middles_of_pixels(tmp_path: Path) -> None:
    write(tmp_path, "ds", "a.png", drawn("polygon", **points([[1, 2], [9, 2], [9, 8]])))
    (item,) = read(tmp_path)[0].photos[0].objects
    assert item.polygons == [[1.5, 2.5, 9.5, 2.5, 9.5, 8.5]]


def test_holes_are_cut_out(tmp_path: Path) -> None:
    parts = [{"exterior": SQUARE, "interior": [HOLE]}, {"exterior": [[60, 5], [70, 5], [70, 15], [60, 15]]}]
    write(tmp_path, "ds", "a.png", drawn("polygon", **points(SQUARE, HOLE)), drawn("multipolygon", parts=parts))
    outer = coco_mask.decode(coco_mask.frPyObjects([[v + 0.5 for p in SQUARE for v in p]], H, W))[..., 0].astype(bool)
    one, both = masks(read(tmp_path)[0])
    assert outer.sum() - one.sum() == 100
    assert not one[11:20, 21:30].any()
    assert (both[:, :55] == one[:, :55]).all()
    assert both[:, 55:].sum() == 100


@pytest.mark.parametrize("alpha", [True, False])
def test_bitmaps_lie_at_their_origin(alpha: bool, tmp_path: Path) -> None:
    mask = np.random.default_rng(2).random((20, 30)) < 0.5
    write(tmp_path, "ds", "a.png", drawn("bitmap", **bitmap(mask, [45, 30], alpha)))
    wanted = np.zeros((H, W), bool)
    wanted[30:50, 45:75] = mask
    assert (masks(read(tmp_path)[0])[0] == wanted).all()


def test_the_bitmap_of_supervisely_s_own_description(tmp_path: Path) -> None:
    data = (
        "eJzrDPBz5+WS4mJgYOD19HAJAtLMIMwIInOeqf8BUmwBPiGuQPr///9Lb86/C2QxlgT5BTM4PLuRBuTwebo4hlTMSa44cOHAB6Dq"
        "Y0yORgq8YkAZBk9XP5d1TglNANAFGzA="
    )
    write(tmp_path, "ds", "a.png", drawn("bitmap", bitmap={"data": data, "origin": [0, 0]}))
    found = masks(read(tmp_path)[0])[0]
    assert found[:3, :3].tolist() == [[True, True, True], [True, False, False], [True, True, True]]
    assert found.sum() == 7


def test_projects_nested_datasets_one_dataset_and_its_annotations(tmp_path: Path) -> None:
    box = drawn("rectangle", **points([[20, 10], [49, 49]]))
    first = write(tmp_path, "first", "a.png", box)
    write(tmp_path, "first/datasets/inner", "a.png", box)
    write(tmp_path, "second", "a.png", box)
    paths = [photo.path for photo in read(tmp_path)[0].photos]
    parts = ("first", "second", "first/datasets/inner")
    assert paths == [tmp_path / part / "img" / "a.png" for part in parts]
    for path in (first, first / "ann"):
        record, _ = read(path)
        assert record.photos[0].path == first / "img" / "a.png"
        assert record.categories == ("hen", "frog")


def test_photos_elsewhere_are_named(tmp_path: Path) -> None:
    write(tmp_path, "ds", "a.png", photo=False)
    record, _ = read(tmp_path)
    assert (record.photos[0].name, record.photos[0].path) == ("a.png", None)
    assert record.folders == (tmp_path / "ds" / "img",)


def test_what_is_no_object_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    shapes = [
        drawn("rectangle", **points([[20, 10], [49, 49]])),
        drawn("point", **points([[1, 2]])),
        drawn("line", **points(SQUARE)),
        drawn("graph", nodes={}),
        drawn("bitmap", bitmap={"data": bomb, "origin": [0, 0]}),
        drawn("bitmap", **bitmap(np.ones((H + 1, 5), bool), [0, 0])),
        drawn("bitmap", bitmap={"data": "!", "origin": [0, 0]}),
        drawn("bitmap", bitmap={"data": base64.b64encode(zlib.compress(b"no PNG")).decode(), "origin": [0, 0]}),
        drawn("polygon", **points([[1, 2], [3, 4]], HOLE)),
        drawn("rectangle", **points([[1, 2]])),
        drawn("mask_3d"),
        drawn("rectangle", title="", **points([[20, 10], [49, 49]])),
    ]
    write(tmp_path, "ds", "a.png", *[shape | {"id": n} for n, shape in enumerate(shapes)])
    record, faults = read(tmp_path)
    assert [o.where for o in record.photos[0].objects] == ["object 0"]
    assert [f.where for f in faults.treated(REPAIRED)] == ["object 1", "object 2", "object 3"]
    refused = faults.treated(REFUSED)
    assert [f.where for f in refused] == [f"object {n}" for n in range(4, 12)]
    assert all(f.file == tmp_path / "ds" / "ann" / "a.png.json" for f in refused)
    assert "unpacks to more" in refused[0].detail
    assert "larger than its photo" in refused[1].detail


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "ds", "a.png")
    (folder / "ann" / "b.png.json").write_text("{broken")
    (folder / "ann" / "c.png.json").write_text('{"shapes": []}')
    record, faults = read(tmp_path)
    assert len(record.photos) == 1
    assert [f.file.name for f in faults.treated(REFUSED)] == ["b.png.json", "c.png.json"]
    with pytest.raises(EdgekitError, match=r"a\.png\.json: holds the annotations of one photo"):
        read(folder / "ann" / "a.png.json")
