"""What real files have that is not COCO's: read right where it has one plain meaning, else reported, all of it at once.

The first tests are the situations by which 37 of 140 public COCO files were refused (DESIGN.md, section 5).
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import REFUSED, AnnotationError, Faults, ReadingOptions
from edgekit.data.annotations.formats import collect_dataset, read_dataset
from edgekit.errors import EdgekitError

H, W = 90, 120
SQUARE = [10, 10, 40, 10, 40, 40, 10, 40]
OTHER = [60, 20, 100, 20, 100, 70, 60, 70]
BOW_TIE = [10, 10, 60, 60, 60, 10, 10, 60]

Row = dict[str, Any]


def box_of(polygon: list[float]) -> list[float]:
    x, y = polygon[::2], polygon[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def row(polygon: list[float] = SQUARE, **more: Any) -> Row:
    area = coco_mask.area(coco_mask.frPyObjects([polygon], H, W))[0] if len(polygon) > 4 else 1
    return {"bbox": box_of(polygon), "segmentation": [polygon], "area": float(area)} | more


def coco(folder: Path, rows: list[Row], **more: Any) -> AnnotationSource:
    """A set of two photos, with the annotations in the first unless they say otherwise; ``more`` replaces its lists."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (W, H), "white").save(folder / name)
    document = {
        "images": [{"id": i, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate("ab")],
        "categories": [{"id": 0, "name": "frog"}, {"id": 4, "name": "chicken"}],
        "annotations": [{"id": 40 + i, "image_id": 0, "category_id": 0, "iscrowd": 0} | r for i, r in enumerate(rows)],
    }
    (folder / "a.json").write_text(json.dumps(document | more))
    return AnnotationSource(folder / "a.json", (folder,))


def collected(source: AnnotationSource, **options: bool) -> tuple[Dataset, Faults]:
    faults = Faults(ReadingOptions(**options))
    return collect_dataset(source, faults), faults


def repaired(source: AnnotationSource) -> tuple[Any, list[str]]:
    """The first photo's annotations, and what was repaired; nothing is refused."""
    dataset, faults = collected(source)
    faults.raise_refused()
    return dataset.photos[0].annotations, sorted(faults.repaired())


def refused(source: AnnotationSource) -> AnnotationError:
    with pytest.raises(AnnotationError) as caught:
        read_dataset(source.path, *source.images)
    return caught.value


def test_an_unused_root_category_of_the_same_name(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "frog", "supercategory": "none"},
        {"id": 1, "name": "frog", "supercategory": "frog"},
    ]
    source = coco(tmp_path, [row(category_id=1)], categories=categories)
    (item,), what = repaired(source)
    assert item.category == "frog"
    assert collected(source)[0].categories == ("frog",)
    assert len(what) == 1
    assert "unused category" in what[0]


def test_a_crossing_polygon_is_filled_as_pycocotools_does(tmp_path: Path) -> None:
    (item,), what = repaired(coco(tmp_path, [row(BOW_TIE)]))
    filled = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([BOW_TIE], H, W)))
    assert np.array_equal(item.mask(), filled)
    assert item.bbox == (10, 10, 50, 50)
    assert what == ["a polygon crosses itself"]


@pytest.mark.parametrize("part", [[], [50, 50], [50, 50, 55, 55], [50, 50, 55, 55, 50, 50], [50, 50, 60, 60, 70, 70]])
def test_degenerate_parts_beside_good_ones_are_dropped(part: list[float], tmp_path: Path) -> None:
    good = row()
    (item,), what = repaired(coco(tmp_path, [good | {"segmentation": [SQUARE, part]}]))
    assert np.array_equal(item.mask(), coco_mask.decode(coco_mask.frPyObjects([SQUARE], H, W))[:, :, 0])
    assert item.bbox == tuple(good["bbox"])
    assert what == ["a part of the mask has no area"]


def test_a_box_around_dropped_parts_becomes_the_masks(tmp_path: Path) -> None:
    far = [110, 80, 118, 88]
    (item,), what = repaired(coco(tmp_path, [row(bbox=[10, 10, 108, 78], segmentation=[SQUARE, far])]))
    assert item.bbox == (10, 10, 30, 30)
    assert len(what) == 2


@pytest.mark.parametrize("outline", [[10, 10], [10, 10, 40, 40], [10, 10, 40, 40, 10, 10]])
def test_a_polygon_of_fewer_than_3_points_with_a_box_is_a_box(outline: list[float], tmp_path: Path) -> None:
    (item,), what = repaired(coco(tmp_path, [row(segmentation=[outline])]))
    assert item.segmentation is None
    assert item.bbox == (10, 10, 30, 30)
    assert what == ["its mask has fewer than 3 points or no area"]


@pytest.mark.parametrize("box", [[10, 10, 0, 30], [0, 0, 0, 0], [], None])
def test_a_box_without_size_is_derived_from_the_mask(box: Any, tmp_path: Path) -> None:
    (item,), what = repaired(coco(tmp_path, [row(bbox=box)]))
    assert item.bbox == (10, 10, 30, 30)
    assert len(what) == 1


def test_numbers_given_as_text(tmp_path: Path) -> None:
    images = [{"id": "0", "file_name": "a.png", "height": str(H), "width": f" {W} "}]
    text = {"bbox": ["10", "10", "30", "30"], "area": "900", "iscrowd": "0", "category_id": "0", "image_id": "0"}
    text["segmentation"] = [[str(v) for v in SQUARE]]  # type: ignore[assignment]
    (item,), what = repaired(coco(tmp_path, [text], images=images))
    assert item == repaired(coco(tmp_path, [row()]))[0][0]
    assert what == ["a number is given as text", "its iscrowd is not the number 0 or 1"]


@pytest.mark.parametrize("size", [{}, {"width": W}, {"width": 0, "height": 0}, {"width": None, "height": "?"}])
def test_a_missing_size_is_the_files(size: Row, tmp_path: Path) -> None:
    images = [{"id": 0, "file_name": "a.png"} | size]
    (item,), what = repaired(coco(tmp_path, [row()], images=images))
    assert item.segmentation["size"] == [H, W]
    assert len(what) == 1


@pytest.mark.parametrize("area", [-1, "much", float("nan"), 10**400, [5]])
def test_an_area_of_nonsense_is_derived(area: Any, tmp_path: Path) -> None:
    (item,), what = repaired(coco(tmp_path, [row(area=area)]))
    assert item.area == 900
    assert what == ["its area is not a positive number"]


@pytest.mark.parametrize(("given", "meant"), [("1", True), (True, True), ("false", False), (1.0, True), (0.0, False)])
def test_iscrowd_in_other_words(given: Any, meant: bool, tmp_path: Path) -> None:
    found, what = repaired(coco(tmp_path, [row(iscrowd=given), row(OTHER)]))
    assert [item.iscrowd for item in found] == [meant, False]
    assert what == ["its iscrowd is not the number 0 or 1"]


def test_exact_duplicates_are_one_object(tmp_path: Path) -> None:
    found, what = repaired(coco(tmp_path, [row(), row(), row(category_id=4), row(iscrowd=1)]))
    assert [(item.category, item.iscrowd) for item in found] == [("frog", False), ("chicken", False), ("frog", True)]
    assert what == ["is annotated twice, exactly alike"]


def test_one_flat_list_is_one_polygon(tmp_path: Path) -> None:
    (item,), what = repaired(coco(tmp_path, [row(segmentation=SQUARE)]))
    assert item.area == 900
    assert len(what) == 1


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    """Also those of photos, and all ids of a kind."""
    images = [{"id": i, "file_name": n, "height": H, "width": W} for i, n in enumerate(("a.png", "lost.png"))]
    rows = [row(), *[row(category_id=99) for _ in range(20)], row(bbox=[200, 10, 5, 5], segmentation=[]), row(BOW_TIE)]
    error = refused(coco(tmp_path, rows, images=images))
    said = str(error)
    assert "refused 20 x refers to a class that is not listed" in said
    assert "annotation 41" in said
    assert "and 12 more" in said
    assert "lost.png" in said
    assert "annotation 61" in said
    assert "--skip-bad-annotations and --skip-bad-images" in error.hint
    (listed,) = [r.places for r in error.faults.rows() if r.count == 20]
    assert len(listed) == 20
    assert listed[-1] == "annotation 60"
    assert error.faults.repaired() == {"a polygon crosses itself": 1}


def test_one_fault_is_one_line_with_its_remedy(tmp_path: Path) -> None:
    error = refused(coco(tmp_path, [row(), row(bbox=[200, 10, 5, 5], segmentation=[])]))
    assert str(error).startswith(f"{tmp_path / 'a.json'}: annotation 41: is outside the photo")
    assert "\n" not in str(error)
    assert "delete it" in error.hint
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "--skip-bad-annotations" in error.hint


def test_bad_annotations_are_left_out_on_request(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": n, "height": H, "width": W} for i, n in enumerate(("a.png", "lost.png"))]
    source = coco(tmp_path, [row(), row(category_id=99), row(OTHER, image_id=1)], images=images)
    dataset, faults = collected(source, skip_bad_annotations=True, skip_bad_images=True)
    faults.raise_refused()
    assert [len(photo.annotations) for photo in dataset.photos] == [1]
    assert [("annotation 41" in line, "lost.png" in line) for line in sorted(faults.left_out())] == [
        (True, False),
        (False, True),
    ]
    for options in ({"skip_bad_annotations": True}, {"skip_bad_images": True}):
        with pytest.raises(AnnotationError):
            read_dataset(source.path, *source.images, options=ReadingOptions(**options))


def test_where_nothing_can_be_used_it_is_said_even_if_all_may_be_left_out(tmp_path: Path) -> None:
    source = coco(tmp_path, [row(category_id=9), row(bbox=[10, 10, 0, 0], segmentation=[])])
    options = ReadingOptions(skip_bad_annotations=True)
    with pytest.raises(AnnotationError) as caught:
        read_dataset(source.path, *source.images, options=options)
    for part in ("nothing that it annotates can be used", "annotation 40", "annotation 41", "not listed", "no size"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"categories": [{"id": 0, "name": "frog"}, {"id": 4, "name": "frog"}]}, "annotation 41"),
        (
            {"categories": [{"id": 0, "name": "frog"}, {"id": 4, "name": "hen"}, {"id": 4, "name": "ox"}]},
            "annotation 41",
        ),
        ({"images": [{"id": 0, "file_name": n, "height": H, "width": W} for n in ("a.png", "b.png")]}, "b.png"),
        ({"images": [{"id": i, "file_name": "a.png", "height": H, "width": W} for i in (0, 1)]}, "a.png"),
    ],
)
def test_what_could_mean_two_things_is_refused(more: Row, named: str, tmp_path: Path) -> None:
    error = refused(coco(tmp_path, [row(), row(OTHER, category_id=4)], **more))
    assert any(named in str(fault) for fault in error.faults.treated(REFUSED))


FAR = [10.0, 10.0, 1e10, 10.0, 1e10, 40.0, 10.0, 40.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"segmentation": [FAR]},
        {"segmentation": [[3e7 if v == 1e10 else v for v in FAR]]},
        {"segmentation": [[float("inf") if v == 1e10 else v for v in FAR]]},
        {"segmentation": [[10**400, *SQUARE[1:]]]},
        {"segmentation": [["x", *SQUARE[1:]]]},
        {"segmentation": [[None, *SQUARE[1:]]]},
        {"segmentation": [{}]},
        {"segmentation": "text"},
        {"segmentation": [[[SQUARE]]]},
        {"bbox": [10, 10, 1e10, 5]},
        {"bbox": [10, 10, True, 5]},
        {"bbox": "10 10 5 5"},
        {"bbox": {"x": 1}},
        {"bbox": [[10], [10], [5], [5]]},
        {"bbox": [10, 10, 10**400, 5]},
        {"segmentation": {"size": [H, W], "counts": [1 << 40, 5]}},
        {"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}},
        {"iscrowd": "maybe"},
    ],
)
def test_values_that_could_do_harm_are_named(bad: Row, tmp_path: Path) -> None:
    assert "annotation 41" in str(refused(coco(tmp_path, [row(), row(**bad)])))


def test_a_listed_size_is_never_allocated(tmp_path: Path) -> None:
    images = [{"id": 0, "file_name": "a.png", "height": 10**7, "width": 10**7}]
    error = refused(coco(tmp_path, [row()], images=images))
    assert "is 120x90 pixels, its annotations say 10000000x10000000" in str(error)


def test_photos_annotated_as_they_are_stored_are_told_by_their_exif(tmp_path: Path) -> None:
    source = coco(tmp_path, [row()])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (W, H)).save(tmp_path / "a.png", exif=exif)
    error = refused(source)
    assert "EXIF" in str(error)
    assert "--skip" not in error.hint, "what is left of such a set is no better"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"annotations": [{"image_id": 0, "segments_info": []}]}, "panoptic"),
        ({"annotations": [{"image_id": 0, "id": 1, "caption": "a frog"}]}, "captions"),
        ({"annotations": [{"image_id": 0, "id": 1, "category_id": 0, "keypoints": [1, 2, 2]}]}, "keypoints"),
        ([{"image_id": 0, "category_id": 0, "bbox": [1, 1, 5, 5], "score": 0.5}], "detections"),
    ],
)
def test_other_json_of_coco_is_named(document: Any, named: str, tmp_path: Path) -> None:
    source = coco(tmp_path, [])
    whole = json.loads(source.path.read_text()) | document if isinstance(document, dict) else document
    source.path.write_text(json.dumps(whole))
    with pytest.raises(EdgekitError, match=named):
        read_dataset(source.path, *source.images)


def test_formats_that_conflict_in_one_folder_are_both_named(tmp_path: Path) -> None:
    coco(tmp_path, [row()])
    assert len(read_dataset(tmp_path, tmp_path).photos) == 2
    (tmp_path / "a.xml").write_text("<annotation><filename>a.png</filename></annotation>")
    with pytest.raises(EdgekitError, match="COCO and Pascal VOC"):
        read_dataset(tmp_path, tmp_path)


def test_a_set_that_is_all_crowds_names_the_option(tmp_path: Path) -> None:
    source = coco(tmp_path, [row(iscrowd=1), row(OTHER, iscrowd=1)])
    assert "--crowd-as-objects" in str(refused(source))
    dataset, faults = collected(source, crowd_as_objects=True)
    faults.raise_refused()
    assert [item.iscrowd for item in dataset.photos[0].annotations] == [False, False]
    assert faults.repaired() == {"is marked iscrowd": 2}


def test_more_objects_than_pycocotools_counts_at_once(tmp_path: Path) -> None:
    """pycocotools 2.0.11 counts the pixels of at most 255 masks in one call."""
    squares = [[x, y, x + 3, y, x + 3, y + 3, x, y + 3] for x in range(0, 100, 4) for y in range(0, 84, 4)]
    assert len(squares) > 300
    dataset, faults = collected(coco(tmp_path, [row(square) for square in squares]))
    assert len(dataset.photos[0].annotations) == len(squares)
    assert faults.found == []


def test_boxes_of_unturned_photos_are_named_without_listed_sizes_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = coco(tmp_path, [{"bbox": [W - 30, 10, 28, 20]}], images=[{"id": 0, "file_name": "a.png"}])
    Image.new("RGB", (W, H)).save(tmp_path / "a.png", exif=exif)
    assert "EXIF" in str(refused(source))
