from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from edgekit.adaptation.features import feature_cache as caches
from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.errors import EdgekitError

TENSORS = {"a": torch.arange(6000.0).reshape(2, 3000), "b": torch.zeros(0, 4)}


def filled(folder: Path, *keys: str, limit_gb: float = 1.0) -> FeatureCache:
    cache = FeatureCache(folder, limit_gb)
    for key in keys:
        cache.write(key, TENSORS)
    return cache


def file_of(folder: Path, key: str) -> Path:
    return folder / key / caches.FILE


def size_of(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.iterdir())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    cache = filled(tmp_path, "x")
    assert cache.holds("x")
    assert not cache.holds("y")
    assert all(torch.equal(cache.read("x")[name], value) for name, value in TENSORS.items())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_entries_are_removed(damage: str, tmp_path: Path) -> None:
    filled(tmp_path, "x")
    path = file_of(tmp_path, "x")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-1] ^= 1
    path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"" if damage == "empty" else content)
    assert not FeatureCache(tmp_path, 1.0).holds("x")
    assert not path.parent.exists()


def test_what_was_checked_can_be_read_after_another_process_removed_it(tmp_path: Path) -> None:
    filled(tmp_path, "x", "y")
    cache = FeatureCache(tmp_path, 1.0)
    assert cache.holds("x")
    cache.write("z", TENSORS)
    for key in ("x", "y", "z"):
        shutil.rmtree(tmp_path / key)
    for key in ("x", "z"):
        assert all(torch.equal(cache.read(key)[name], value) for name, value in TENSORS.items())
    with pytest.raises(EdgekitError, match="another process removed"):
        cache.read("y")


def test_earlier_entries_make_room_and_this_runs_stay(tmp_path: Path) -> None:
    filled(tmp_path, "old")
    cache = filled(tmp_path, "one", limit_gb=(size_of(tmp_path / "old") + 100) / 1e9)
    assert not cache.holds("old")
    with pytest.raises(EdgekitError, match="need more than"):
        cache.write("two", TENSORS)
    assert cache.holds("one")


def test_what_another_process_of_the_run_wrote_stays(tmp_path: Path) -> None:
    filled(tmp_path, "theirs")
    cache = FeatureCache(tmp_path, (size_of(tmp_path / "theirs") + 100) / 1e9, used={"theirs", "mine"})
    with pytest.raises(EdgekitError, match="need more than"):
        cache.write("mine", TENSORS)
    assert cache.holds("theirs")


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "save_file", full)
    with pytest.raises(EdgekitError, match=r"feature cache cannot be written.*--cache"):
        filled(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []
