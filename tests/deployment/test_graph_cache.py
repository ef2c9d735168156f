from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgekit.deployment import graph_cache
from edgekit.deployment.graph_cache import cached_file, cached_graph
from tests.tiny_detector import write_tiny_detector


@pytest.mark.parametrize("left", [0, 0.5, 1])
def test_a_damaged_graph_is_built_again(left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    tiny = onnx.load(write_tiny_detector(tmp_path / "tiny.onnx"))
    built = []

    def build() -> onnx.ModelProto:
        built.append(1)
        return tiny

    cached_graph("graphs", ["tiny"], build)
    file = cached_file("graphs", ["tiny"])
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    assert cached_graph("graphs", ["tiny"], build) == tiny
    assert len(built) == (1 if left == 1 else 2)
    assert file.read_bytes() == content


def test_another_edgekit_makes_its_own_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = graph_cache.cached_file("graphs", ["weights"])
    assert graph_cache.cached_file("graphs", ["weights"]) == before
    monkeypatch.setattr(graph_cache, "exporter_digest", lambda: "another's")
    assert graph_cache.cached_file("graphs", ["weights"]) != before
