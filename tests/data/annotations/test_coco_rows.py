"""Rows of COCO JSON are judged one by one: a bad one is named, and the others are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import LEFT_OUT, REFUSED, REPAIRED, AnnotationError, Faults, ReadingOptions
from edgekit.data.annotations.formats import collect_dataset
from edgekit.errors import EdgekitError

IMAGE = {"id": 7, "file_name": "a.png", "height": 40, "width": 60}
FROG = {"id": 5, "name": "frog"}
GOOD = {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 10, 10, 10]}


def read(folder: Path, document: dict[str, Any], skips: bool = False) -> tuple[Dataset, Faults]:
    """The set of one good annotation and what ``document`` adds to its lists."""
    Image.new("RGB", (60, 40), "white").save(folder / "a.png")
    lists: dict[str, list[Any]] = {"images": [IMAGE], "categories": [FROG], "annotations": [GOOD]}
    (folder / "a.json").write_text(json.dumps({key: rows + document.get(key, []) for key, rows in lists.items()}))
    faults = Faults(ReadingOptions(skip_bad_annotations=skips))
    return collect_dataset(AnnotationSource(folder / "a.json", (folder,)), faults), faults


def without(row: dict[str, Any], key: str, **more: Any) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != key} | more


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"annotations": [without(GOOD, "category_id", id=9)]}, "annotation 9"),
        ({"annotations": [without(GOOD, "image_id", id=9)]}, "annotation 9"),
        ({"annotations": [GOOD | {"id": 9, "category_id": None}]}, "annotation 9"),
        ({"annotations": [None]}, "annotation 2"),
        ({"annotations": [[1]]}, "annotation 2"),
        ({"images": [without(IMAGE, "id")]}, "image 2"),
        ({"images": [IMAGE | {"id": None}]}, "image 2"),
        ({"images": [None]}, "image 2"),
        ({"categories": [{"id": 2}], "annotations": [GOOD | {"id": 9, "category_id": 2}]}, "annotation 9"),
        (
            {"categories": [{"id": 2, "name": None}], "annotations": [GOOD | {"id": 9, "category_id": 2}]},
            "annotation 9",
        ),
        (
            {"categories": [{"id": 2, "name": "  "}], "annotations": [GOOD | {"id": 9, "category_id": 2}]},
            "annotation 9",
        ),
    ],
)
def test_a_bad_row_is_named_and_can_be_skipped(document: dict[str, Any], where: str, tmp_path: Path) -> None:
    _, faults = read(tmp_path, document)
    assert [f.where for f in faults.treated(REFUSED)] == [where]
    with pytest.raises(AnnotationError, match=rf"a\.json: {where}: .*--skip-bad-annotations"):
        faults.raise_refused()
    dataset, faults = read(tmp_path, document, skips=True)
    faults.raise_refused()
    assert [f.where for f in faults.treated(LEFT_OUT)] == [where]
    assert dataset.categories == ("frog",)
    assert [[a.bbox for a in photo.annotations] for photo in dataset.photos] == [[(10, 10, 10, 10)]]


@pytest.mark.parametrize("category", [{"id": 2}, {"id": 2, "name": None}, {"id": 2, "name": "  "}, None, {"name": "x"}])
def test_an_unused_category_without_a_name_or_id_is_omitted(category: Any, tmp_path: Path) -> None:
    dataset, faults = read(tmp_path, {"categories": [category]})
    faults.raise_refused()
    assert dataset.categories == ("frog",)
    assert [f.where for f in faults.treated(REPAIRED)] == ["category 2"]


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_lists_that_are_none_are_no_coco(key: str, tmp_path: Path) -> None:
    document = {"images": [IMAGE], "categories": [FROG], "annotations": [GOOD]} | {key: 5}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(EdgekitError, match=r"a\.json: is not COCO JSON"):
        collect_dataset(AnnotationSource(tmp_path / "a.json", (tmp_path,)), Faults())


def test_numbers_given_as_text_are_counted_once_an_object(tmp_path: Path) -> None:
    text = GOOD | {"id": 9, "bbox": ["20", "20", "10", "10"], "area": "100"}
    dataset, faults = read(tmp_path, {"annotations": [text, text | {"id": 20, "bbox": ["30", "20", "10", "10"]}]})
    assert dataset.photos[0].annotations[1].bbox == (20, 20, 10, 10)
    assert [f.where for f in faults.treated(REPAIRED)] == ["annotation 9", "annotation 20"]
