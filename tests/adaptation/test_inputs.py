"""What an adaptation is given is checked before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.adaptation.inputs import Inputs, read_inputs
from edgekit.artifacts import BACKGROUND
from edgekit.data.coco import Dataset
from edgekit.errors import EdgekitError

KNOWN = (BACKGROUND, "dog", "cat")


def given(data: Path, images: Path, **options: Any) -> Inputs:
    defaults = {"known": KNOWN, "has_masks": True, "scoring": "exact", "classes": ("chicken", "frog"), "val": None}
    more = {"replay": None, "probe": None, "old_data": None, "seed": 0, "skip_bad_images": False}
    return read_inputs(data, images, **(defaults | more | options))


def copied(data: Dataset, folder: Path, **changes: Any) -> Path:
    """The photos and annotations in another folder, with other annotations; returns the annotations' file."""
    folder.mkdir()
    for photo in data.photos:
        (folder / photo.path.name).write_bytes(photo.path.read_bytes())
    document = json.loads(data.file.read_text())
    for annotation in document["annotations"]:
        annotation |= changes
    file = folder / "annotations.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("option", ["val", "replay", "probe", "old_data"])
def test_bad_photos_are_named_before_any_work(
    option: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    file = copied(mixed_test, tmp_path / "others")
    bad = file.parent / mixed_test.photos[0].path.name
    bad.write_bytes(bad.read_bytes()[:500])
    value = file.parent if option == "probe" else file
    with pytest.raises(EdgekitError, match=f"{bad.name}.*--skip-bad-images"):
        given(new_train.file, new_train.file.parent, **{option: value})
    found = given(new_train.file, new_train.file.parent, **{option: value}, skip_bad_images=True)
    assert [bad.name in message for message in found.skipped] == [True]
    lists = {"val": found.held_out, "old_data": found.old}
    photos = lists[option].photos if option in lists else getattr(found, option)  # type: ignore[union-attr]
    assert len(photos) == len(mixed_test.photos) - 1


@pytest.mark.parametrize("what", ["listed only", "crowds only"])
def test_old_data_must_show_old_objects(what: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    file = copied(new_train if what == "listed only" else mixed_test, tmp_path / "old", iscrowd=int(what[0] == "c"))
    document = json.loads(file.read_text())
    if what == "listed only":
        document["categories"].append({"id": 99, "name": "dog"})
        file.write_text(json.dumps(document))
    with pytest.raises(EdgekitError, match="annotates no object of the base model's classes"):
        given(new_train.file, new_train.file.parent, old_data=file)


def test_joint_scoring_needs_the_old_objects_masks(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    old = {a.category for p in mixed_test.photos for a in p.annotations} - {"chicken", "frog"}
    options: dict[str, Any] = {
        "known": (BACKGROUND, *old),
        "replay": copied(mixed_test, tmp_path / "b", segmentation=[]),
    }
    document = json.loads(options["replay"].read_text())
    new = {c["id"] for c in document["categories"] if c["name"] not in old}
    document["annotations"] = [a for a in document["annotations"] if a["category_id"] not in new]
    options["replay"].write_text(json.dumps(document))
    assert given(new_train.file, new_train.file.parent, **options).replay
    assert given(new_train.file, new_train.file.parent, scoring="joint", has_masks=False, **options).replay
    with pytest.raises(EdgekitError, match="has a box but no mask"):
        given(new_train.file, new_train.file.parent, scoring="joint", **options)
