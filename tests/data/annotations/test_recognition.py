"""One photo with a frog's mask and a chicken's box, as each tool exports it: told apart, and read alike."""

from __future__ import annotations

import base64
import functools
import io
import json
import operator
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edgekit.cli import cli
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.formats import FORMATS, collect_dataset, detect_format, read_dataset
from edgekit.errors import EdgekitError

H, W = 90, 120
FROG = [20, 10, 70, 10, 70, 64, 20, 64]  # the mask's corners: rows 10 to 63, columns 20 to 69
PAIRS = [[x, y] for x, y in zip(FROG[::2], FROG[1::2], strict=True)]
CHICKEN = {"x": 80, "y": 30, "width": 32, "height": 50}
MASK = np.zeros((H, W), bool)
MASK[10:64, 20:70] = True


def coco(folder: Path, name: str = "a.json", categories: list[dict[str, Any]] | None = None) -> Path:
    frog = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 10, 50, 54], "segmentation": [FROG], "area": 2700}
    hen = {"id": 2, "image_id": 1, "category_id": 2, "bbox": list(CHICKEN.values()), "segmentation": [], "area": 1600}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": W, "height": H}],
        "annotations": [frog | {"iscrowd": 0}, hen | {"iscrowd": 0}],
        "categories": categories or [{"id": 1, "name": "frog"}, {"id": 2, "name": "chicken"}],
    }
    return written(folder / name, document)


def labelme(folder: Path) -> Path:
    x, y, w, h = CHICKEN.values()
    frog = {"label": "frog", "points": PAIRS, "shape_type": "polygon"}
    hen = {"label": "chicken", "points": [[x, y], [x + w, y + h]], "shape_type": "rectangle"}
    size = {"imageHeight": H, "imageWidth": W}
    return written(folder / "a.json", {"version": "5", "imagePath": "a.png", "shapes": [frog, hen]} | size).parent


def yolo(folder: Path) -> Path:
    x, y, w, h = (v / (W, H)[i % 2] for i, v in enumerate(CHICKEN.values()))
    frog = " ".join(str(v / (W, H)[i % 2]) for i, v in enumerate(FROG))
    (folder / "a.txt").write_text(f"0 {frog}\n1 {x + w / 2} {y + h / 2} {w} {h}\n")
    (folder / "data.yaml").write_text("names: [frog, chicken]\n")
    return folder / "data.yaml"


def cvat(folder: Path) -> Path:
    x, y, w, h = CHICKEN.values()
    points = ";".join(f"{a},{b}" for a, b in PAIRS)
    shapes = f'<polygon label="frog" points="{points}"/><box label="chicken" xtl="{x}" ytl="{y}" xbr="{x + w}" '
    shapes += f'ybr="{y + h}"/>'
    image = f'<image id="0" name="a.png" width="{W}" height="{H}">{shapes}</image>'
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    return folder / "annotations.xml"


def label_studio(folder: Path) -> Path:
    def percent(x: float, y: float) -> list[float]:
        return [100 * x / W, 100 * y / H]

    size = {"original_width": W, "original_height": H, "image_rotation": 0}
    outline = {"points": [percent(x, y) for x, y in PAIRS], "closed": True, "polygonlabels": ["frog"]}
    numbers = [*percent(CHICKEN["x"], CHICKEN["y"]), *percent(CHICKEN["width"], CHICKEN["height"])]
    box = dict(zip(CHICKEN, numbers, strict=True)) | {"rectanglelabels": ["chicken"]}
    results = [{"id": "1", "type": "polygonlabels", "value": outline} | size]
    results += [{"id": "2", "type": "rectanglelabels", "value": box} | size]
    task = {"id": 7, "data": {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"result": results}]}
    return written(folder / "project-1.json", [task])


def labelbox(folder: Path) -> Path:
    box = {"left": CHICKEN["x"], "top": CHICKEN["y"], "width": CHICKEN["width"], "height": CHICKEN["height"]}
    objects = [
        {"name": "frog", "polygon": [{"x": x, "y": y} for x, y in PAIRS]},
        {"name": "chicken", "bounding_box": box},
    ]
    row = {"data_row": {"id": "r", "external_id": "a.png"}, "media_attributes": {"height": H, "width": W}}
    row["projects"] = {"p": {"name": "farm", "labels": [{"annotations": {"objects": objects}}]}}
    return written(folder / "export.ndjson", row)


def supervisely(folder: Path) -> Path:
    for part in ("ds/ann", "ds/img"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (W, H), "white").save(folder / "ds" / "img" / "a.png")
    packed = io.BytesIO()
    Image.fromarray(MASK[10:64, 20:70]).save(packed, "PNG")
    data = base64.b64encode(zlib.compress(packed.getvalue())).decode()
    x, y, w, h = CHICKEN.values()
    corners = {"exterior": [[x, y], [x + w - 1, y + h - 1]], "interior": []}
    objects = [
        {"classTitle": "frog", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [20, 10]}},
        {"classTitle": "chicken", "geometryType": "rectangle", "points": corners},
    ]
    written(folder / "ds/ann/a.png.json", {"size": {"height": H, "width": W}, "objects": objects})
    return written(folder / "meta.json", {"classes": [{"title": "frog"}, {"title": "chicken"}], "tags": []}).parent


def via(folder: Path) -> Path:
    frog = {"name": "polygon", "all_points_x": FROG[::2], "all_points_y": FROG[1::2]}
    regions = [
        {"shape_attributes": frog, "region_attributes": {"kind": "frog"}},
        {"shape_attributes": {"name": "rect"} | CHICKEN, "region_attributes": {"kind": "chicken"}},
    ]
    image = {"filename": "a.png", "size": 99, "regions": regions, "file_attributes": {}}
    return written(folder / "via_export_json.json", {"a.png99": image})


def written(file: Path, document: Any) -> Path:
    file.write_text(json.dumps(document))
    return file


WRITERS: dict[str, Callable[[Path], Path]] = {
    "COCO": coco,
    "YOLO": yolo,
    "LabelMe": labelme,
    "CVAT": cvat,
    "Label Studio": label_studio,
    "Labelbox": labelbox,
    "Supervisely": supervisely,
    "VIA": via,
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the photo, in which the formats write their files too."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (W, H), "white").save(folder / "a.png")
    return folder


def check_same(dataset: Dataset) -> None:
    (photo,) = dataset.photos
    assert (photo.path.name, photo.width, photo.height) == ("a.png", W, H)
    frog, chicken = photo.annotations
    assert (frog.category, chicken.category) == ("frog", "chicken")
    assert (frog.mask() == MASK).all()
    assert frog.bbox == pytest.approx((20, 10, 50, 54))
    assert chicken.bbox == pytest.approx(tuple(CHICKEN.values()))
    assert chicken.segmentation is None


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_is_known_by_its_content_and_read_alike(name: str, photos: Path) -> None:
    given = WRITERS[name](photos)
    for path in dict.fromkeys((given, photos)):  # the file or project, and the folder that holds it
        source = AnnotationSource(path, (photos,))
        assert [form.name for form in FORMATS if form.recognises(source)] == [name]
        check_same(read_dataset(path, photos))


def test_every_format_but_voc_without_masks_is_tried_here() -> None:
    assert {form.name for form in FORMATS} == {*WRITERS, "Pascal VOC"}


@pytest.mark.parametrize("first", WRITERS)
def test_two_formats_in_a_folder_are_both_named(first: str, photos: Path) -> None:
    WRITERS[first](photos)
    second = "VIA" if first in ("COCO", "LabelMe") else "COCO"
    WRITERS[second](photos)
    with pytest.raises(EdgekitError, match=f"({first} and {second}|{second} and {first})"):
        read_dataset(photos, photos)


def places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are in a JSON document."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield (*place, key)
        yield from places(document[key], (*place, key))


@pytest.mark.parametrize("name", ["Label Studio", "Labelbox", "Supervisely", "VIA"])
def test_a_value_of_another_type_is_an_error_that_names_a_file(name: str, photos: Path) -> None:
    given = WRITERS[name](photos)
    file = given / "ds" / "ann" / "a.png.json" if given.is_dir() else given
    text, silent = file.read_text(), []
    for place in places(json.loads(text)):
        for value in (None, "x", [[]]):
            document = json.loads(text)
            functools.reduce(operator.getitem, place[:-1], document)[place[-1]] = value
            file.write_text(json.dumps(document))
            try:
                read_dataset(given, photos)
            except EdgekitError as error:
                silent += [] if str(photos) in error.message else [(place, value, error.message)]
    assert silent == []


ROOT = [
    {"id": 0, "name": "farm", "supercategory": "none"},
    {"id": 1, "name": "frog", "supercategory": "farm"},
    {"id": 2, "name": "chicken", "supercategory": "farm"},
]


@pytest.mark.parametrize("images", ["train", "."])
def test_roboflow_s_coco_folders_stand_for_their_split_train(images: str, tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (W, H)).save(tmp_path / split / "a.png")
        coco(tmp_path / split, "_annotations.coco.json", ROOT)
    faults = Faults()
    dataset = collect_dataset(AnnotationSource(tmp_path, (tmp_path / images,)), faults)
    check_same(dataset)
    assert dataset.categories == ("frog", "chicken")
    assert [str(fault.detail) for fault in faults.found] == ["train, valid, test; train is read"]
    assert dataset.photos[0].path == tmp_path / "train" / "a.png"
    valid = read_dataset(tmp_path, tmp_path / "valid", split="val")
    assert valid.file == tmp_path / "valid" / "_annotations.coco.json"
    assert read_dataset(tmp_path / "test", tmp_path / "test").photos[0].path == tmp_path / "test" / "a.png"


def test_roboflow_s_voc_folders_have_photos_and_xml_side_by_side(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (W, H)).save(tmp_path / split / "a.png")
        box = "<xmin>81</xmin><ymin>31</ymin><xmax>112</xmax><ymax>80</ymax>"
        (tmp_path / split / "a.xml").write_text(
            f"<annotation><folder/><filename>a.png</filename><size><width>{W}</width><height>{H}</height></size>"
            f"<object><name>chicken</name><difficult>0</difficult><bndbox>{box}</bndbox></object></annotation>"
        )
    (photo,) = read_dataset(tmp_path, tmp_path / "train").photos
    assert photo.path == tmp_path / "train" / "a.png"
    assert photo.annotations[0].bbox == pytest.approx(tuple(CHICKEN.values()))


def test_roboflow_s_yolo_folders_are_named_one_level_too_high(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for part in ("images", "labels"):
            (tmp_path / split / part).mkdir(parents=True)
        Image.new("RGB", (W, H)).save(tmp_path / split / "images" / "a.png")
        yolo(tmp_path / split / "labels")
        (tmp_path / split / "labels" / "data.yaml").unlink()
    lines = "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['frog', 'chicken']\n"
    (tmp_path / "data.yaml").write_text(lines)
    check_same(read_dataset(tmp_path, tmp_path / "train" / "images"))
    check_same(read_dataset(tmp_path, tmp_path, split="val"))


def test_the_folder_annotations_of_a_folder_is_looked_into(photos: Path) -> None:
    inner = photos / "annotations"
    inner.mkdir()
    coco(inner, "instances_default.json")
    check_same(read_dataset(photos, photos))
    coco(inner, "instances_other.json")
    with pytest.raises(EdgekitError, match=r"instances_default\.json, instances_other\.json"):
        read_dataset(photos, photos)


@pytest.mark.parametrize("name", ["export.zip", "task.tar.gz"])
def test_archives_are_to_be_unpacked(name: str, photos: Path) -> None:
    (photos / name).write_bytes(b"PK")
    with pytest.raises(EdgekitError, match="is an archive") as caught:
        detect_format(AnnotationSource(photos / name))
    assert "unpack it" in caught.value.hint


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"dm_format_version": "1.0", "categories": {"label": {}}, "items": []}, "Datumaro"),
        ([{"image": "a.png", "annotations": [{"label": "frog", "coordinates": {}}]}], "CreateML"),
        ({"version": "2.0", "item": {"name": "a.png"}, "annotations": []}, "Darwin"),
    ],
)
def test_formats_of_other_tools_are_named(document: Any, name: str, photos: Path) -> None:
    with pytest.raises(EdgekitError, match=rf"a\.json: is {name}") as caught:
        read_dataset(written(photos / "a.json", document), photos)
    assert "COCO" in caught.value.hint


@pytest.mark.parametrize("command", ["adapt", "eval"])
def test_the_help_of_commands_names_every_format(command: str) -> None:
    shown = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert [form.name for form in FORMATS if form.name not in shown] == []
