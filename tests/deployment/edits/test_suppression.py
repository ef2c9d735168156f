from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from edgekit.deployment.assembly.tracing import static_onnx
from edgekit.deployment.edits.suppression import counts_in_half
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.runtime.flavours import load
from edgekit.static.nms import BLOCK, ROUNDS, keep_mask


class Nms(torch.nn.Module):
    def forward(self, boxes: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return keep_mask(boxes, valid, None, 0.5)


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return static_onnx(Nms(), (torch.rand(2, 300, 4), torch.ones(2, 300)), ["boxes", "valid"], ["keep"])


def test_the_same_boxes_stay(graph: onnx.ModelProto) -> None:
    halved = onnx.ModelProto()
    halved.CopyFrom(graph)
    assert counts_in_half(halved) == 2 * ROUNDS + 1, "300 boxes: two blocks, and what the first leaves of the second"
    assert BLOCK < 300 <= 2 * BLOCK
    onnx.checker.check_model(halved, full_check=True)
    before, after = (
        ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]) for m in (graph, halved)
    )
    rng = np.random.default_rng(0)
    for crowd in (5.0, 40.0, 400.0):  # 300 boxes on so many pixels: sums of up to 299 suppressors
        corners = rng.random((2, 300, 2)) * crowd
        boxes = np.concatenate([corners, corners + 10 + rng.random((2, 300, 2)) * 20], -1).astype(np.float32)
        inputs = {"boxes": boxes, "valid": (rng.random((2, 300)) > 0.1).astype(np.float32)}
        expected = before.run(None, inputs)[0]
        assert 0 < expected.sum() < 600
        assert np.array_equal(after.run(None, inputs)[0], expected)


def test_other_products_stay(adapted_onnx: Path) -> None:
    model = onnx.load(adapted_onnx)
    products = sum(n.op_type in ("MatMul", "Gemm") for n in model.graph.node)
    found = counts_in_half(model)
    assert found % ROUNDS == 0
    assert 2 * ROUNDS <= found < products


def test_turing_takes_nms_in_half(graph: onnx.ModelProto) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    halved = onnx.ModelProto()
    halved.CopyFrom(graph)
    counts_in_half(halved)
    assert compiles_for_turing(halved)
    assert not compiles_for_turing(graph)


def compiles_for_turing(model: onnx.ModelProto) -> bool:
    rtx = load("rtx")
    builder = rtx.module.Builder(rtx.logger)
    network = builder.create_network(0)
    parser = rtx.module.OnnxParser(network, rtx.logger)
    assert parser.parse(model.SerializeToString())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(rtx.module.ComputeCapability.SM75, 0)
    return builder.build_serialized_network(network, config) is not None


@pytest.mark.slow
def test_an_fp16_engine_for_turing(tmp_path: Path, base_onnx: Path) -> None:
    """The whole model, once the precision step is here."""
    precision = pytest.importorskip("edgekit.deployment.precision.conversion", reason="needs the precision step")
    from edgekit.artifacts.onnx_files import read_onnx, write_onnx

    model, meta = read_onnx(base_onnx)
    write_onnx(
        tmp_path / "half.onnx",
        precision.convert(model, precision.Conversion("fp16", keep=()), meta.input_size).model,
        meta,
    )
    engine = build(tmp_path / "half.onnx", tmp_path / "x.engine", EngineOptions(compute_capability=("7.5",)))
    assert engine.settings["nms_products_in_half"] == 2 * ROUNDS
