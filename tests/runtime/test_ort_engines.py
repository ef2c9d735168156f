"""Engines of onnxruntime's TensorRT provider: each graph has its own, and damaged ones are built again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.runtime.ort_engines import kept_engines
from tests.damage import flip_a_bit


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnxruntime-tensorrt"


def built(model: str | bytes, made_for: str = "onnxruntime 1") -> bool:
    """A session's part: the engine, built if it is not there; returns whether it was."""
    with kept_engines(model, made_for) as folder:
        engine = folder / "kernel_0.engine"
        if engine.exists():
            assert engine.read_bytes() == b"engine"
            return False
        engine.write_bytes(b"engine")
        return True


def test_engines_are_kept_by_all_bytes_of_a_graph(tmp_path: Path, own_cache: Path) -> None:
    graph, weights = tmp_path / "body.onnx", tmp_path / "body.weights"
    graph.write_bytes(b"a graph with body.weights")
    weights.write_bytes(b"1")
    assert [built(str(graph)), built(str(graph))] == [True, False]
    (tmp_path / "other.weights").write_bytes(b"of another graph")
    assert not built(str(graph))
    weights.write_bytes(b"2")
    assert [built(str(graph)), built(str(graph))] == [True, False]
    assert [built(b"another"), built(b"another"), built(b"another", "onnxruntime 2")] == [True, False, True]
    assert len(list(own_cache.iterdir())) == 4


def test_a_damaged_engine_is_built_again(own_cache: Path) -> None:
    assert built(b"graph")
    (engine,) = own_cache.rglob("*.engine")
    flip_a_bit(engine)
    assert [built(b"graph"), built(b"graph")] == [True, False]


def test_a_session_that_builds_none_or_fails_leaves_nothing(own_cache: Path) -> None:
    with kept_engines(b"graph", ""):
        pass
    with pytest.raises(IsADirectoryError), kept_engines(b"graph", "") as folder:
        folder.write_bytes(b"engine")
    assert list(own_cache.iterdir()) == []
