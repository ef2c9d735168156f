"""``check`` with a base model: planted mistakes are found by what was learned on the other half of the photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import edgekit
from edgekit.checking.check_result import Check
from edgekit.checking.suspects import MISSING, WRONG
from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.photo_sets import write_demo_set
from tests.checking.planted import Planted, Row
from tests.conftest import once


@dataclass(frozen=True)
class Found:
    """The result for photos of which one lacks a label and another has a wrong one, and which they are."""

    result: Check
    removed: Row
    removed_from: str
    swapped: Row
    swapped_in: str
    objects: dict[str, int]


def plant(folder: Path) -> Found:
    planted = Planted(write_demo_set("new-train", 30, folder / "drawn", seed=4), folder / "set")
    removed, swapped = planted.alone("frog")[0], planted.alone("chicken")[0]
    names = planted.photo(removed), planted.photo(swapped)
    planted.remove(removed)
    swapped["category_id"] = planted.category("frog")
    objects = {name: len(planted.rows(name)) for name in ("chicken", "frog")}
    page = folder / "check.html"
    return Found(
        edgekit.check(planted.write(), planted.images, "demo", output=page),
        removed,
        names[0],
        swapped,
        names[1],
        objects,
    )


@pytest.fixture(scope="session")
def found(shared: Path) -> Found:
    return once(shared, "planted", plant)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_a_missing_label_is_found(found: Found) -> None:
    assert found.result.findings is not None
    missing = [s for s in found.result.findings.suspects if s.kind == MISSING]
    own = [s for s in missing if s.photo.name == found.removed_from]
    assert [(s.annotated, s.found) for s in own] == [("", "frog")]
    assert overlap(own[0].box, tuple(found.removed["bbox"])) > 0.5
    assert missing.index(own[0]) < 3


def test_a_swapped_label_is_found(found: Found) -> None:
    assert found.result.findings is not None
    wrong = [s for s in found.result.findings.suspects if s.kind == WRONG]
    own = [s for s in wrong if s.photo.name == found.swapped_in]
    assert [(s.annotated, s.found) for s in own] == [("frog", "chicken")]
    assert own[0].box == pytest.approx(tuple(found.swapped["bbox"]), abs=3)
    assert wrong.index(own[0]) < 2


def test_nearly_all_other_labels_are_believed(found: Found) -> None:
    assert found.result.findings is not None
    named = {found.removed_from, found.swapped_in}
    others = [s for s in found.result.findings.suspects if s.photo.name not in named]
    assert len(others) <= 3
    assert found.result.findings.unjudged == ()


def test_what_the_rpn_proposes_is_counted(found: Found) -> None:
    findings = found.result.findings
    assert findings is not None
    assert findings.new_classes == ("chicken", "frog")
    for name, count in found.objects.items():
        missed = sum(place.category == name for place in findings.missed)
        assert findings.proposed[name] == count - missed
        assert findings.proposed[name] >= 0.9 * count
        assert 0 < sum(findings.called[name].values()) <= count


def test_annotated_classes_of_the_base_model_are_judged_by_it(mixed_test: Dataset, tmp_path: Path) -> None:
    planted = Planted(mixed_test, tmp_path / "set")
    for row in [*planted.rows("chicken"), *planted.rows("frog")]:
        planted.remove(row)  # nothing is left to learn
    name = max(planted.document["categories"], key=lambda c: len(planted.rows(c["name"])))["name"]
    row = planted.rows(name)[0]
    planted.remove(row)
    result = edgekit.check(planted.write(), planted.images, "demo", output=tmp_path / "check.html")
    assert result.findings is not None
    assert result.findings.new_classes == ()
    own = [s for s in result.findings.suspects if s.photo.name == planted.photo(row) and s.kind == MISSING]
    assert any(s.found == name and overlap(s.box, tuple(row["bbox"])) > 0.5 for s in own)


def test_photos_held_out_in_a_file_of_their_own_are_not_judged(
    new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    planted = Planted(new_train, tmp_path / "set")
    data, output = planted.write(), tmp_path / "check.html"
    result = edgekit.check(data, planted.images, "demo", output=output, val=mixed_test.file)
    assert result.findings is not None
    assert result.photos == len(new_train.photos)
    assert {s.photo.parent for s in result.findings.suspects} <= {planted.images}
