"""Room left in a graph: never detected while unused, filled by changing weights only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts import read_onnx, write_onnx
from edgekit.data.scenes import render_scene
from edgekit.deployment.comparison import compare
from edgekit.deployment.graph_shape import limits_of
from edgekit.deployment.onnx_export import export
from edgekit.errors import EdgekitError
from edgekit.runtime.session import open_session

SCENES = [render_scene("mixed-test", i).image for i in range(4)]


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("demo", tmp_path_factory.mktemp("roomy") / "roomy.onnx", reserve_classes=3).output


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Room in a graph of fewer proposals and detections than the model's own."""
    options = {"reserve_classes": 2, "proposals": 20, "detections": 3, "no_verify": True}
    return export("demo", tmp_path_factory.mktemp("small") / "small.onnx", **options).output  # type: ignore[arg-type]


def names(path: Path) -> tuple[list[str], list[str]]:
    graph = onnx.load(path).graph
    return [n.name for n in graph.node], [t.name for t in graph.initializer]


def test_unused_room_finds_nothing_and_changes_nothing(roomy: Path, base_onnx: Path) -> None:
    plain, reserved = open_session(base_onnx), open_session(roomy)
    for scene in SCENES:
        before, after = plain.infer(scene), reserved.infer(scene)
        own = len(before.scores)
        assert not after.scores[own:].any()
        assert all(np.array_equal(a, b[:own]) for a, b in zip(before, after, strict=True))


def test_room_in_a_graph_that_takes_normalised_images(roomy: Path, adapted: Path, tmp_path: Path) -> None:
    room = export(roomy, tmp_path / "room.onnx", input="float", no_verify=True).output
    result = export(adapted, tmp_path / "filled.onnx", into=room, no_verify=True)
    assert names(result.output) == names(room)
    assert result.input_type == read_onnx(result.output)[1].input_type == "float"
    with pytest.raises(EdgekitError, match=r"--into: .*room\.onnx takes float images \(leave --input\)"):
        export(adapted, tmp_path / "other.onnx", into=room, input="uint8")


def test_filled_room_is_the_adapted_model(roomy: Path, adapted: Path, adapted_onnx: Path, tmp_path: Path) -> None:
    result = export(adapted, tmp_path / "filled.onnx", into=roomy)
    assert names(result.output) == names(roomy)
    assert "weights differ" in result.notes[0]
    assert read_onnx(result.output)[1].categories == read_onnx(adapted_onnx)[1].categories
    filled, exported = open_session(result.output), open_session(adapted_onnx)
    found = 0
    for scene in SCENES:
        a, b = filled.infer(scene), exported.infer(scene)
        found += int((b.scores[len(b.scores) // 2 :] > 0.1).sum())
        assert np.array_equal(a.labels * (a.scores > 0.06), b.labels * (b.scores > 0.06))
        assert np.abs(a.scores - b.scores).max() < 1e-4
    assert found, "no new class was found: the test shows nothing"


def test_filled_room_is_compared_in_the_shape_of_the_graph(small: Path, adapted: Path, tmp_path: Path) -> None:
    result = export(adapted, tmp_path / "filled.onnx", into=small)  # raises if it differs
    assert limits_of(*read_onnx(result.output)) == (20, 3)
    comparison = compare(adapted, result.output, min_matched=0.99)
    assert comparison.passed
    assert comparison.differs_at is None
    assert comparison.verification.parity.compared > 10


def test_room_is_for_the_same_base_and_enough_classes(
    roomy: Path, adapted: Path, adapted_onnx: Path, tmp_path: Path
) -> None:
    with pytest.raises(EdgekitError, match="no reserved classes"):
        export(adapted, tmp_path / "x.onnx", into=adapted_onnx)
    with pytest.raises(EdgekitError, match="room for one"):
        export("demo", tmp_path / "x.onnx", into=roomy)
    graph, meta = read_onnx(roomy)
    write_onnx(tmp_path / "one.onnx", graph, replace(meta, reserved=1))
    with pytest.raises(EdgekitError, match="adds 2 classes"):
        export(adapted, tmp_path / "x.onnx", into=tmp_path / "one.onnx")
    with pytest.raises(EdgekitError, match="out of range"):
        export("demo", tmp_path / "x.onnx", reserve_classes=1000)
    assert not (tmp_path / "x.onnx").exists()
