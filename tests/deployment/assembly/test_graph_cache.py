from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgekit.deployment.assembly.graph_cache import FILE, cached_graph
from edgekit.deployment.export.export import export
from tests.damage import flip_a_bit
from tests.tiny_detector import write_tiny_detector


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEKIT_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("damage", ["none", "flipped", "cut", "empty"])
def test_a_damaged_graph_is_built_again(damage: str, own_cache: Path, tmp_path: Path) -> None:
    tiny = onnx.load(write_tiny_detector(tmp_path / "tiny.onnx"))
    built = []

    def build() -> onnx.ModelProto:
        built.append(1)
        return tiny

    cached_graph("graphs", "tiny", build)
    file = own_cache / "graphs" / "tiny" / FILE
    content = file.read_bytes()
    if damage == "flipped":
        flip_a_bit(file)
    elif damage != "none":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    assert cached_graph("graphs", "tiny", build) == tiny
    assert len(built) == (1 if damage == "none" else 2)
    assert file.read_bytes() == content


def test_a_bit_that_flips_in_the_cache_is_in_no_export(adapted: Path, own_cache: Path, tmp_path: Path) -> None:
    export(adapted, tmp_path / "before.onnx", verify=False)
    (kept,) = own_cache.rglob("*.onnx")
    flip_a_bit(kept, 0.9)
    export(adapted, tmp_path / "after.onnx", verify=False)
    assert (tmp_path / "after.onnx").read_bytes() == (tmp_path / "before.onnx").read_bytes()
