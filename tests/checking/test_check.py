"""``check`` without a base model: faults, sizes, near-duplicates, the page, repaired annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import edgekit
from edgekit.checking.check_result import Check
from edgekit.cli import main
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import REFUSED, REPAIRED, ReadingOptions
from edgekit.data.annotations.formats import read_dataset
from edgekit.errors import EdgekitError
from tests.checking.planted import Planted


@pytest.fixture
def planted(new_train: Dataset, tmp_path: Path) -> Planted:
    return Planted(new_train, tmp_path / "set")


def checked(planted: Planted, tmp_path: Path, **options: object) -> Check:
    return edgekit.check(planted.write(), planted.images, output=tmp_path / "check.html", **options)  # type: ignore[arg-type]


def test_objects_and_sizes_are_counted_by_class(planted: Planted, tmp_path: Path) -> None:
    chicken = planted.rows("chicken")
    chicken[0]["segmentation"] = None
    chicken[1]["iscrowd"] = 1
    result = checked(planted, tmp_path, size=(640, 640))  # of photos of 320x320
    facts = {c.name: c for c in result.classes}["chicken"]
    objects = [row for row in chicken if not row["iscrowd"]]
    assert (facts.objects, facts.with_masks, facts.boxes_only, facts.crowds) == (len(objects), len(objects) - 1, 1, 1)
    assert facts.photos == len({row["image_id"] for row in chicken})
    middle = sorted(row["area"] ** 0.5 for row in objects)[len(objects) // 2]
    if len(objects) % 2:
        assert facts.photo_pixels[1] == pytest.approx(middle, abs=0.1)
    assert facts.canvas_pixels == pytest.approx([2 * v for v in facts.photo_pixels], abs=0.11)
    assert [(s.height, s.width, s.photos) for s in result.shapes] == [(320, 320, len(planted.document["images"]))]


def test_an_object_that_is_small_on_the_canvas_is_listed(planted: Planted, tmp_path: Path) -> None:
    row = planted.rows("frog")[0]
    row |= {"bbox": [100, 120, 40, 30], "segmentation": None, "area": 1200}
    large = checked(planted, tmp_path, size=(320, 320))
    assert (100, 120, 40, 30) not in [place.box for place in large.smallest]
    small = checked(planted, tmp_path, size=(160, 320))  # half the scale
    (found,) = [place for place in small.smallest if place.box == (100, 120, 40, 30)]
    assert (found.photo.name, found.category) == (planted.photo(row), "frog")


def recompressed(source: Path) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        with Image.open(source) as image:
            image.resize((200, 200)).resize((320, 320)).save(target, quality=60)

    return write


def test_a_near_duplicate_over_the_split_is_found(planted: Planted, new_train: Dataset, tmp_path: Path) -> None:
    row = planted.rows()[0]
    name = planted.photo(row)
    held_out = Planted(new_train, tmp_path / "val")
    held_out.document |= {"images": [], "annotations": []}
    for path in held_out.images.iterdir():
        path.unlink()
    recompressed(planted.images / name)(held_out.images / "other.jpg")
    held_out.document["images"] = [{"id": 1, "file_name": "other.jpg", "height": 320, "width": 320}]
    held_out.document["annotations"] = [row | {"id": 1, "image_id": 1}]
    result = checked(planted, tmp_path, val=held_out.write())
    assert result.held_out == 1
    (group,) = [g for g in result.duplicates if g.over_the_split]
    assert [p.name for p in group.learned] == [name]
    assert [p.name for p in group.held_out] == ["other.jpg"]


def test_a_near_duplicate_on_one_side_is_no_fault_of_the_split(planted: Planted, tmp_path: Path) -> None:
    row = planted.rows()[0]
    planted.add_photo("copy.jpg", recompressed(planted.images / planted.photo(row)), [row])
    result = checked(planted, tmp_path)
    (group,) = result.duplicates
    assert {p.name for p in group.learned} == {planted.photo(row), "copy.jpg"}
    assert not group.over_the_split


def test_faults_are_counted_and_fixed(planted: Planted, tmp_path: Path) -> None:
    first, second = planted.rows()[:2]
    first["bbox"] = [str(v) for v in first["bbox"]]
    second["iscrowd"] = "no"
    inner = planted.images / "inner"
    inner.mkdir()
    nested = planted.photo(first)
    (planted.images / nested).rename(inner / nested)
    next(i for i in planted.document["images"] if i["file_name"] == nested)["file_name"] = f"inner/{nested}"
    fixed = tmp_path / "fixed.json"
    result = checked(planted, tmp_path, fix=fixed)
    assert result.fixed == fixed
    assert result.refused == 0
    assert all(row.treated == REPAIRED and row.count for row in result.faults)
    assert len(result.faults) == 2
    before, after = read_dataset(planted.file, planted.images), read_dataset(fixed, planted.images)
    assert after.categories == before.categories
    assert [(p.path, p.annotations) for p in after.photos] == [(p.path, p.annotations) for p in before.photos]
    again = edgekit.check(fixed, planted.images, output=tmp_path / "again.html")
    assert again.faults == ()


def test_what_only_the_user_can_mend_is_refused_or_left_out(planted: Planted, tmp_path: Path) -> None:
    row = planted.rows()[-1]
    row |= {"bbox": [500, 500, 20, 20], "segmentation": None}
    fixed = tmp_path / "fixed.json"
    result = checked(planted, tmp_path, fix=fixed)
    assert (result.refused, result.fixed, fixed.exists()) == (1, None, False)
    (fault,) = [f for f in result.faults if f.treated == REFUSED]
    assert any(str(row["id"]) in place for place in fault.places)
    result = checked(planted, tmp_path, fix=fixed, reading=ReadingOptions(skip_bad_annotations=True))
    assert (result.refused, result.fixed) == (0, fixed)
    assert len(json.loads(fixed.read_text())["annotations"]) == len(planted.document["annotations"]) - 1


def test_a_truncated_photo_is_a_fault(planted: Planted, tmp_path: Path) -> None:
    name = planted.photo(planted.rows()[0])
    photo = planted.images / name
    photo.write_bytes(photo.read_bytes()[:2000])
    result = checked(planted, tmp_path)
    assert result.refused == 1
    assert result.photos == len(planted.document["images"]) - 1
    skipped = checked(planted, tmp_path, reading=ReadingOptions(skip_bad_images=True))
    assert skipped.refused == 0
    assert any(name in place for row in skipped.faults for place in row.places)


def test_a_photo_of_one_colour_is_left_out(planted: Planted, tmp_path: Path) -> None:
    row = planted.alone("frog")[0]
    Image.new("RGB", (320, 320), (255, 255, 255)).save(planted.images / planted.photo(row))
    result = checked(planted, tmp_path)
    assert result.refused == 0
    assert result.photos == len(planted.document["images"]) - 1


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.others: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "data", "action"):
                (self.images if tag == "img" else self.others).append(value or "")


def test_the_page_needs_nothing_else(planted: Planted, tmp_path: Path) -> None:
    photos = len(planted.document["images"])
    planted.document["categories"][0]["name"] = "<script>alert(1)</script>"
    result = checked(planted, tmp_path)
    text = result.page.read_text()
    links = Links()
    links.feed(text)
    assert len(links.images) == photos
    assert all(link.startswith("data:image/jpeg;base64,") for link in links.images)
    assert links.others == []
    assert "<script" not in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_page_is_the_same_each_time(planted: Planted, tmp_path: Path) -> None:
    first = checked(planted, tmp_path).page.read_text()
    assert checked(planted, tmp_path).page.read_text() == first


def test_somebody_elses_files_are_not_replaced(planted: Planted, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    for options in ({"fix": mine}, {"output": mine}, {"fix": planted.write()}):
        with pytest.raises(EdgekitError):
            edgekit.check(planted.write(), planted.images, **({"output": tmp_path / "x.html"} | options))  # type: ignore[arg-type]
    assert mine.read_text() == "{}"
    assert edgekit.check(planted.file, planted.images, output=tmp_path / "x.html", fix=mine, force=True).fixed == mine


def test_the_command_says_what_next_and_exits_as_a_linter(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", "--data", str(planted.write()), "--images", str(planted.images)]
    arguments += ["-o", str(tmp_path / "check.html")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "chicken" in out
    assert f"next: edgekit adapt BASE --data {planted.file}" in out
    planted.rows()[0]["category_id"] = 77
    planted.write()
    assert main(arguments) == 1
    assert "--skip-bad-annotations" in capsys.readouterr().out
    assert main([*arguments, "--skip-bad-annotations", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == len(planted.document["images"])


def test_settings_without_a_base_model_are_an_error(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="give BASE"):
        checked(planted, tmp_path, hints=edgekit.CheckpointHints(architecture="maskrcnn_resnet50_fpn"))


def test_nothing_usable_is_said_in_one_table(planted: Planted, tmp_path: Path) -> None:
    for row in planted.rows():
        row |= {"bbox": [500, 500, 20, 20], "segmentation": None}
    result = checked(planted, tmp_path)
    assert result.refused >= len(planted.rows())
    assert "outside the photo" in result.page.read_text()


def test_names_that_look_like_markup_are_printed_as_they_are(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = dict(zip(("chicken", "frog"), ("[/x]", "frog [red]"), strict=True))
    for category in planted.document["categories"]:
        category["name"] = names[category["name"]]
    options = ["--data", str(planted.write()), "--images", str(planted.images), "-o", str(tmp_path / "c.html")]
    assert main(["check", *options]) == 0
    printed = capsys.readouterr().out
    assert "[/x]" in printed
    assert "frog [red]" in printed


def test_a_size_that_no_model_takes(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="0x0"):
        checked(planted, tmp_path, size=(0, 0))
