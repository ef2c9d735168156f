"""Graphs put together from the cache, and the numbers that a graph is exported with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgekit.artifacts.graph_shapes import GraphShape, limits_of
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.demo.scenes import render_scene
from edgekit.deployment.assembly import assembling as assembly
from edgekit.deployment.export.export import export
from edgekit.errors import EdgekitError


def test_base_graph_is_exported_once(
    adapted: Path, base_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(adapted, tmp_path / "first.onnx")
    for name in ("to_onnx", "build_model"):
        monkeypatch.setattr(assembly, name, lambda *_: pytest.fail("exported again"))
    again = export(adapted, tmp_path / "again.onnx", verify=False)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    held = {t.name: t.raw_data for t in onnx.load(again.output).graph.initializer}
    base = {t.name: t.raw_data for t in onnx.load(base_onnx).graph.initializer}
    assert base.items() <= held.items()


def test_a_batch_finds_in_each_image_what_is_in_it(tmp_path: Path) -> None:
    batched = export("demo", tmp_path / "two.onnx", shape=GraphShape(batch=2, proposals=48))
    assert limits_of(*read_onnx(batched.output)) == (48, 6)
    assert batched.batch == 2
    assert batched.verification is not None
    assert batched.verification.parity.matched_share == 1  # in the first image, of what PyTorch finds
    scenes = np.stack([render_scene("mixed-test", i).image for i in range(2)])
    session = ort.InferenceSession(str(batched.output))
    found, swapped = (session.run(None, {"images": images}) for images in (scenes, scenes[::-1].copy()))
    assert (found[2] > 0.1).any(axis=1).all()
    for first, second in zip(found, swapped, strict=True):
        np.testing.assert_allclose(first, second[::-1], atol=1e-4)


def test_fewer_proposals_and_detections(tmp_path: Path) -> None:
    result = export("demo", tmp_path / "small.onnx", shape=GraphShape(proposals=20, detections=3))
    assert result.verification is not None
    assert result.verification.parity.compared
    shapes = {
        o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in onnx.load(result.output).graph.output
    }
    assert shapes["boxes"] == [1, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": GraphShape(batch=0)}, "--batch 0"),
        ({"shape": GraphShape(detections=3841)}, "--detections 3841"),
        ({"shape": GraphShape(proposals=-1)}, "--proposals -1"),
        ({"shape": GraphShape(sampling_cells=3)}, "--sampling-cells 3: out of range"),
        ({"shape": GraphShape(sampling_cells=36)}, "--sampling-cells 36: .* fixed number of samples"),
    ],
)
def test_numbers_that_cannot_be(options: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=message):
        export("demo", tmp_path / "x.onnx", **options)  # type: ignore[arg-type]
