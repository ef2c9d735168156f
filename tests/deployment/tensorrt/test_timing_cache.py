from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit.deployment.tensorrt.target import Target
from edgekit.deployment.tensorrt.timing_cache import cache_entry, kept_timings
from edgekit.runtime.flavours import load
from tests.damage import flip_a_bit
from tests.deployment.tensorrt.versions import A10, ORIN, tensorrt

A10_TARGET = Target(tensorrt("10.3.0"), A10, ("8.6",))


class Config:
    """A config that takes caches which begin with its own mark, as TensorRT takes those of its own device."""

    def __init__(self) -> None:
        self.cache: bytes | None = None

    def create_timing_cache(self, data: bytes) -> bytes | None:
        return None if data.startswith(b"damaged") else data

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.startswith(b"other"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: self.cache)


def test_an_entry_for_each_version_and_gpu(tmp_path: Path) -> None:
    files = [
        cache_entry(tmp_path, Target(tensorrt(v), g, (g.compute_capability,)))
        for v in ("10.3.0", "10.3.1")
        for g in (A10, ORIN)
    ]
    assert len(set(files)) == 4
    assert files[0] == tmp_path / "tensorrt-10.3.0-NVIDIA-A10-sm8.6.timing"


def test_no_entry_where_nothing_is_timed(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    assert cache_entry(None, Target(tensorrt("10.3.0"), A10, ("8.6",))) is None
    assert cache_entry(tmp_path, Target(tensorrt("10.3.0"), None, ("8.6",))) is None
    assert cache_entry(tmp_path, Target(load("rtx"), A10, ("8.6",))) is None


def built(folder: Path, timings: bytes) -> bytes:
    """What a build in a process of its own finds there, which leaves ``timings``."""
    config = Config()
    with kept_timings(config, folder, A10_TARGET):
        found = config.cache
        assert found is not None
        config.cache = timings
    return found


def test_timings_are_kept_for_the_next_build(tmp_path: Path) -> None:
    assert built(tmp_path, b"timings") == b""
    (file,) = tmp_path.glob("*.timing/timings")
    written = file.stat().st_mtime_ns
    assert built(tmp_path, b"timings") == b"timings"
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("content", [b"damaged file", b"other device's"])
def test_a_cache_it_cannot_use(content: bytes, tmp_path: Path) -> None:
    built(tmp_path, content)
    assert built(tmp_path, b"new timings") == b""
    assert built(tmp_path, b"") == b"new timings"


def test_damaged_timings_are_not_used(tmp_path: Path) -> None:
    built(tmp_path, b"timings")
    (file,) = tmp_path.glob("*.timing")
    flip_a_bit(file / "timings")
    assert built(tmp_path, b"") == b""
