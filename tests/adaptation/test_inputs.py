"""What an adaptation is given is checked before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.adaptation.inputs import ExtraData, Inputs, read_inputs
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import ReadingOptions
from edgekit.errors import EdgekitError

KNOWN = (BACKGROUND, "dog", "cat")
META = ModelMeta("x", (KNOWN,), (320, 320))


def given(data: Path, images: Path, **options: Any) -> Inputs:
    """What is read, with the extra data and the scoring among the options."""
    defaults = {
        "improve": (),
        "meta": META,
        "has_masks": True,
        "classes": ("chicken", "frog"),
        "reading": ReadingOptions(),
    }
    extra = ExtraData(**{name: options.pop(name) for name in ("val", "replay", "probe", "old_data") if name in options})
    learning = Learning(**{name: options.pop(name) for name in ("scoring", "masks_from_boxes") if name in options})
    return read_inputs(data, images, learning=learning, extra=extra, **(defaults | options))


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
    found = given(
        new_train.file, new_train.file.parent, **{option: value}, reading=ReadingOptions(skip_bad_images=True)
    )
    assert [bad.name in message for message in found.faults.left_out()] == [True]
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
    with pytest.raises(EdgekitError, match=r"annotates no object of the base model's classes|marked iscrowd"):
        given(new_train.file, new_train.file.parent, old_data=file)


def test_without_made_masks_joint_scoring_needs_the_old_objects(
    new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    old = {a.category for p in mixed_test.photos for a in p.annotations} - {"chicken", "frog"}
    options: dict[str, Any] = {
        "meta": ModelMeta("x", ((BACKGROUND, *old),), (320, 320)),
        "replay": copied(mixed_test, tmp_path / "b", segmentation=[]),
        "masks_from_boxes": "none",
    }
    document = json.loads(options["replay"].read_text())
    new = {c["id"] for c in document["categories"] if c["name"] not in old}
    document["annotations"] = [a for a in document["annotations"] if a["category_id"] not in new]
    options["replay"].write_text(json.dumps(document))
    assert given(new_train.file, new_train.file.parent, **options).replay
    assert given(new_train.file, new_train.file.parent, scoring="joint", has_masks=False, **options).replay
    with pytest.raises(EdgekitError, match="has a box but no mask"):
        given(new_train.file, new_train.file.parent, scoring="joint", **options)
    assert given(new_train.file, new_train.file.parent, scoring="joint", **(options | {"masks_from_boxes": "auto"}))


def test_boxes_without_masks_are_refused_only_where_none_are_made(new_train: Dataset, tmp_path: Path) -> None:
    file = copied(new_train, tmp_path / "boxes", segmentation=[])
    assert len(given(file, new_train.file.parent).learn) == len(new_train.photos)
    with pytest.raises(EdgekitError, match=r"has a box but no mask.*--masks-from-boxes auto"):
        given(file, new_train.file.parent, masks_from_boxes="none")
    assert given(file, new_train.file.parent, masks_from_boxes="none", has_masks=False).learn


def renamed(data: Dataset, folder: Path, **names: str) -> Path:
    """The photos and annotations in another folder, with other class names."""
    file = copied(data, folder)
    document = json.loads(file.read_text())
    for category in document["categories"]:
        category["name"] = names.get(category["name"], category["name"])
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("name", ["Chicken", "chicken ", "CHICKEN"])
def test_a_class_nearly_named_as_the_bases_is_refused(name: str, new_train: Dataset, tmp_path: Path) -> None:
    file = renamed(new_train, tmp_path / "data", chicken=name)
    options: dict[str, Any] = {"meta": ModelMeta("x", ((*KNOWN, "chicken"),), (320, 320)), "classes": ()}
    with pytest.raises(EdgekitError, match=rf"base model's: '{name}' and 'chicken' differ only by.*--classes"):
        given(file, file.parent, **options)
    assert given(file, file.parent, **(options | {"classes": ("frog",)})).classes == ("frog",)
    with pytest.raises(EdgekitError, match="differ only by"):  # there, chickens would be learned as background
        given(file, file.parent, **(options | {"classes": ("frog",)}), scoring="joint")


def test_two_classes_nearly_of_one_name_are_refused(new_train: Dataset, tmp_path: Path) -> None:
    file = renamed(new_train, tmp_path / "data", chicken="Frog")
    for classes in ((), ("frog",), ("Frog",)):
        with pytest.raises(EdgekitError, match=r"'[Ff]rog' and '[Ff]rog' differ only by case or blanks.*one name"):
            given(file, file.parent, classes=classes)


@pytest.mark.parametrize("option", ["val", "replay", "old_data"])
def test_other_annotations_must_spell_the_classes_as_the_data(
    option: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    other = renamed(mixed_test, tmp_path / "other", frog="Frog")
    with pytest.raises(EdgekitError, match=r"other/annotations\.json.*'Frog' and 'frog' differ only by case"):
        given(new_train.file, new_train.file.parent, **{option: other})


def painted(data: Dataset, folder: Path, count: int) -> Path:
    """The photos and annotations in another folder, with the first photos all white."""
    file = copied(data, folder)
    for photo in data.photos[:count]:
        Image.new("RGB", (photo.width, photo.height), "white").save(folder / photo.path.name)
    return file


def test_photos_of_one_colour_are_named_and_left_out(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    file = painted(new_train, tmp_path / "data", 2)
    found = given(file, file.parent)
    assert len(found.learn) == len(new_train.photos) - 2
    names = [p.path.name for p in new_train.photos[:2]]
    assert [Path(s.split(":")[0]).name for s in found.faults.left_out()] == names
    assert all("one colour" in s for s in found.faults.left_out())
    for option in ("val", "replay", "old_data"):
        other = painted(mixed_test, tmp_path / option, 1)
        assert "one colour" in given(new_train.file, new_train.file.parent, **{option: other}).faults.left_out()[0]


def test_where_nothing_is_left_it_is_an_error(new_train: Dataset, tmp_path: Path) -> None:
    file = painted(new_train, tmp_path / "white", len(new_train.photos))
    with pytest.raises(EdgekitError, match=r"none of the photos can be used: .*one colour"):
        given(file, file.parent)
    file = copied(new_train, tmp_path / "one")
    document = json.loads(file.read_text())
    frog = next(c["id"] for c in document["categories"] if c["name"] == "frog")
    shown = {a["image_id"] for a in document["annotations"] if a["category_id"] == frog}
    for row in document["images"]:
        if row["id"] in shown:
            Image.new("RGB", (row["width"], row["height"]), "black").save(file.parent / row["file_name"])
    with pytest.raises(EdgekitError, match=r"frog: has no annotated object .*one colour|none of the photos"):
        given(file, file.parent)


def test_objects_on_nothing_are_named_and_left_out(mixed_test: Dataset, tmp_path: Path) -> None:
    file = copied(mixed_test, tmp_path / "data")
    photo = max(mixed_test.photos, key=lambda p: len(p.annotations))
    x, y, w, h = min((a.bbox for a in photo.annotations), key=lambda box: box[2] * box[3])
    picture = Image.open(photo.path).convert("RGB")
    left, top, right, bottom = x - w / 5 - 20, y - h / 5 - 20, x + w * 1.2 + 20, y + h * 1.2 + 20
    picture.paste((90, 90, 90), (int(left), int(top), int(right), int(bottom)))
    picture.save(file.parent / photo.path.name, quality=100)
    found = given(file, file.parent)
    assert len(found.faults.left_out()) == 1
    assert f"1 of {len(photo.annotations)} annotated objects lie" in found.faults.left_out()[0]
    kept = next(p for p in found.learn if p.path.name == photo.path.name)
    assert len(kept.annotations) == len(photo.annotations) - 1


@pytest.mark.parametrize("option", ["val", "replay", "old_data"])
@pytest.mark.parametrize("where", ["beside", "images"])
def test_the_photo_that_is_missing_is_named_not_its_neighbour(
    option: str, where: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    """All but one photo are beside the annotations, or in the folder given with --images."""
    images, file = tmp_path / "images", copied(mixed_test, tmp_path / "old")
    images.mkdir()
    document = json.loads(new_train.file.read_text())
    for image in document["images"]:
        shutil.copy(new_train.file.parent / image["file_name"], images / f"new-{image['file_name']}")
        image["file_name"] = f"new-{image['file_name']}"
    (images / "annotations.json").write_text(json.dumps(document))
    names = [photo.path.name for photo in mixed_test.photos]
    lost, kept = names[4], [n for n in names if n != names[4]]
    if where == "images":
        document = json.loads(file.read_text())
        for image in document["images"]:
            image["file_name"] = f"old-{image['file_name']}"
        file.write_text(json.dumps(document))
        for name in names:
            (file.parent / name).rename(images / f"old-{name}")
        folder, lost, kept = images, f"old-{lost}", [f"old-{n}" for n in kept]
    else:
        folder = file.parent
    (folder / lost).unlink()
    with pytest.raises(EdgekitError) as raised:
        given(images / "annotations.json", images, **{option: file})
    said = str(raised.value)
    assert lost in said
    assert str(file.parent) in said
    assert str(images) in said
    assert "1 of 8" in said
    assert not any(name in said.replace(lost, "") for name in kept)


def test_photos_of_which_some_are_in_each_folder(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    images, file = tmp_path / "images", copied(mixed_test, tmp_path / "old")
    shutil.copytree(new_train.file.parent, images)
    document = json.loads(file.read_text())
    moved = document["images"][3]
    (file.parent / moved["file_name"]).rename(images / "moved.jpg")
    moved["file_name"] = "moved.jpg"
    file.write_text(json.dumps(document))
    with pytest.raises(EdgekitError, match=r"moved.jpg.* in \S+old, nor in \S+images; 1 of 8 are missing"):
        given(images / "annotations.json", images, old_data=file)


def test_what_is_wrong_with_the_annotations_is_said_wherever_the_photos_are(
    new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    file = copied(mixed_test, tmp_path / "old")
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"annotations": []}))
    with pytest.raises(EdgekitError, match="holds no annotations"):
        given(new_train.file, new_train.file.parent, old_data=file)
    document["annotations"][0]["category_id"] = 99
    file.write_text(json.dumps(document))
    with pytest.raises(EdgekitError, match=r"^\S+annotations.json: annotation \S+ refers to"):
        given(new_train.file, new_train.file.parent, old_data=file)
