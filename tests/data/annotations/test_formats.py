"""The same objects written in each format must be read as the same boxes, masks and classes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from edgekit.data.annotations.dataset import Annotation, Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.errors import EdgekitError

H, W = 90, 120
FROG = [20, 10, 60, 12, 70, 50, 40, 64, 14, 44]  # x, y, ...
HEN = [80, 30, 112, 30, 112, 80, 80, 80]
PARTS = [[10, 66, 30, 66, 30, 84, 10, 84], [44, 68, 66, 68, 66, 86, 44, 86]]  # one object, hidden in its middle
NAMES = ["chicken", "frog"]


def raster(*polygons: list[float]) -> np.ndarray:
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(list(polygons), H, W))).astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def bounds(polygon: list[float]) -> tuple[float, float, float, float]:
    x, y = polygon[::2], polygon[1::2]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def photos(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        picture = Image.new("RGB", (W, H), "white")
        ImageDraw.Draw(picture).polygon([float(v) for v in FROG], "green")
        picture.save(folder / name)
    return folder


def write_yolo(root: Path, rows: dict[str, str], split: str = "train", **config: Any) -> Path:
    photos(root / "images" / split, *(f"{name}.png" for name in rows))
    labels = root / "labels" / split
    labels.mkdir(parents=True, exist_ok=True)
    for name, text in rows.items():
        if text:
            (labels / f"{name}.txt").write_text(text)
    lines = [f"{k}: {json.dumps(v)}" for k, v in ({"names": NAMES, split: f"images/{split}"} | config).items()]
    (root / "data.yaml").write_text("\n".join(lines))
    return root / "images" / split


def yolo_row(kind: int, polygon: list[float]) -> str:
    return f"{kind} " + " ".join(f"{v / (W, H)[i % 2]:.6f}" for i, v in enumerate(polygon)) + "\n"


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def pairs(polygon: list[float]) -> list[list[float]]:
    return [list(p) for p in zip(polygon[::2], polygon[1::2], strict=True)]


def write_labelme(folder: Path, shapes: dict[str, list[dict[str, Any]]]) -> Path:
    photos(folder, *(f"{name}.png" for name in shapes))
    for name, drawn in shapes.items():
        document = {"version": "5.4.1", "imagePath": f"{name}.png", "imageData": None, "shapes": drawn}
        (folder / f"{name}.json").write_text(json.dumps(document | {"imageHeight": H, "imageWidth": W}))
    return folder


def write_voc(root: Path, objects: dict[str, list[tuple[str, list[float], int]]]) -> Path:
    photos(root / "JPEGImages", *(f"{name}.png" for name in objects))
    (root / "Annotations").mkdir()
    for name, listed in objects.items():
        text = f"<annotation><filename>{name}.png</filename><size><width>{W}</width><height>{H}</height></size>"
        for label, (x, y, w, h), difficult in listed:
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + w, y + h), strict=True)
            sides = "".join(f"<{k}>{v:g}</{k}>" for k, v in corners)
            text += f"<object><name>{escape(label)}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox>"
            text += "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        (root / "Annotations" / f"{name}.xml").write_text(text + "</annotation>")
    return root


def by_photo(dataset: Dataset) -> dict[str, tuple[Annotation, ...]]:
    return {p.path.stem: p.annotations for p in dataset.photos}


def check_same(found: tuple[Annotation, ...], masks: bool = True) -> None:
    assert [a.category for a in found] == ["frog", "chicken"]
    for item, polygon in zip(found, (FROG, HEN), strict=True):
        assert item.bbox == pytest.approx(bounds(polygon), abs=1.01)
        if masks:
            assert iou(item.mask(), raster(polygon)) > 0.95
        else:
            assert item.segmentation is None


@pytest.mark.parametrize("given", ["data.yaml", ".", "labels/train"])
def test_yolo_polygons(given: str, tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"a": yolo_row(1, FROG) + yolo_row(0, HEN), "empty": ""})
    found = by_photo(read_dataset(tmp_path / given, images))
    check_same(found["a"])
    assert found["empty"] == ()


def test_yolo_boxes_have_no_mask(tmp_path: Path) -> None:
    rows = ""
    for kind, (x, y, w, h) in ((1, bounds(FROG)), (0, bounds(HEN))):
        rows += f"{kind} {(x + w / 2) / W} {(y + h / 2) / H} {w / W} {h / H}\n"
    images = write_yolo(tmp_path, {"a": rows}, names={0: "chicken", 1: "frog"})
    check_same(by_photo(read_dataset(tmp_path, images))["a"], masks=False)


def test_yolo_object_whose_parts_a_converter_joined(tmp_path: Path) -> None:
    first, second = PARTS  # there and back on one line, as ultralytics' merge_multi_segment draws it
    joined = first + first[:2] + second + second[:2]
    images = write_yolo(tmp_path, {"a": yolo_row(0, joined)})
    (item,) = by_photo(read_dataset(tmp_path, images))["a"]
    assert iou(item.mask(), raster(*PARTS)) > 0.95


def test_yolo_class_ids_given_twice_are_refused(tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"a": yolo_row(0, HEN)})
    config = tmp_path / "data.yaml"
    config.write_text("names:\n  0: chicken\n  0: frog\n")
    with pytest.raises(EdgekitError, match=r"data\.yaml.*0 is given twice.*line 2"):
        read_dataset(config, images)


def test_yolo_splits_are_not_mixed(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": yolo_row(1, FROG)})
    images = write_yolo(tmp_path, {"b": yolo_row(0, HEN)}, "val", train="images/train")
    assert list(by_photo(read_dataset(tmp_path / "data.yaml", images))) == ["b"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7 0.5 0.5 0.2 0.2", "line 1.*class|class.*line 1|line 1.*7"),
        ("0 0.5 0.5 0.2", "line 1"),
        ("0 0.5 x 0.2 0.2", "line 1"),
        ("0 0.5 nan 0.2 0.2", "line 1"),
        ("0 0.5 0.5 0 0.2", "line 1"),
        ("0 0.5 0.5 -0.2 0.2", "line 1"),
        ("0 1.5 1.5 0.2 0.2", "line 1"),
        ("0 60 45 30 20", "line 1"),
        ("0 0.1 0.1 0.2 0.2 0.1 0.1", "line 1"),
    ],
)
def test_yolo_bad_rows_are_named(row: str, message: str, tmp_path: Path) -> None:
    images = write_yolo(tmp_path, {"bad": row})
    with pytest.raises(EdgekitError, match=rf"bad\.txt.*(?:{message})") as caught:
        read_dataset(tmp_path, images)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_labelme_polygons(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path, {"a": [shape("frog", pairs(FROG)), shape("chicken", pairs(HEN))], "empty": []})
    found = by_photo(read_dataset(folder, folder))
    check_same(found["a"])
    assert found["empty"] == ()


def test_labelme_photos_elsewhere_under_a_windows_path(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path / "json", {"a": [shape("frog", pairs(FROG))]})
    file = folder / "a.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"imagePath": "..\\photos\\a.png"}))
    images = tmp_path / "photos"
    (folder / "a.png").rename(photos(images) / "a.png")
    assert read_dataset(folder, images).photos[0].path.resolve() == images / "a.png"


def test_labelme_circle_is_round(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path, {"a": [shape("frog", [[60, 45], [60, 70]], "circle")]})
    (item,) = read_dataset(folder, folder).photos[0].annotations
    ys, xs = np.mgrid[:H, :W] + 0.5
    assert iou(item.mask(), (xs - 60) ** 2 + (ys - 45) ** 2 <= 25**2) > 0.95


def test_labelme_rectangle_with_corners_in_any_order(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path, {"a": [shape("frog", [[112, 30], [80, 80]], "rectangle")]})
    (item,) = read_dataset(folder, folder).photos[0].annotations
    assert item.bbox == pytest.approx((80, 30, 32, 50))


def test_labelme_mask(tmp_path: Path) -> None:
    whole = raster(FROG)
    ys, xs = np.nonzero(whole)
    y0, y1, x0, x1 = ys.min(), ys.max(), xs.min(), xs.max()
    stream = io.BytesIO()
    Image.fromarray(whole[y0 : y1 + 1, x0 : x1 + 1]).save(stream, "PNG")  # mode 1, as labelme writes it
    corners = [[float(x0), float(y0)], [float(x1), float(y1)]]
    drawn = shape("frog", corners, "mask", mask=base64.b64encode(stream.getvalue()).decode())
    (item,) = read_dataset(folder := write_labelme(tmp_path, {"a": [drawn]}), folder).photos[0].annotations
    assert np.array_equal(item.mask(), whole)


def test_labelme_group_is_one_object(tmp_path: Path) -> None:
    drawn = [shape("frog", pairs(p), group_id=3) for p in PARTS] + [shape("chicken", pairs(HEN), group_id=3)]
    found = by_photo(read_dataset(folder := write_labelme(tmp_path, {"a": drawn}), folder))["a"]
    assert [a.category for a in found] == ["frog", "chicken"]
    assert iou(found[0].mask(), raster(*PARTS)) > 0.95


@pytest.mark.parametrize(
    "drawn",
    [
        shape("frog", [[1, 1], [9, 9]]),
        shape("frog", [[200, 10], [240, 10], [240, 40]]),
        shape("frog", [[5, 5]], "point"),
    ],
    ids=["two points", "outside", "point"],
)
def test_labelme_bad_shapes_are_named(drawn: dict[str, Any], tmp_path: Path) -> None:
    folder = write_labelme(tmp_path, {"a": [shape("frog", pairs(FROG)), drawn]})
    with pytest.raises(EdgekitError, match=r"a\.json.*shape 2"):
        read_dataset(folder, folder)


@pytest.mark.parametrize("inner", ["", "Annotations"])
def test_voc_boxes_without_masks(inner: str, tmp_path: Path) -> None:
    listed = [("frog", list(bounds(FROG)), 0), ("chicken", list(bounds(HEN)), 1)]
    root = write_voc(tmp_path, {"a": listed, "empty": []})
    found = by_photo(read_dataset(root / inner, root / "JPEGImages"))
    check_same(found["a"], masks=False)
    assert found["a"][0].bbox == bounds(FROG)
    assert [a.iscrowd for a in found["a"]] == [False, True]
    assert found["empty"] == ()


@pytest.mark.parametrize("box", [[200, 10, 20, 20], [10, 10, -4, 20], [float("nan"), 1, 5, 5]])
def test_voc_bad_boxes_are_named(box: list[float], tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"a": [("frog", box, 0)]})
    with pytest.raises(EdgekitError, match=r"a\.xml.*object 1"):
        read_dataset(root, root / "JPEGImages")


def test_folder_of_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"(?s)YOLO.*LabelMe|labelme|Pascal"):
        read_dataset(tmp_path, photos(tmp_path, "a.png"))


def read_coco(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Dataset:
    photos(tmp_path, "a.png", "b.png")
    images = [{"id": i, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate("ab")]
    document = {"images": images, "categories": [{"id": 0, "name": "frog"}, {"id": 4, "name": "chicken"}]}
    numbered = [{"id": 40 + i, "image_id": 0, "category_id": 0} | r for i, r in enumerate(rows)]
    (tmp_path / "a.json").write_text(json.dumps(document | {"annotations": numbered} | more))
    return read_dataset(tmp_path / "a.json", tmp_path)


def test_coco_category_0_negatives_and_crowds(tmp_path: Path) -> None:
    crowd = coco_mask.encode(np.asfortranarray(raster(HEN).astype(np.uint8)))
    segmentation = {"size": crowd["size"], "counts": crowd["counts"].decode()}
    dataset = read_coco(
        tmp_path,
        [
            {"bbox": bounds(FROG), "segmentation": [FROG]},
            {"bbox": bounds(HEN), "segmentation": segmentation, "iscrowd": 1, "category_id": 4},
        ],
    )
    check_same(by_photo(dataset)["a"])
    assert [a.iscrowd for a in by_photo(dataset)["a"]] == [False, True]
    assert by_photo(dataset)["b"] == ()


GOOD = {"bbox": bounds(FROG), "segmentation": [FROG]}


@pytest.mark.parametrize(
    "row",
    [
        {"bbox": [W + 5, 10, 20, 20]},
        {"bbox": [10, 10, 0, 20]},
        {"bbox": [10, 10, 20, 10**400]},
        {"bbox": [10, 10, -5, 20]},
        {"bbox": [10, float("nan"), 5, 20]},
        {"bbox": [10, 10, 5]},
        {"bbox": [10, 10, 0, 0], "segmentation": [[10, 10, 60, 60]]},
        {"bbox": [10, 10, 50, 50], "segmentation": [[10, 10, 60, 60, 35]]},
        {"bbox": [10, 10, 50, 50], "segmentation": [[500, 500, 560, 500, 560, 560]]},
        {"bbox": [10, 10, 50, 50], "segmentation": {"size": [W, H], "counts": [H * W]}},
        {"bbox": [10, 10, 50, 50], "segmentation": {"size": [H, W], "counts": [5, 5]}},
        {"bbox": [10, 10, 50, 50], "segmentation": {"size": [H, W], "counts": [H * W]}},
        {"bbox": [10, 10, 50, 50], "iscrowd": 2},
        {"segmentation": []},
    ],
)  # fmt: skip
def test_coco_bad_annotations_are_named(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"a\.json.*annotation 41") as caught:
        read_coco(tmp_path, [GOOD, row])
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_coco_overshoot_is_clipped_and_inner_boxes_keep_their_bits(tmp_path: Path) -> None:
    inside = [0.1, 0.2, 30.3, 40.7]
    found = by_photo(read_coco(tmp_path, [{"bbox": inside}, {"bbox": [-1.5, -1, W + 2, H + 1.5]}]))["a"]
    assert list(found[0].bbox) == inside
    assert found[1].bbox == (0, 0, W, H)


def test_polygon_that_touches_itself_or_has_a_tiny_loop_is_read(tmp_path: Path) -> None:
    touching = [10, 10, 40, 10, 40, 40, 60, 40, 60, 60, 40, 60, 40, 40, 10, 40]
    looped = [10, 10, 60, 10, 60, 60, 10, 60, 10, 31, 9, 30, 10, 30, 9, 31, 10, 29]
    found = by_photo(read_coco(tmp_path, [{"bbox": [9, 9, 51, 51], "segmentation": [p]} for p in (touching, looped)]))
    assert [round(a.mask().sum(), -2) for a in found["a"]] == [1300, 2500]


@pytest.mark.parametrize(
    "more",
    [
        {"categories": [{"id": 0, "name": "frog"}, {"id": 0, "name": "chicken"}]},
        {"images": [{"id": 0, "file_name": f, "height": H, "width": W} for f in ("a.png", "b.png")]},
        {"images": [{"id": i, "file_name": "a.png", "height": H, "width": W} for i in (0, 1)]},
        {"images": [{"id": i, "file_name": f, "height": H, "width": W} for i, f in enumerate(("a.png", "./a.png"))]},
        {"images": [{"id": 0, "file_name": "a.png", "height": W, "width": H}]},
    ],
    ids=["category id", "image id", "file", "file spelt otherwise", "size"],
)
def test_coco_collisions_are_refused(more: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"\.json|\.png"):
        read_coco(tmp_path, [GOOD], **more)
