"""Entries of a cache: whole or not at all, checked byte for byte, bounded, safe beside other processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.files.cache_folder import DIGESTS, CacheFolder, entry_sha256
from tests.damage import flip_a_bit

SIZE = 10_000


def write(folder: Path, size: int = SIZE) -> None:
    (folder / "first").write_bytes(bytes(size // 2))
    (folder / "second").write_bytes(bytes(size // 2))


def filled(folder: Path, *keys: str, limit: float = 1e9) -> CacheFolder:
    cache = CacheFolder(folder, limit / 1e9)
    for key in keys:
        cache.add(key, write)
    return cache


def test_an_entry_is_found_whole(tmp_path: Path) -> None:
    cache = filled(tmp_path / "new" / "folder", "x")
    entry = cache.find("x")
    assert entry is not None
    assert (entry / "first").read_bytes() == bytes(SIZE // 2)
    assert cache.find("y") is None
    assert [p.name for p in entry.parent.iterdir()] == ["x"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone", "added", "digests", "no digests", "a file"])
def test_a_damaged_entry_is_removed(damage: str, tmp_path: Path) -> None:
    cache = filled(tmp_path, "x", "y")
    entry = tmp_path / "x"
    part = entry / "second"
    match damage:
        case "flipped":
            flip_a_bit(part)
        case "cut" | "empty":
            part.write_bytes(part.read_bytes()[: 100 if damage == "cut" else 0])
        case "gone":
            part.unlink()
        case "added":
            (entry / "third").touch()
        case "digests":
            flip_a_bit(entry / DIGESTS)
        case "no digests":
            (entry / DIGESTS).unlink()
        case "a file":
            entry.rename(tmp_path / "z")
            entry.write_bytes(b"x")
    assert cache.find("x") is None
    assert not entry.exists()
    assert cache.find("y") is not None
    cache.add("x", write)
    assert cache.find("x") == entry


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "first").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CacheFolder(tmp_path, 1).add("x", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    filled(tmp_path, "old", "older", "oldest")
    for age, name in enumerate(("old", "older", "oldest"), start=1):
        os.utime(tmp_path / name, (time.time() - age * 60,) * 2)
    cache = CacheFolder(tmp_path, 3.5 * SIZE / 1e9)
    assert cache.find("oldest") is not None  # used again
    (tmp_path / "mine.jpg").write_bytes(bytes(10 * SIZE))  # not an entry
    cache.add("new", write)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.jpg", "new", "old", "oldest"]


def test_a_large_cache_stays_bounded(tmp_path: Path) -> None:
    for number in range(30):
        filled(tmp_path, f"{number}", limit=5.5 * SIZE)
    assert 4 <= len(list(tmp_path.iterdir())) <= 5
    one_run = CacheFolder(tmp_path, 10.5 * SIZE / 1e9)
    for number in range(30):
        one_run.add(f"again {number}", write)
        one_run.used.clear()
    assert len(list(tmp_path.iterdir())) <= 10


def test_what_this_run_uses_is_never_removed(tmp_path: Path) -> None:
    cache = filled(tmp_path, "one", "two", limit=1.5 * SIZE)
    assert cache.find("one")
    assert cache.find("two")
    strict = CacheFolder(tmp_path, 1.5 * SIZE / 1e9, {"one", "two"}, "give more")
    with pytest.raises(EdgekitError, match=r"need more than.*give more"):
        strict.add("three", write)
    assert cache.find("one")
    assert cache.find("two")
    assert cache.find("three") is None


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        half = tmp_path / f".edgekit-{process}-0123.partial" / "half"
        half.mkdir(parents=True)
        write(half)
    filled(tmp_path, "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".edgekit-{os.getpid()}-0123.partial", "x"]


def test_the_digest_of_an_entry_is_that_of_its_bytes(tmp_path: Path) -> None:
    cache = filled(tmp_path, "x", "y")
    assert entry_sha256(tmp_path / "x") == entry_sha256(tmp_path / "y")
    cache.add("x", lambda folder: write(folder, SIZE + 2))
    assert entry_sha256(tmp_path / "x") != entry_sha256(tmp_path / "y")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EdgekitError, match="file"):
        CacheFolder(tmp_path / "file", 1).add("x", write)


def make_and_find(folder: str) -> int:
    cache, found = CacheFolder(Path(folder), 2.5 * SIZE / 1e9), 0
    for number in range(150):
        key = f"{number % 4}"
        entry = cache.find(key)
        if entry is None:
            cache.add(key, write)
        else:
            found += 1
        cache.used.clear()
    return found


def test_processes_add_and_remove_at_the_same_time(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(make_and_find, [str(tmp_path)] * 3)
    assert all(CacheFolder(tmp_path, 1).find(p.name) for p in tmp_path.iterdir())
