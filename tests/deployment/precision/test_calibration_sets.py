"""Descriptions of calibration sets that say too little, or something else; and photos that are none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.precision.calibration import calibrate
from edgekit.deployment.precision.calibration_sets import FORMAT, photos_of, read_set
from edgekit.errors import EdgekitError

IMAGES = {"0000.jpg": "ab"}
DRAWN = {"split": "base-train", "count": 1, "seed": 7}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "demo", "images": IMAGES}, "drawn are a count, a seed and a split of base-train, base-test"),
        ({"kind": "demo", "images": IMAGES, "drawn": [1]}, "drawn are"),
        ({"kind": "demo", "images": IMAGES, "drawn": DRAWN | {"count": "many"}}, "drawn are"),
        ({"kind": "demo", "images": IMAGES, "drawn": DRAWN | {"count": 0}}, "drawn are"),
        ({"kind": "demo", "images": IMAGES, "drawn": DRAWN | {"split": ["base-train"]}}, "drawn are"),
        ({"kind": "folder", "images": ["0000.jpg"], "folder": "photos"}, "images are the photos' names"),
        ({"kind": "folder", "images": IMAGES}, "a folder's kind has a folder"),
        ({"kind": ["demo"], "images": IMAGES}, "a set's kind is one of demo, folder"),
        ({"images": IMAGES}, "'kind'"),
    ],
)
def test_a_damaged_set(values: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"format": FORMAT} | values))
    with pytest.raises(EdgekitError, match=rf"set\.json: a damaged calibration set: .*{words}.*README"):
        read_set(file)


def test_a_set_that_names_other_photos_than_are_drawn(tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"format": FORMAT, "kind": "demo", "images": IMAGES | {"9.jpg": "cd"}, "drawn": DRAWN}))
    described = read_set(file)
    assert described is not None
    with pytest.raises(EdgekitError, match=r"not the photos that .*set\.json describes: 9\.jpg \(correct its count"):
        photos_of(described, file, tmp_path / "drawn")


def test_photos_that_are_none(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(EdgekitError, match=r"a\.jpg: cannot be read: No such file"):
        calibrate(onnx.ModelProto(), (), tmp_path, (8, 8))
    photo.unlink()
    photo.mkdir()
    with pytest.raises(EdgekitError, match="holds no images"):
        calibrate(onnx.ModelProto(), (), tmp_path, (8, 8))


def test_the_readmes_snippet_describes_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "calibration" / "coco"
    shutil.copytree(SAMPLE_PHOTOS, photos)
    readme = (Path(__file__).parents[3] / "calibration" / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", readme, re.S)
    assert snippets
    monkeypatch.chdir(tmp_path)
    for snippet in snippets:
        exec(snippet, {})
    described = read_set(photos.with_suffix(".json"))
    assert described is not None
    assert photos_of(described, photos.with_suffix(".json"), tmp_path).resolve() == photos.resolve()
