"""Descriptions of calibration sets that say too little, or something else; and photos that are none."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from benchmarks.run import draw_calibration_photos
from benchmarks.run.draw_calibration_photos import COUNT
from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.demo.photo_sets import demo_files
from edgekit.deployment.precision.calibration import calibrate
from edgekit.deployment.precision.calibration_sets import FORMAT, CalibrationSet, photos_of_set, read_set, write_set
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256

COMMITTED = Path(__file__).parents[3] / "calibration" / "demo.json"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"images": ["0000.jpg"], "folder": "photos"}, "images are the photos' names"),
        ({"images": {}, "folder": "photos"}, "images are the photos' names"),
        ({"images": {"0000.jpg": "ab"}, "folder": 3}, "folder is a path"),
        ({"images": {"0000.jpg": "ab"}}, "'folder'"),
        ({"images": {"0000.jpg": "ab"}, "folder": "photos", "kind": "demo"}, "'kind'"),
    ],
)
def test_a_damaged_set(values: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"format": FORMAT} | values))
    with pytest.raises(EdgekitError, match=rf"set\.json: a damaged calibration set: .*{words}.*README"):
        read_set(file)


def test_a_folder_described_is_checked(tmp_path: Path) -> None:
    file, photos = tmp_path / "set.json", tmp_path / "photos"
    shutil.copytree(SAMPLE_PHOTOS, photos)
    images = {p.name: sha256(p) for p in list_images(photos)}
    write_set(file, CalibrationSet("photos", images, "eight scenes"))
    described = read_set(file)
    assert described is not None
    assert photos_of_set(described, file) == photos
    anywhere = replace(described, images=images | {"2.jpg": None})  # whose bytes are not the same on every machine
    assert photos_of_set(anywhere, file) == photos
    for others in ({"2.jpg": "00"}, {"9.jpg": None}):
        with pytest.raises(EdgekitError, match=rf"not the photos that .*set\.json describes: {next(iter(others))}"):
            photos_of_set(replace(described, images=images | others), file)


def test_missing_photos_are_made_by_the_command_that_is_named(tmp_path: Path) -> None:
    described = read_set(COMMITTED)
    assert described is not None
    with pytest.raises(EdgekitError, match=r"demo: is missing.* \(make them: python -m benchmarks\.run\.draw_"):
        photos_of_set(described, tmp_path / "demo.json")
    assert set(demo_files(COUNT)[:-1]) == set(described.images)
    assert described.made_by.endswith(draw_calibration_photos.__name__)


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
    assert photos_of_set(described, photos.with_suffix(".json")).resolve() == photos.resolve()
