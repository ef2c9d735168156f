from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.features import trunk_cache
from edgekit.adaptation.features.frozen_trunk import OnnxTrunk
from edgekit.adaptation.features.trunk_cache import exported_trunk
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.deployment.edits.winograd import gains_here
from edgekit.errors import EdgekitError
from edgekit.files.cache_folder import CacheFolder
from edgekit.progress import silent
from edgekit.runtime.gpu import nvidia_device
from tests.damage import flip_a_bit
from tests.tiny_detector import META, write_tiny_detector


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"overlaps": "one"}, "gives one label per object"),
        ({"precision": "fp16"}, "classes are added to a graph in fp32"),
    ],
)
def test_graphs_that_nothing_can_be_added_to(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write_tiny_detector(tmp_path / "base.onnx", meta=dataclasses.replace(META, **changes))
    with pytest.raises(EdgekitError, match=said):
        open_base(path)


def trunk_of_tiny_detectors(cache: Path, made: list[bool], weights: float = 0.0) -> OnnxTrunk:
    """A trunk of files that differ by how they are said to compute; ``made`` takes note of each that is made."""

    def write(folder: Path, for_cpu: bool, **_: object) -> None:
        made.append(for_cpu)
        for name in ("body", "box_head", "mask_head"):
            model = onnx.load(write_tiny_detector(folder / f"{name}.onnx"))
            model.doc_string = f"winograd {for_cpu}, weights {weights}"
            onnx.save(model, folder / f"{name}.onnx")

    write.__module__ = write_trunk.__module__
    return exported_trunk(partial(write), "0", META.input_size, "onnx", cache, silent)


def timed(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
    """Let timing Winograd's method come out so."""
    left = iter(answers)

    def gains() -> bool:
        return next(left)

    gains.__module__ = gains_here.__module__
    monkeypatch.setattr(trunk_cache, "gains_here", gains)


@pytest.mark.parametrize("part", ["body", "box_head", "mask_head"])
@pytest.mark.parametrize("damage", ["none", "flipped", "cut", "empty", "gone"])
def test_a_damaged_trunk_is_made_again(damage: str, part: str, tmp_path: Path) -> None:
    made: list[bool] = []
    before = trunk_of_tiny_detectors(tmp_path, made)
    (entry,) = (tmp_path / "trunks").iterdir()
    file = entry / f"{part}.onnx"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "flipped":
        flip_a_bit(file)
    elif damage != "none":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    after = trunk_of_tiny_detectors(tmp_path, made)
    assert len(made) == (1 if damage == "none" else 2)
    assert file.read_bytes() == content
    assert after.key == before.key
    assert after.mask_head is not None


def test_trunks_of_two_arithmetics_and_their_features_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    keys = []
    for gains in (True, False, True):
        timed(monkeypatch, gains)
        shutil.rmtree(tmp_path / "timings", ignore_errors=True)  # as on another machine
        keys.append(trunk_of_tiny_detectors(tmp_path, made).key)
    assert made == ([False] if nvidia_device() else [True, False])
    assert keys[0] == keys[2]
    assert (keys[0] == keys[1]) == nvidia_device()
    assert len(list((tmp_path / "trunks").iterdir())) == len(made)


def test_features_belong_to_the_bytes_of_the_trunk(tmp_path: Path) -> None:
    keys = {trunk_of_tiny_detectors(tmp_path / f"{weights}", [], weights).key for weights in (0.0, 1.0)}
    assert len(keys) == 2


def test_a_trunk_that_another_process_removes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    trunk_of_tiny_detectors(tmp_path, made)
    find = trunk_cache.CacheFolder.find

    def found_then_removed(self: CacheFolder, key: str) -> Path | None:
        entry = find(self, key)
        if len(made) == 1 and self.folder.name == "trunks":
            shutil.rmtree(self.folder / key, ignore_errors=True)
        return entry

    monkeypatch.setattr(trunk_cache.CacheFolder, "find", found_then_removed)
    monkeypatch.setattr(trunk_cache, "entry_sha256", lambda entry: "0")
    assert trunk_of_tiny_detectors(tmp_path, made).mask_head is not None
    assert len(made) == 2


def test_whether_winograd_gains_is_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_cache, "nvidia_device", lambda: False)
    timed(monkeypatch, True, False)
    assert [trunk_cache._by_winograd(tmp_path) for _ in range(3)] == [True] * 3
    (entry,) = (tmp_path / "timings").iterdir()
    flip_a_bit(entry / "gains")
    assert [trunk_cache._by_winograd(tmp_path) for _ in range(3)] == [False] * 3


def test_a_bit_that_flips_in_a_kept_trunk_changes_no_feature(tmp_path: Path) -> None:
    base, canvas = open_base("demo"), np.full((320, 320, 3), 90, np.uint8)
    boxes = np.array([[20, 20, 200, 160]], np.float32)

    def features() -> np.ndarray:
        trunk = base.trunk("onnx", tmp_path, silent)
        levels, _ = trunk.look(canvas)
        return trunk.box_features(levels, boxes)

    before = features()
    for file in sorted((tmp_path / "trunks").rglob("*.onnx")):
        flip_a_bit(file, 0.6)
    assert np.array_equal(features(), before)
