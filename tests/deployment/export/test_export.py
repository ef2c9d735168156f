from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.comparison.parity import parity
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.deployment.export import export as onnx_export
from edgekit.errors import EdgekitError
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import device_here


def test_graph_is_static_and_native(adapted_onnx: Path) -> None:
    graph, meta = read_onnx(adapted_onnx)
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True)
    kinds = {n.op_type for n in graph.graph.node}
    assert not kinds & {"NonZero", "NonMaxSuppression", "RoiAlign", "If", "Loop", "Scan"}
    assert {n.domain for n in graph.graph.node} <= {"", "ai.onnx"}
    for value in [*graph.graph.input, *graph.graph.output, *inferred.graph.value_info]:
        assert not any(d.dim_param for d in value.type.tensor_type.shape.dim), value.name
    assert meta.new_classes == ("chicken", "frog")


def test_runs_in_plain_onnxruntime(adapted_onnx: Path) -> None:
    session = ort.InferenceSession(str(adapted_onnx), providers=["CPUExecutionProvider"])
    canvas = np.zeros((1, 320, 320, 3), np.uint8)
    boxes, labels, scores, masks = session.run(None, {"images": canvas})
    slots = scores.shape[1]
    assert (boxes.shape, labels.shape, masks.shape) == ((1, slots, 4), (1, slots), (1, slots, 28, 28))


def test_matches_pytorch(adapted: Path, adapted_onnx: Path, mixed_test: Dataset) -> None:
    reference, exported = open_session(adapted), open_session(adapted_onnx)
    photos = [p.read() for p in mixed_test.photos]
    result = parity((detect(reference, p), detect(exported, p)) for p in photos)
    assert result.compared > 10
    assert result.matched_share >= 0.99


def test_old_detections_are_bit_identical_in_onnxruntime(
    base_onnx: Path, adapted_onnx: Path, mixed_test: Dataset
) -> None:
    before, after = open_session(base_onnx), open_session(adapted_onnx)
    result = retention(((detect(before, p.read()), detect(after, p.read())) for p in mixed_test.photos), 13)
    assert result.compared > 10
    assert result.changed == 0


def test_a_graph_that_differs_is_not_written(adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.static.nms.ROUNDS", 0)  # a wrong graph: nothing is suppressed
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))  # not the cached one
    output = tmp_path / "x.onnx"
    output.write_bytes(b"earlier")
    with pytest.raises(EdgekitError, match=rf"differ from those of pytorch {device_here()}: \d+ of \d+"):
        onnx_export.export(adapted, output, force=True)
    assert output.read_bytes() == b"earlier"


@pytest.mark.slow
def test_other_sizes(adapted: Path, tmp_path: Path) -> None:
    result = onnx_export.export(adapted, tmp_path / "wide.onnx", shape=GraphShape((256, 384)))
    assert result.verification.parity.matched_share >= 0.99
    session = open_session(result.output)
    assert len(detect(session, np.zeros((100, 100, 3), np.uint8))) == 0
